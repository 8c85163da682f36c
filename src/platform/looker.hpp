#pragma once

// looker: what a thread that looks at others knows of the machine, by what happens to itself.
//
// SIGSTOP, a frozen control group, a hypervisor that takes every processor away: no counter of a thread tells of them. They hold
// the looker back, too. It knows how long it meant to sleep, its clocks say how long it ran and waited for a CPU: what time has
// passed besides, the machine stood still for this process.
//
//   outage = wall time - on a CPU - waiting for a CPU       where that is longer than it wanted to sleep, by more than timers slip
//
// The looker may be late for a reason of its own: its processor alone was taken away, it met a lock. Then others were not held
// back, and their clocks say so: an outage only explains time that their clocks do not.

#include <cstdint>

#include "levity/base/clock.hpp"

namespace levity::inline v0::detail {

/// Sums since the looker began; differences of two tell what the machine did between.
struct machine_state {
  std::int64_t outage_ns = 0;  // the looker was kept from looking, and nobody else had its CPU instead
  std::int64_t stolen_ns = 0;  // taken by a hypervisor, of all processors; in units of 10 ms; 0 where /proc/stat is hidden
};

/// Of one thread: it is made there and used there.
class looker {
public:
  /// Timers and wake-ups are late by less than this on a machine that works.
  static constexpr std::int64_t slack_ns = 500'000;

  looker() noexcept;
  looker(const looker&) = delete;
  looker& operator=(const looker&) = delete;
  ~looker();

  /// Around each of its sleeps, which is to last `wanted_ns` at most; forever counts as no outage. 0.6 us both.
  void fall_asleep(std::int64_t wanted_ns) noexcept;
  void wake_up() noexcept;

  /// 2 us, and more on a machine of many processors: /proc/stat lists them.
  [[nodiscard]] machine_state look() const noexcept;

private:
  struct clocks {
    std::int64_t wall_ns = 0;
    std::int64_t busy_ns = 0;  // on a CPU and waiting for one
  };
  [[nodiscard]] clocks read_clocks() const noexcept;

  int schedstat_;
  int stat_;
  std::int64_t asleep_at_ns_ = 0;
  std::int64_t wanted_ns_ = 0;
  clocks awake_;  // when it woke up last
  std::int64_t outage_ns_ = 0;
};

}  // namespace levity::detail
