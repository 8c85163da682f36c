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

/// Nanoseconds of CLOCK_MONOTONIC, whatever the thread's time source is.
std::int64_t kernel_now_ns() noexcept;
/// Nanoseconds of CLOCK_REALTIME, likewise.
std::int64_t kernel_wall_ns() noexcept;
/// 64 bits of the kernel's entropy, likewise.
std::uint64_t kernel_seed() noexcept;

/// Where this thread's time comes from, and its chance: what a program takes from its world without waiting for it. A simulated run
/// installs its own for the thread that runs it, a simulated host also for the one that runs its main().
struct time_source {
  /// Of levity::clock.
  virtual std::int64_t now_ns() noexcept = 0;
  /// Of levity::wall_clock: nanoseconds since 1970.
  virtual std::int64_t wall_ns() noexcept { return kernel_wall_ns(); }
  /// What random_seed() answers.
  virtual std::uint64_t draw_seed() noexcept { return kernel_seed(); }

protected:
  ~time_source() = default;
};

/// Installs `source` (null: the kernel's clocks and chance) for this thread and returns what was there.
time_source* exchange_time_source(time_source* source) noexcept;
/// What is installed on this thread. Not inline: a coroutine must not keep the address of a thread's variable across an await.
[[nodiscard]] time_source* this_time_source() noexcept;

}  // namespace detail
}  // namespace levity
