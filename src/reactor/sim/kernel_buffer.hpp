#pragma once

// kernel_buffer: how much of a socket's buffer Linux reckons for a datagram. Not its bytes: the memory that they lie in, which
// comes in powers of two, and what describes it. So a buffer of 208 KiB takes 93 datagrams of 1000 bytes, and 49 of 2000.

#include <bit>
#include <cstddef>

namespace levity::inline v0::detail {

/// `headers`: room in front of the bytes, for what is sent with them.
constexpr std::size_t kernel_buffer_room(std::size_t bytes, std::size_t headers) noexcept {
  constexpr std::size_t described = 256;      // struct sk_buff
  constexpr std::size_t behind = 320;         // struct skb_shared_info
  constexpr std::size_t in_one_piece = 16'384;  // the rest is in pages
  constexpr std::size_t page = 4'096;
  constexpr std::size_t line = 64;
  const std::size_t whole = (bytes + headers + line - 1) / line * line + behind;
  if (whole <= in_one_piece) return (whole <= 512 ? 512 : std::bit_ceil(whole)) + described;
  return in_one_piece + (whole - in_one_piece + page - 1) / page * page + described;
}

}  // namespace levity::detail
