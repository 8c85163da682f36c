#pragma once

// watchdog: sees to it that a task which blocks, or computes without end, keeps its own thread and nothing else.
//
// A worker's thread holds a slot, a reactor and queued tasks. Two things keep it from them, and of both the watchdog gives the slot
// to a spare, which polls that reactor and runs those tasks; the thread learns of it when it is back, queues its task for others if
// it must, and is a spare from then on.
//
// A call, blocking(f), runs f where it stands. A quick one costs its worker two words of bookkeeping.
//
//   worker's `call_`        moved by
//   number                  at rest
//   number, in_call         enter_call()                                  the worker
//   number, in_call, taken  take_slot(): the slot is somebody else's, perhaps before the worker   the watchdog
//                           has looked at hold_: then it makes the call all the same
//   at rest again           leave_call(): in_call -> at rest, or it finds `taken`   the worker
//
// One exchange decides between leave_call() and take_slot(): the slot has one holder at any moment. In a call the thread counts as
// foreign, what f wakes or spawns goes to the queue that all share, so nobody else uses the worker's deques and the spare may
// empty them, even those that know no thieves.
//
// A task that does not come back says nothing beforehand, and a worker that asked for leave at each task would pay for it at each.
// So the watchdog interrupts the one that it suspects: it doubts the slot, has the kernel pass a barrier on all threads, and looks
// whether the worker is inside a task. If it is, its next look at `slow_at_`, at the latest when the task waits or ends, comes
// after the barrier, and it does nothing that needs the slot before: a late notice is impossible, not just harmless. One exchange
// decides again.
//
//   worker's `hold_`        moved by
//   held -> doubted         take_slot_from_task(), before its barrier     the watchdog
//   doubted -> held         keeps_slot(): it is not stuck                 the worker
//                           it was not inside a task                      the watchdog
//   doubted -> lost         it was: the slot is somebody else's           the watchdog
//   held -> lost            a call was taken                              the watchdog, the worker
//   lost -> held            take_over() of another slot                   the worker
//
// Inside a task (current_ is set) a worker pushes onto its deques, arms timers on its reactor, and asks for its index and home
// where any of them will do; all of that bears another holder of the slot. Whatever does not, polling and the reactor's guest above
// all, is done outside of it: between tasks, or by stay_at_idle_home().
//
// A worker whose slot is `lost` pops nothing from its deques, though its task may go on to push there; who holds drain_lock_ takes
// it all (surrender(), take_over()): the spare, the watchdog at each look, the worker itself at its next boundary. So a task that
// spawns and wakes while it is stuck keeps nobody waiting for more than a look. What is pinned to the worker stays with it, and
// runs on its thread beside the slots.
//
// Who is stuck. A task that looks have found for `doze_ns` is suspected, and notes are kept of it (stall_watch.hpp); from then on
// it is looked at each `suspect_ns`, until the thread has used processor time for that task, or slept in it. One that has merely
// not been given a processor is left alone: to replace it would add to the crowd that keeps it from one. The notes go on until the
// task waits or ends: a stall that lasts is told of, with its cause and stack. Where one is stuck the next one is likely: for
// `alert_ns` after a task that was replaced has lasted for `doze_ns` two looks are enough for a suspicion; but who computes is left
// alone for `computes_ns` even then, or everybody who takes his time would be replaced.
//
// How it looks. A call that is still there one look later has lasted for `look_ns` and is slow. While there are calls, quick ones
// too, it looks again after up to `look_rarely_ns`; while there are only tasks, each `doze_ns`, from which a call wakes it; when
// nothing has run for a while it sleeps until a worker that leaves its sleep wakes it. That one, and a call, pays for a system call
// then: a stream of them pays for none, a program that rests wakes nobody.
//
// A look that comes late says nothing: what stopped this thread (SIGSTOP, a quota, a hypervisor) has stopped the workers' threads
// as well, and a call of a microsecond seems to have lasted. Such a look is left out, one of several in a row: on a machine
// where every look is late the next one judges.
//
// Where no thread is to be had for a spare, calls go to blocking_pool for a while: until a retry, which some later call sets off,
// or another look at a call that lasts, has got one. Pauses between retries double, from 0.1 s to 10 s. A task that is stuck
// strands what its worker holds until then, and so does one more than `stuck_threads_max`; both are told on standard error. Where
// the kernel refuses membarrier(2) only calls are watched.
//
// A worker with pinned tasks makes its calls on the threads of blocking_pool; so do all when every spare is taken. A spare's thread
// that has had nothing to do for ten seconds ends.
//
// Edges
//   E180 enter_call(), a worker leaves its sleep <-> the watchdog falls asleep: fences, see full_fence() in all; one sees the
//   other. E181 a slot changes hands, a worker is added -> who looks it up. E182 enter_call() -> take_slot(): what the worker left
//   behind, the deques above all. E183 pass_slot() -> the spare takes it over. E360 take_slot_from_task() <-> the worker leaves a
//   task, or begins a call: the barrier falls before the worker's look at slow_at_
//        or hold_, which then finds the doubt, or after its store of current_ or call_, which the watchdog then sees.
//   E361 the worker enters a task -> take_slot_from_task(): what is the slot's, as the worker left it.
//   E362 take_slot_from_task(), take_slot() -> keeps_slot(): the slot is gone; of the latter, that it went from under the very call
//   that begins.
//   E363 drain_lock_: the last of those who moved tasks out of a worker's deques -> the worker pops from them again.
//   E364 let_rest(), a spare's thread leaves its worker -> another one is started for that: lock_.
//
// watchdog_model_test.cpp goes through how slots change hands in all orders of its steps; who changes the one changes the other.
//
// Rejected: hand every call to a pool (two futex round trips, 50 us, for a call that takes 1); run f in place and hope; a worker
// that gives its slot up by an exchange at each task and takes it back at the next (5 ns a task); a slot that is taken without
// asking, with both holders at work until the first one notices (the guest of a reactor and deques without thieves do not bear it).

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/rng.hpp"
#include "platform/looker.hpp"
#include "platform/thread_stack.hpp"
#include "sched/stall_watch.hpp"
#include "sched/stalled_task.hpp"

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

struct watchdog_options {
  unsigned slots = 1;
  unsigned kept_max = 512;              // threads that tasks and calls may keep, beside one a slot
  stall_listener* listener = nullptr;   // outlives it; null: nobody wants to know
  std::int64_t tell_after_ns = 0;       // so long a task lasts before it is told of
};

/// For tests: each look takes the slot of workers that are in a task, whatever they do there.
struct eager_taking {
  atomic<std::uint64_t> seed{0};   // of which worker; 0: nothing is taken so
  atomic<int> slots_min{1};        // runtimes with fewer are left alone: tasks of one worker may rely on never running at once
  atomic<std::uint64_t> taken{0};  // how often, in all
};

class watchdog {
public:
  static constexpr std::int64_t look_ns = 100'000;
  static constexpr std::int64_t look_rarely_ns = 1'000'000;
  static constexpr std::int64_t suspect_ns = 1'000'000;
  static constexpr std::int64_t alert_ns = 3'000'000'000;
  static constexpr std::int64_t computes_ns = 3'000'000;   // of processor time; who uses less within `doze_ns` is not stuck
  static constexpr std::int64_t doze_ns = 10'000'000;
  static constexpr unsigned looks_before_doze = 100;       // without calls
  static constexpr unsigned dozes_before_sleep = 3;        // without tasks
  static constexpr std::int64_t retry_ns = 100'000'000;
  static constexpr std::int64_t retry_rarely_ns = 10'000'000'000;
  static constexpr std::int64_t tell_ns = 10'000'000'000;  // between two complaints of one kind
  static constexpr std::int64_t counted_ns = 20'000'000;   // stalls that are shorter are nobody's business
  static constexpr std::size_t watches_max = 32;           // tasks of which notes are kept; those that were told of make room

  static inline eager_taking eagerly;

  watchdog(scheduler& owner, const watchdog_options& options) noexcept
      : owner_(owner), options_(options), slots_(static_cast<int>(options.slots)), spares_max_(options.kept_max + options.slots),
        room_(static_cast<int>(spares_max_)) {}
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

  [[nodiscard]] unsigned spares_max() const noexcept { return spares_max_; }

  /// Whether a call may be made in place: somebody watches, and each slot's worker may make a slow one without a spare being
  /// missed. Any thread.
  [[nodiscard]] bool is_ready() noexcept {
    if (room_.load(std::memory_order_relaxed) < slots_) [[unlikely]] return ask_for_retry();
    return state_.load(std::memory_order_relaxed) != state::absent || start();
  }
  /// A call has begun, and a full fence has passed since (E180).
  void notice() noexcept {
    const state seen = state_.load(std::memory_order_relaxed);
    if (seen == state::asleep || seen == state::dozing) [[unlikely]] wake();
  }
  /// A worker has left its sleep, and a full fence has passed since (E180).
  void notice_work() noexcept {
    if (state_.load(std::memory_order_relaxed) == state::asleep) [[unlikely]] wake();
  }
  /// A worker that lost its slot is ready for another one.
  void offer_spare(worker& spare) noexcept;
  /// Its thread is about to end. False: it has been given a slot.
  [[nodiscard]] bool withdraw_spare(worker& spare) noexcept;
  /// Its thread has left it: it may be given another one. E364.
  void let_rest(worker& spare) noexcept;
  /// When there are no more tasks.
  void stop() noexcept;

  // Any thread.
  /// Slots that were taken from tasks so far.
  [[nodiscard]] std::uint64_t taken_from_tasks() const noexcept { return taken_.load(std::memory_order_relaxed); }
  /// Slots that should have been, and were not, for want of a thread or by stuck_threads_max: each at each look.
  [[nodiscard]] std::uint64_t left_to_tasks() const noexcept { return left_.load(std::memory_order_relaxed); }
  /// Tasks that have kept their worker for `counted_ns`, by cause; those that last count when they are told of.
  [[nodiscard]] std::uint64_t stalls(stall_cause cause) const noexcept {
    return stalls_[static_cast<std::size_t>(cause)].load(std::memory_order_relaxed);
  }

private:
  enum class state : std::uint32_t { absent, awake, dozing, asleep, stopping };
  struct sight {
    std::uint64_t call = 0;
    std::uint64_t task = 0;       // how many were run
    bool in_task = false;
    std::int64_t since_ns = 0;     // when it was first seen in that task
    stall_watch* watch = nullptr;  // it is suspected
    bool is_stuck = false;         // its thread is kept by that task
    bool is_replaced = false;
    bool is_proven = false;        // it was replaced, and rightly
    bool is_over = false;          // it was counted and told of, or made room for others: no notes are begun any more
  };
  enum class finding : std::uint8_t { nothing, work, suspicion, call };

  bool start() noexcept;
  void wake() noexcept;
  void watch() noexcept;
  finding look() noexcept;
  void look_at_call(worker& at, sight& before) noexcept;
  void look_at_task(worker& at, sight& before) noexcept;
  void watch_task(worker& at, sight& before) noexcept;
  void end_watch(sight& of) noexcept;
  void count(const stall_watch& of) noexcept;
  [[nodiscard]] stall_watch* free_watch() noexcept;
  [[nodiscard]] const machine_state& machine() noexcept;
  [[nodiscard]] bool is_needed(state as) noexcept;
  std::int64_t pause(state as, std::int64_t wait_ns) noexcept;
  bool take_from_call(worker& from, std::uint64_t call) noexcept;
  [[nodiscard]] bool take_from_task(worker& from) noexcept;
  void take_eagerly(std::uint64_t seed) noexcept;
  worker* spare_for_slot() noexcept;
  void put_back(worker& spare) noexcept;
  worker* add_spare() noexcept;
  void retry() noexcept;
  bool ask_for_retry() noexcept;

  scheduler& owner_;
  const watchdog_options options_;
  const int slots_;
  const unsigned spares_max_;
  atomic<state> state_{state::absent};
  // Spares that wait, and such as could be started. At least as many as workers are in calls that may turn out to be slow: who
  // enters one finds `slots_`, and fewer others than that are in one.
  atomic<int> room_;
  std::mutex lock_;
  std::vector<worker*> spares_;   // guarded by lock_
  std::vector<worker*> resting_;  // spares whose thread has ended; guarded by lock_
  std::thread thread_;            // guarded by lock_
  atomic<std::uint64_t> taken_{0};
  atomic<std::uint64_t> left_{0};
  std::array<atomic<std::uint64_t>, stall_causes> stalls_{};
  // Of the watchdog's thread.
  bool takes_from_tasks_ = false;    // the kernel has the barrier for it
  std::vector<sight> seen_;          // by worker, when last looked at
  std::vector<worker*> suspects_;    // found by a look
  std::unique_ptr<std::array<stall_watch, watches_max>> watches_;
  std::optional<looker> looker_;
  std::optional<machine_state> machine_;  // as seen in the look that is under way
  stack_sampler sampler_;
  std::int64_t now_ns_ = 0;               // of the look that is under way
  struct slow_call {
    worker* made_by;
    std::uint64_t call;
  };
  std::vector<slow_call> slow_;      // found by a look
  bool moved_ = false;               // calls have begun or ended since the last look
  finding found_ = finding::nothing; // by the look that is under way
  std::int64_t alert_until_ns_ = 0;
  std::int64_t told_ns_ = 0;         // of stuck_threads_max
  std::uint64_t eager_seed_ = 0;
  rng eager_{1};
  look_times times_;
  int withheld_ = 0;                 // what room_ has lost since a thread was refused
  std::int64_t retry_pause_ns_ = retry_ns;
  // The next retry, 0: none. The watchdog sets it; others see by it whether it is worth waking.
  atomic<std::int64_t> retry_at_ns_{0};
};

}  // namespace levity::detail
