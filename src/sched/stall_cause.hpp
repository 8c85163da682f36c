#pragma once

// stall_cause: why a thread stood still, from looks at it and at the machine.
//
// A stall account takes the time between two looks apart, and adds up. It may be fed two looks, or one every millisecond while the
// stall lasts: the more there are, the less has to be guessed.
//
//   wall time = on_cpu + off_cpu + in_call + lock + fault + unseen + hidden            exactly, of every interval and every sum
//   off_cpu   = waiting + stopped + stolen
//
//   share     is                                                                       from
//   on_cpu    what its clock went on by                                                exact
//   waiting   what schedstat went on by: waits for a CPU that are over                 exact
//   stopped   what the looker missed, too; no more than is left                        platform/looker.hpp
//   the rest  all of it goes to what the thread does at the end of the interval, if it does not run:
//             waiting for a CPU (a wait that lasts, which no counter has yet), stopped, asleep in a call or a fault.
//             If it runs again, to the first of these that may be:
//               stolen    it has been given no CPU anew, but the one that it waited for at the look before, so it never left
//                         its own: a hypervisor had that, or the kernel itself when it ended a throttling
//               waiting   it is no more than the switches between threads took, 5 us each
//               stolen    as much as the machine says was stolen, unless it was asleep when the interval began
//               fault     faults have ended meanwhile that had to wait
//               asleep    as it was when the interval began
//               stopped   the looker was kept while it was awake, in this interval or after the look at its beginning
//               in_call   calls that were over before anybody could see them: they have no name
//             Where its turns cannot be read nothing tells stolen, waiting and in_call apart: hidden.
//
// What a counter went on by is known between two looks that both could read it: the first that can has a sum since the thread
// began.
//
// The largest share is the cause. Of equal ones the first of: off_cpu, on_cpu, fault, lock, in_call, unseen: a thread that was
// ready to run is rather excused than called blocked. For the same reason a thread that waits for a CPU at a look is waiting all
// through the rest of that interval, even if it slept in it before; the next look's counter takes back what was counted twice.
//
// `unseen` is the time that a thread slept and the kernel hides in what; `hidden` that in which its clock stood still and nothing
// was to be read of it, so that it may have slept or had no CPU: /proc is not mounted, or the process has run out of descriptors.
// Only then is the cause unknown. The two are told apart because whoever sleeps keeps its thread, and whoever has no CPU does not:
// where nothing can be read the clock alone proves that a thread is kept.
//
// Rejected: the state at one moment (who woke 10 us ago and has no CPU yet, would be excused; who stopped to compute 10 us ago
// would be blocked); the time in the call itself, from a clock read before and after it (two clock reads for each call, and a call
// that computes looks the same as one that sleeps).

#include <array>
#include <cstddef>
#include <cstdint>

#include "platform/looker.hpp"
#include "platform/thread_state.hpp"

namespace levity::inline v0::detail {

/// The values are an order: what ties go to comes first.
enum class stall_cause : std::uint8_t {
  off_cpu,  // ready to run: the machine gave it no CPU
  on_cpu,   // it computes
  fault,    // touches memory that has to come from a disk or from who serves it
  lock,     // futex, flock, fcntl
  in_call,  // in a system call that sleeps
  unknown,  // asleep, and the kernel does not say in what; or nothing can be read but its clock
};

inline constexpr std::size_t stall_causes = 6;

enum class off_cpu_reason : std::uint8_t { crowded, throttled, stopped, stolen };

/// Nanoseconds of a stall, by what became of them.
struct stall_shares {
  std::int64_t on_cpu_ns = 0;
  std::int64_t waiting_ns = 0;
  std::int64_t stopped_ns = 0;
  std::int64_t stolen_ns = 0;
  std::int64_t fault_ns = 0;
  std::int64_t lock_ns = 0;
  std::int64_t in_call_ns = 0;
  std::int64_t unseen_ns = 0;
  std::int64_t hidden_ns = 0;

  [[nodiscard]] std::int64_t off_cpu_ns() const noexcept { return waiting_ns + stopped_ns + stolen_ns; }
  [[nodiscard]] std::int64_t total_ns() const noexcept {
    return on_cpu_ns + off_cpu_ns() + fault_ns + lock_ns + in_call_ns + unseen_ns + hidden_ns;
  }
};

/// What is to be said of a stall.
struct stall_verdict {
  stall_cause cause = stall_cause::unknown;
  off_cpu_reason reason = off_cpu_reason::crowded;  // of off_cpu
  int call = thread_state::no_call;                 // of lock and in_call: the one that took most; no_call: it was over too soon
  stall_shares shares{};
  std::int64_t throttled_ns = 0;      // no more than the thread waited
  std::uint64_t major_faults = 0;     // that have ended
  std::uint64_t user_ticks = 0;       // 10 ms each: where the CPU time went, roughly
  std::uint64_t kernel_ticks = 0;
};

/// Whether whoever sleeps in this call waits for a lock.
[[nodiscard]] bool waits_for_lock(int call, const std::array<std::uint64_t, 6>& arguments) noexcept;

/// One stall of one thread. Pure: it looks at nothing itself. One thread at a time; constant time and memory.
class stall_account {
public:
  /// From here on; what was counted is forgotten.
  void begin(const thread_state& thread, const machine_state& machine) noexcept;
  /// The time since begin(), or since the last add(). A look that is older than that one is ignored.
  void add(const thread_state& thread, const machine_state& machine) noexcept;

  [[nodiscard]] stall_verdict judge() const noexcept;
  [[nodiscard]] const stall_shares& shares() const noexcept { return shares_; }
  [[nodiscard]] std::int64_t began_ns() const noexcept { return began_ns_; }

private:
  struct call_share {
    int call = thread_state::no_call;
    bool is_lock = false;
    std::int64_t ns = 0;
  };

  void add_rest(std::int64_t ns, const thread_state& now, const machine_state& machine) noexcept;
  void add_nameless(std::int64_t ns) noexcept;
  void add_counters(const thread_state& now) noexcept;
  void add_awake(std::int64_t ns, const thread_state& now, const machine_state& machine) noexcept;
  void add_asleep(std::int64_t ns, const thread_state& where) noexcept;
  void add_call(std::int64_t ns, int call, bool is_lock) noexcept;

  std::int64_t began_ns_ = 0;
  thread_state last_;
  machine_state machine_;
  stall_shares shares_;
  std::int64_t ahead_ns_ = 0;  // counted as waiting before schedstat knew of it
  std::int64_t lapse_ns_ = 0;  // of the looker, that explains nothing yet
  std::array<call_share, 4> calls_{};
  std::uint64_t major_faults_ = 0;
  std::uint64_t user_ticks_ = 0;
  std::uint64_t kernel_ticks_ = 0;
  std::int64_t throttled_ns_ = 0;
  std::int64_t throttled_periods_ns_ = 0;
};

}  // namespace levity::detail
