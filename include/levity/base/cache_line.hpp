#pragma once

#include <cstddef>

namespace levity::inline v0 {

/// What two threads must not share when both write. Two lines: x86 prefetches pairs of them.
inline constexpr std::size_t cache_line_bytes = 128;

}  // namespace levity
