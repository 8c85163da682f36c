#pragma once

// gcra: all that a rate has to remember of its past is one moment, when its bucket is full again.
//
// The generic cell rate algorithm (ITU-T I.371, 1993), the leaky bucket turned round. A bucket that holds `burst` tokens and gets
// one each `interval` is told by `full_at`:
//
//   tokens at `now`  = burst - max(full_at - now, 0) / interval
//   n taken          = full_at moves to max(full_at, now) + n * interval, if that is no later than now + span
//   span             = burst * interval
//
// So one word is the whole state, nothing has to run while time passes, and a bucket with full_at <= now is like one that was never
// touched: forgetting it changes nothing.
//
// Unit: eighths of a nanosecond. A token's interval is rounded to one, so a rate is exact to 6 parts in 10^5 at a million a second
// and 6 in 10^3 at a hundred million; 63 bits of it are 36 years of the clock.

#include <cstdint>

#include "levity/base/clock.hpp"

namespace levity::inline v0::detail {

struct gcra {
  static constexpr int unit_shift = 3;
  static constexpr std::uint64_t units_per_second = 1'000'000'000ULL << unit_shift;
  static constexpr std::uint64_t span_max = std::uint64_t{1} << 61;  // nine years: sums of a moment and a span do not overflow

  std::uint64_t interval = 1;
  std::uint64_t burst = 1;

  /// A rate between one token in a year and 10^9 in a second; what lies outside is clamped, and what is not a number is the least.
  static gcra at(double per_second, std::uint64_t burst) noexcept;

  static constexpr std::uint64_t units_of(time_point now) noexcept {
    const std::int64_t ns = now.time_since_epoch().count();
    return ns <= 0 ? 0 : static_cast<std::uint64_t>(ns) << unit_shift;
  }
  /// Rounded up, so that who waits so long finds what it waited for.
  static constexpr duration span_of(std::uint64_t units) noexcept {
    return duration{static_cast<std::int64_t>((units + (1U << unit_shift) - 1) >> unit_shift)};
  }

  [[nodiscard]] constexpr std::uint64_t span() const noexcept { return burst * interval; }
  [[nodiscard]] constexpr bool ever_holds(std::uint64_t n) const noexcept { return n <= burst; }
  /// Where full_at lies once n <= burst tokens are taken.
  [[nodiscard]] constexpr std::uint64_t after(std::uint64_t full_at, std::uint64_t n, std::uint64_t now) const noexcept {
    return (full_at > now ? full_at : now) + n * interval;
  }
  /// How long after `now` a bucket may first stand as `after` says; 0: at once.
  [[nodiscard]] constexpr std::uint64_t wait_for(std::uint64_t after, std::uint64_t now) const noexcept {
    const std::uint64_t latest = now + span();
    return after > latest ? after - latest : 0;
  }
  [[nodiscard]] constexpr double tokens(std::uint64_t full_at, std::uint64_t now) const noexcept {
    const double owed = full_at > now ? static_cast<double>(full_at - now) : 0.0;
    return static_cast<double>(burst) - owed / static_cast<double>(interval);
  }
};

}  // namespace levity::detail
