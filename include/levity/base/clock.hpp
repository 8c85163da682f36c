#pragma once

// Durations, clocks and literals are all that is needed here. libstdc++ keeps them in a header of their own; its <chrono> has the
// calendar and, for its output, all of the streams besides: a fifth of a second for each file of a user.
#if __has_include(<bits/chrono.h>)
#include <bits/chrono.h>
#else
#include <chrono>
#endif
#include <cstdint>

namespace levity::inline v0 {

/// The runtime's monotonic clock, in nanoseconds. Inside a task of a simulated runtime it is that runtime's virtual
/// time; everywhere else CLOCK_MONOTONIC. `now()` costs one vDSO call (about 25 ns), thread-safe.
struct clock {
  /// Its unit: signed nanoseconds, which reach 292 years.
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  /// A moment of this clock.
  using time_point = std::chrono::time_point<clock>;
  /// It never goes back.
  static constexpr bool is_steady = true;

  /// The time now: virtual inside a task of a simulated runtime, else CLOCK_MONOTONIC. Any thread.
  static time_point now() noexcept;
};

/// A moment of the runtime's clock.
using time_point = clock::time_point;
/// A span of time, in nanoseconds; 200ms and its like convert to it.
using duration = clock::duration;

using namespace std::chrono_literals;

namespace detail {

/// Where this thread's time comes from; a simulated runtime installs its own for the thread that runs it.
struct time_source {
  virtual std::int64_t now_ns() noexcept = 0;

protected:
  ~time_source() = default;
};

/// Nanoseconds of CLOCK_MONOTONIC, whatever the thread's time source is.
std::int64_t kernel_now_ns() noexcept;

/// Installs `source` (null: the kernel's clock) for this thread and returns what was there.
time_source* exchange_time_source(time_source* source) noexcept;

}  // namespace detail
}  // namespace levity
