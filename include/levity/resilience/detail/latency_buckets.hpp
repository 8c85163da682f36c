#pragma once

// latency_buckets: the log-linear buckets of a latency in a few hundred counters.
//
// As histogram (levity/observe/histogram.hpp), whose counters have one writer and tell three digits in 270 KB: too much for each
// route of a client, and not what several workers can write. Here eight buckets an octave, so
//
//   bucket width <= value / 8        from 2 us on; below, 256 ns
//
// in 224 counters from 256 ns to 137 s; what is longer is counted in the last one.

#include <bit>
#include <cstddef>
#include <cstdint>

#include "levity/base/clock.hpp"

namespace levity::inline v0::detail {

struct latency_buckets {
  static constexpr std::size_t count = 224;
  static constexpr int unit_shift = 8;  // 256 ns
  static constexpr int part_bits = 3;   // eight buckets an octave

  static constexpr std::size_t index_of(duration took) noexcept {
    const std::uint64_t units = took.count() > 0 ? static_cast<std::uint64_t>(took.count()) >> unit_shift : 0;
    const int shift = std::bit_width(units | 15) - (part_bits + 1);
    const std::size_t index = (static_cast<std::size_t>(shift) << part_bits) + static_cast<std::size_t>(units >> shift);
    return index < count ? index : count - 1;
  }

  /// The longest that is counted in it; the last one has no end, and is given the end of its octave's part.
  static constexpr duration top_of(std::size_t index) noexcept {
    return duration{static_cast<duration::rep>(low_units(index + 1) << unit_shift) - 1};
  }

private:
  static constexpr std::uint64_t low_units(std::size_t index) noexcept {
    constexpr std::size_t parts = std::size_t{1} << part_bits;
    if (index < 2 * parts) return index;
    const std::size_t shift = index / parts - 1;
    return static_cast<std::uint64_t>(index - shift * parts) << shift;
  }
};

}  // namespace levity::detail
