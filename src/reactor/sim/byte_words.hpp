#pragma once

// byte_words: bytes as the words that a trace sums up, the same on every machine.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace levity::inline v0::detail {

/// Calls take(word) for each eight bytes, the first of them the lowest, and for what is left, with zeros behind it.
template <class Take>
void each_word(std::span<const std::byte> bytes, const Take& take) {
  const auto in_one_order = [](std::uint64_t word) noexcept {
    return std::endian::native == std::endian::big ? __builtin_bswap64(word) : word;
  };
  // Whole words by a copy of a constant size, which is a load; one of any size is a call.
  constexpr std::size_t word_size = sizeof(std::uint64_t);
  std::uint64_t word = 0;
  for (; bytes.size() >= word_size; bytes = bytes.subspan(word_size)) {
    std::memcpy(&word, bytes.data(), word_size);
    take(in_one_order(word));
  }
  if (bytes.empty()) return;
  word = 0;
  std::memcpy(&word, bytes.data(), bytes.size());
  take(in_one_order(word));
}

}  // namespace levity::detail
