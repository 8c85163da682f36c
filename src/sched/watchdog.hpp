#pragma once

// watchdog: sees to it that a blocking call keeps its own thread and nothing else.
//
// blocking(f) runs f where it stands: on the worker's thread, which holds a slot, a reactor and queued tasks. A quick call costs
// that worker two words of bookkeeping. Of one that lasts the watchdog gives the slot to a spare, which polls that reactor and
// runs those tasks; the thread learns of it when f returns, queues its task for others, and is a spare from then on.
//
//   worker's `call_`        moved by
//   number                  at rest
//   number, in_call         enter_call()                                  the worker
//   number, in_call, taken  take_slot(): the slot is somebody else's      the watchdog
//   at rest again           leave_call(): in_call -> at rest, or it finds `taken`   the worker
//
// One exchange decides between leave_call() and take_slot(): the slot has one holder at any moment. In a call the thread counts as
// foreign, what f wakes or spawns goes to the queue that all share, so nobody else uses the worker's deques and the spare may
// empty them, even those that know no thieves.
//
// How it looks. A call that is still there one look later has lasted for `look_ns` and is slow. While there are calls, quick ones
// too, it looks again after up to `look_rarely_ns`; when there were none for a while it sleeps until one wakes it, which costs that
// one a system call: a stream of quick calls pays for none, a program that makes none has a thread less.
//
// A look that comes late says nothing: what stopped this thread (SIGSTOP, a quota, a hypervisor) has stopped the workers' threads
// as well, and a call of a microsecond seems to have lasted. Such a look is left out, one of several in a row: on a machine
// where every look is late the next one judges.
//
// Where no thread is to be had for a spare, calls go to blocking_pool for a while: until a retry, which some later call sets off,
// or another look at a call that lasts, has got one. Pauses between retries double, from 0.1 s to 10 s.
//
// A worker with pinned tasks keeps its slot, for they can run nowhere else, and makes its calls on the threads of blocking_pool; so
// do all when every spare is taken.
//
// Edges
//   E180  enter_call() <-> the watchdog falls asleep: fences, see full_fence() in both; one sees the other.
//   E181  a slot changes hands, a worker is added -> who looks it up.
//   E182  enter_call() -> take_slot(): what the worker left behind, the deques above all.
//   E183  pass_slot() -> the spare takes it over.
//
// Rejected: hand every call to a pool (two futex round trips, 50 us, for a call that takes 1); run f in place and hope; take the
// slot after a while without asking the worker (design D2: a worker that is moved away from a running thread).

#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "levity/base/atomic.hpp"

namespace levity::inline v0::detail {

class scheduler;
class worker;

/// Tells which looks came too late to judge anything.
class look_times {
public:
  static constexpr std::int64_t late_ns = 500'000;

  /// Whether a look that was due at `due_ns` and is made at `now_ns` is left out.
  [[nodiscard]] bool leave_out(std::int64_t due_ns, std::int64_t now_ns) noexcept {
    left_out_ = !left_out_ && now_ns - due_ns > late_ns;
    return left_out_;
  }

private:
  bool left_out_ = false;  // the look before
};

class watchdog {
public:
  static constexpr unsigned kept_max = 64;  // threads that calls may keep, beside one a slot
  static constexpr std::int64_t look_ns = 100'000;
  static constexpr std::int64_t look_rarely_ns = 1'000'000;
  static constexpr unsigned looks_before_sleep = 100;
  static constexpr std::int64_t retry_ns = 100'000'000;
  static constexpr std::int64_t retry_rarely_ns = 10'000'000'000;

  watchdog(scheduler& owner, unsigned slots) noexcept : owner_(owner), slots_(static_cast<int>(slots)) {}
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

  [[nodiscard]] static constexpr unsigned spares_max(unsigned slots) noexcept { return kept_max + slots; }

  /// Whether a call may be made in place: somebody watches, and each slot's worker may make a slow one without a spare being
  /// missed. Any thread.
  [[nodiscard]] bool is_ready() noexcept {
    if (room_.load(std::memory_order_relaxed) < slots_) [[unlikely]] return ask_for_retry();
    return state_.load(std::memory_order_relaxed) != state::absent || start();
  }
  /// A call has begun, and a full fence has passed since (E180).
  void notice() noexcept {
    if (state_.load(std::memory_order_relaxed) == state::asleep) [[unlikely]] wake();
  }
  /// A worker that lost its slot is ready for another one.
  void offer_spare(worker& spare) noexcept;
  /// When there are no more calls.
  void stop() noexcept;

private:
  enum class state : std::uint32_t { absent, awake, asleep, stopping };

  bool start() noexcept;
  void wake() noexcept;
  void watch() noexcept;
  bool look() noexcept;
  void fall_asleep() noexcept;
  void hand_over(worker& from, std::uint64_t call) noexcept;
  worker* add_spare() noexcept;
  void retry() noexcept;
  bool ask_for_retry() noexcept;

  scheduler& owner_;
  const int slots_;
  atomic<state> state_{state::absent};
  // Spares that wait, and such as could be started. At least as many as workers are in calls that may turn out to be slow: who
  // enters one finds `slots_`, and fewer others than that are in one.
  atomic<int> room_{static_cast<int>(spares_max(static_cast<unsigned>(slots_)))};
  std::mutex lock_;
  std::vector<worker*> spares_;  // guarded by lock_
  std::thread thread_;           // guarded by lock_
  // Of the watchdog's thread.
  std::vector<std::uint64_t> seen_;  // by worker: its call when last looked at
  struct slow_call {
    worker* made_by;
    std::uint64_t call;
  };
  std::vector<slow_call> slow_;      // found by a look
  bool moved_ = false;               // calls have begun or ended since the last look
  look_times times_;
  int withheld_ = 0;                 // what room_ has lost since a thread was refused
  std::int64_t retry_pause_ns_ = retry_ns;
  // The next retry, 0: none. The watchdog sets it; others see by it whether it is worth waking.
  atomic<std::int64_t> retry_at_ns_{0};
};

}  // namespace levity::detail
