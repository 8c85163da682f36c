#pragma once

// latency_bins: how long calls took, counted in 200 bins: fine enough to rank two versions of a program by, small enough to keep
// one for each destination and thread. A plain value; the counters that many threads add to are the canary's own.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "levity/base/clock.hpp"

namespace levity::inline v0::service {

/// Counts of durations. Microseconds up to 15 each have a bin; above, every power of two is cut into eight, so that a bin is no
/// wider than an eighth of what is in it; the last one holds all from 62 s on. A value, not thread-safe.
struct latency_bins {
  /// How many bins there are.
  static constexpr std::size_t size = 192;

  std::array<std::uint64_t, size> counts{};  ///< how many, by bin

  /// The bin of a duration; negative ones are in the first.
  [[nodiscard]] static constexpr std::size_t index_of(duration took) noexcept {
    constexpr std::uint64_t highest = (std::uint64_t{1} << 26) - 1;
    const std::int64_t ns = took.count();
    std::uint64_t us = ns <= 0 ? 0 : static_cast<std::uint64_t>(ns) / 1000;
    us = us < highest ? us : highest;
    if (us < 16) return static_cast<std::size_t>(us);
    const auto shift = static_cast<unsigned>(std::bit_width(us)) - 4;
    return shift * 8 + static_cast<std::size_t>(us >> shift);
  }

  /// The shortest duration of a bin.
  [[nodiscard]] static constexpr duration low_of(std::size_t bin) noexcept {
    if (bin < 16) return std::chrono::microseconds(bin);
    const std::size_t shift = bin / 8 - 1;
    return std::chrono::microseconds(static_cast<std::uint64_t>(bin - shift * 8) << shift);
  }

  /// Counts one.
  constexpr void record(duration took) noexcept { counts[index_of(took)]++; }

  /// How many there are.
  [[nodiscard]] constexpr std::uint64_t total() const noexcept {
    std::uint64_t sum = 0;
    for (const std::uint64_t each : counts) sum += each;
    return sum;
  }

  /// The low end of the bin that holds the sample below which `quantile` (0..1) of them lie; zero where there are none. O(bins).
  [[nodiscard]] constexpr duration value_at(double quantile) const noexcept {
    const std::uint64_t all = total();
    std::uint64_t below = 0;
    for (std::size_t bin = 0; bin < size; bin++) {
      below += counts[bin];
      if (below != 0 && static_cast<double>(below) >= quantile * static_cast<double>(all)) return low_of(bin);
    }
    return duration::zero();
  }

  friend constexpr bool operator==(const latency_bins&, const latency_bins&) noexcept = default;
};

}  // namespace levity::service
