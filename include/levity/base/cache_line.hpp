#pragma once

#include <cstddef>
#include <cstdint>

namespace levity::inline v0 {

/// What two threads must not share when both write. Two lines: x86 prefetches pairs of them.
inline constexpr std::size_t cache_line_bytes = 128;

/// A hint: the first `size` bytes at `address` are wanted soon, to be written. Any address, a null one too; never faults.
template <std::size_t size>
inline void prefetch(const void* address) noexcept {
  constexpr std::size_t line = 64;
  const auto from = reinterpret_cast<std::uintptr_t>(address);
  for (std::size_t at = 0; at < size; at += line) __builtin_prefetch(reinterpret_cast<const void*>(from + at), 1);
}

}  // namespace levity
