#pragma once

// looker: what a thread that looks at others knows of the machine, by what happens to itself.
//
// SIGSTOP, a frozen control group, a hypervisor that takes every processor away: no counter of a thread tells of them. They hold
// the looker back, too. It knows how long it meant to sleep, its clocks say how long it ran and waited for a CPU: what time has
// passed besides, the machine stood still for this process.
//
//   late   = time asleep - time that it wanted to sleep - on a CPU - waiting for a CPU
//   outage = late - as late as it usually is              where that is more than `slack_ns`
//
// Asleep alone. What the looker waits for while it is awake (a disk, a pipe, a lock, a thread that is being started) is its own
// affair, and whoever slept meanwhile is not excused by it. A stop that begins in the some us between two sleeps looks the same:
//
//   lapse  = time awake - on a CPU - waiting for a CPU      where that is more than `slack_ns`
//
// It explains what nothing else does: who is known to have slept, slept; but of who is only missed for a while nobody knows better.
//
// As late as usual: half of its last sleeps were. On a machine whose timers tick each 4 ms, or whose hypervisor brings every
// interrupt late, that is no outage. The looker asks for timers without slack, which is inherited otherwise (systemd's
// TimerSlackNSec is often many ms).
//
// A stop has begun somewhere in the sleep that it lengthens. One that lasted much longer than the sleep is given all of it, or a
// part of each stop would be called a wait of those who were stopped.
//
// The looker may be late for a reason of its own: its processor alone was taken away, it met a lock. Then others were not held
// back, and their clocks say so: an outage only explains time that their clocks do not.

#include <array>
#include <cstddef>
#include <cstdint>

#include "levity/base/clock.hpp"

namespace levity::inline v0::detail {

/// Sums since the looker began; differences of two tell what the machine did between.
struct machine_state {
  std::int64_t outage_ns = 0;  // the looker was kept from looking, and nobody else had its CPU instead
  std::int64_t lapse_ns = 0;   // it was kept while awake: the same, or its own affair
  std::int64_t stolen_ns = 0;  // taken by a hypervisor, of all processors; in units of 10 ms; 0 where /proc/stat is hidden
};

/// Tells an outage from a timer that is always late. Pure; one thread; constant time.
class late_sleeps {
public:
  /// Timers and wake-ups are late by less than this on a machine that works.
  static constexpr std::int64_t slack_ns = 500'000;
  /// A stop of so many times the sleep that it lengthens is given that sleep, too.
  static constexpr std::int64_t much_longer = 4;

  /// What of a sleep that lasted `slept_ns` was an outage. It was to last `wanted_ns`; for `busy_ns` of it the thread ran or
  /// waited for a CPU.
  [[nodiscard]] std::int64_t outage_of(std::int64_t slept_ns, std::int64_t wanted_ns, std::int64_t busy_ns) noexcept;

private:
  // How late half of them were; 0 before the first.
  [[nodiscard]] std::int64_t usual_ns() const noexcept;

  std::array<std::int64_t, 15> last_ns_{};  // how late they were
  std::size_t known_ = 0;                   // ever
};

/// Of one thread: it is made there and used there.
class looker {
public:
  looker() noexcept;
  looker(const looker&) = delete;
  looker& operator=(const looker&) = delete;
  ~looker();

  /// Whether the timers of its thread are exact, as they are at first, or what they were before it.
  void keep_timers_exact(bool wanted) noexcept;

  /// Around each of its sleeps, which is to last `wanted_ns` at most; forever counts as no outage. 1 us both.
  void fall_asleep(std::int64_t wanted_ns) noexcept;
  void wake_up() noexcept;
  /// After one that nobody wants to know of, instead of both, and for nothing: what happened since it woke before is in no sum.
  void forget() noexcept { awake_.wall_ns = 0; }

  /// Up to now; what was stolen is up to `stolen_pause_ns` old. 0.3 us.
  [[nodiscard]] machine_state look() noexcept;

  /// To read one line of /proc/stat the kernel writes down all of it, each processor and each interrupt: 2 us on two processors, a
  /// large part of a ms on hundreds. What it says has units of 10 ms.
  static constexpr std::int64_t stolen_pause_ns = 10'000'000;

private:
  struct clocks {
    std::int64_t wall_ns = 0;
    std::int64_t busy_ns = 0;  // on a CPU and waiting for one
  };
  [[nodiscard]] clocks read_clocks() const noexcept;
  void note_lapse(const clocks& now) noexcept;

  int timer_slack_ns_;  // of the thread, before
  bool has_exact_timers_ = false;
  int schedstat_;
  int stat_;
  std::int64_t wanted_ns_ = 0;
  clocks asleep_;  // when it fell asleep last
  clocks awake_;   // since it woke, or until when lapses are known; at 0: it has forgotten
  late_sleeps sleeps_;
  std::int64_t outage_ns_ = 0;
  std::int64_t lapse_ns_ = 0;
  std::int64_t stolen_ns_ = 0;
  std::int64_t stolen_at_ns_ = 0;  // when it was read; 0: it was not
};

}  // namespace levity::detail
