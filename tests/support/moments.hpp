#pragma once

// Moments and random times, for what is told the time.

#include <cmath>
#include <cstdint>

#include "levity/base/clock.hpp"
#include "levity/base/rng.hpp"

namespace levity::test {

/// A moment, counted from an arbitrary one.
constexpr time_point at(duration since) noexcept { return time_point{std::chrono::hours{1} + since}; }

/// Exponentially distributed with the given mean.
inline duration exponential(rng& from, duration mean) {
  const double uniform = static_cast<double>(from() >> 11) * 0x1.0p-53;
  return duration{1 + static_cast<std::int64_t>(-std::log1p(-uniform) * static_cast<double>(mean.count()))};
}

}  // namespace levity::test
