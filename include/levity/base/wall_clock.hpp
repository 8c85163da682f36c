#pragma once

#include <cstdint>

#include "levity/base/clock.hpp"

namespace levity::inline v0 {

/// What a calendar goes by: nanoseconds since 1970 in UTC, without leap seconds. For what is shown and stored; spans of time are
/// lv::clock's, since this one is set now and then, back too.
///
///     const auto at = lv::wall_clock::now();   // a std::chrono::sys_time<std::chrono::nanoseconds>
///
/// Inside a task of a simulated run, and on a thread of a simulated host, it is that world's: a plain simulated run begins on
/// 1 January 2026 at 00:00:00 UTC, and it goes as fast as the run's lv::clock. Everywhere else CLOCK_REALTIME. `now()` costs one
/// vDSO call (about 25 ns), thread-safe.
struct wall_clock {
  /// Its unit: signed nanoseconds, from 1678 to 2262.
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  /// A moment of the calendar: of std::chrono::system_clock, whose calendar and formatting so apply, in nanoseconds.
  using time_point = std::chrono::time_point<std::chrono::system_clock, duration>;
  /// It may go back.
  static constexpr bool is_steady = false;

  /// The time now: that of its world inside a task of a simulated run, else CLOCK_REALTIME. Any thread.
  static time_point now() noexcept;
};

namespace detail {

/// Whole seconds since 1970: as wall_clock::now(), but where that is the kernel's up to a tick late, and cheaper.
std::int64_t wall_seconds() noexcept;

}  // namespace detail
}  // namespace levity
