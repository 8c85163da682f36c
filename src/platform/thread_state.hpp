#pragma once

// thread_state: what the kernel says of one thread of this process, at one moment, from outside. Two of them tell what became of
// the time between (sched/stall_cause.hpp).
//
//   source, of /proc/self/task/TID    us     what it gives, and what it does not
//   CPU-time clock of the thread      0.12   ns on CPUs, up to now, even while it runs there
//   schedstat                         0.29   ns that it was runnable and waited for a CPU, and how many turns it was given; a wait
//                                            that lasts is not in it before it ends
//   stat                              0.79   state, faults that waited for memory, user and kernel time in units of 10 ms
//   syscall                           0.29   "running" of whoever is runnable, so of one that waits for a CPU, too; of one that
//                                     0.55   sleeps the call with arguments, stack and program counter; number -1: not in a call
//   cpu.stat of its control groups    0.41   ns throttled, when that is over, and periods of it; only of groups that have a quota
//                                            when the thread is first looked at
//
// Measured on Linux 6.18 with descriptors that stay open; opening each anew costs 1.1 us more, and fails in a process that has run
// out of descriptors, when answers are wanted most. A look is 2 us, a look at who has a quota 2.5.
//
// "running" does not say whether the thread has a CPU. Its clock does: it moves between two readings, or it stands still.
//
// A process may read these files of its own threads whatever ptrace restrictions say. A process that has changed its user, or
// forbids its dump (PR_SET_DUMPABLE), may not open `syscall`; where /proc is not mounted there is the clock alone. What is hidden
// is said to be so, and not asked for again. Below an emulator of another machine `syscall` tells the emulator's call and stack, by
// the numbers of the machine that carries it out: that is hidden, too. Where descriptors are wanting the next look tries anew: a
// counter that appears between two looks is a sum since the thread began, and no difference.
//
// Rejected: `status` (2 us, the two counts of switches say no more than turns and state do); `wchan` (0.9 us, names a function of
// this kernel version); `stack` (3.4 us, root alone); /proc/pressure/cpu (of the whole machine); taskstats over netlink (needs
// CAP_NET_ADMIN).

#include <array>
#include <cstdint>

#include "platform/thread_sign.hpp"

namespace levity::inline v0::detail {

/// What a thread does, as far as the kernel lets us see.
enum class thread_activity : std::uint8_t {
  hidden,   // its files cannot be read
  on_cpu,   // a CPU carries it out
  waiting,  // runnable, and no CPU carries it out: others have them, its quota is used up
  asleep,   // until something happens: in a system call, or in a fault
  stopped,  // by SIGSTOP, by a debugger
  gone,     // it has ended
};

struct thread_state {
  static constexpr int no_call = -1;

  std::int64_t at_ns = 0;           // CLOCK_MONOTONIC
  std::int64_t cpu_ns = 0;          // on CPUs, in user code and in the kernel, since it began
  std::int64_t waited_ns = 0;       // runnable without a CPU, of the waits that are over
  std::int64_t throttled_ns = 0;    // that its control groups were held back, all their CPUs together; counted when it is over
  std::int64_t throttled_periods_ns = 0;  // the periods in which they were; counted as each ends
  std::uint64_t turns = 0;          // how often it was given a CPU
  std::uint64_t major_faults = 0;   // that had to wait for memory, and are over
  std::uint64_t user_ticks = 0;     // 10 ms each, from samples of the kernel's tick
  std::uint64_t kernel_ticks = 0;   // the same
  thread_activity does = thread_activity::hidden;
  bool sees_turns = false;          // waited_ns and turns are known
  bool sees_faults = false;         // major_faults and ticks are
  bool sees_throttling = false;     // which of its groups have a quota is known, and so is throttled_*
  bool sees_call = false;           // of one asleep: what follows is known
  bool is_uninterruptible = false;  // asleep, and no signal wakes it: state D
  int call = no_call;               // asleep in this system call; no_call: in a fault
  std::array<std::uint64_t, 6> arguments{};
  std::uint64_t stack_at = 0;       // asleep: its stack pointer in user code
  std::uint64_t code_at = 0;        // asleep: where it will go on in user code
};

/// Whether a thread of this process is runnable, on a CPU or without one, and not asleep. False, too, where that cannot be seen.
/// Opens a file, which no thread_reader of it needs to have open: some 2 us.
[[nodiscard]] bool is_runnable(thread_sign thread) noexcept;

/// Looks at one thread of this process from another one. One looker at a time; it never waits but for the kernel's own short locks.
class thread_reader {
public:
  static constexpr int levels_max = 3;

  explicit thread_reader(thread_sign thread) noexcept : thread_(thread) {}
  thread_reader(const thread_reader&) = delete;
  thread_reader& operator=(const thread_reader&) = delete;
  ~thread_reader();

  /// Some microseconds; the first one opens three descriptors or more. `gone` of a thread that has ended.
  [[nodiscard]] thread_state look() noexcept;

  [[nodiscard]] thread_sign thread() const noexcept { return thread_; }

  /// Whether `syscall` tells calls by the numbers that this program makes them by.
  [[nodiscard]] static bool tells_our_calls() noexcept;

private:
  struct group {
    int fd = -1;
    int scale = 1;  // ns a unit
    std::int64_t period_ns = 0;
  };

  [[nodiscard]] bool open() noexcept;
  [[nodiscard]] bool open_groups() noexcept;
  [[nodiscard]] bool read_once(thread_state& into) const noexcept;
  void read_schedstat(thread_state& into) const noexcept;
  [[nodiscard]] bool read_stat(thread_state& into) const noexcept;
  void read_call(thread_state& into) const noexcept;

  const thread_sign thread_;
  bool is_open_ = false;      // what can be had is
  bool knows_groups_ = false;
  int schedstat_ = -1;
  int stat_ = -1;
  int syscall_ = -1;
  std::array<group, levels_max> groups_{};
};

}  // namespace levity::detail
