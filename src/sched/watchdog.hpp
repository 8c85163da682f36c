#pragma once

// watchdog: sees to it that a task which blocks, or computes without end, keeps its own thread and nothing else.
//
// A worker's thread holds a slot, a reactor and queued tasks. Two things keep it from them, and of both the watchdog gives the slot
// to a spare, which polls that reactor and runs those tasks; the thread learns of it when it is back, queues its task for others if
// it must, and is a spare from then on.
//
// A task that does not come back says nothing beforehand, and a worker that asked for leave at each task would pay for it at each.
// So the watchdog interrupts the one that it suspects: it doubts the slot, has the kernel pass a barrier on all threads, and looks
// whether the worker is inside a task. If it is, its next look at `slow_at_`, at the latest when the task waits or ends, comes
// after the barrier, and it does nothing that needs the slot before: a late notice is impossible, not just harmless. One exchange
// decides: the slot has one holder at any moment.
//
// A call, blocking(f), runs f where it stands, and is a place like a task: whoever leaves it looks at `hold_` before anything else.
// So a quick one costs its worker two stores and two looks. The watchdog takes the slot only from under the very call that it
// has found to last, for the next one is quick perhaps. In a call the thread counts as foreign: what f wakes or spawns goes to the
// queue that all share. Whether the slot is there still when a call begins is nobody's question: it is made all the same.
//
//   worker's `call_`        moved by
//   even                    at rest
//   odd                     enter_call(): in a call                       the worker
//   even again              leave_call()                                  the worker
//
//   worker's `hold_`        moved by
//   held -> doubted         take_slot(), before its barrier               the watchdog
//   doubted -> held         keeps_slot(): it is not stuck                 the worker
//                           it was neither in that call nor inside a task   the watchdog
//   doubted -> lost         it was: the slot is somebody else's           the watchdog
//   held, doubted -> lost   rest(): there is one slot too many            the worker, outside a task or a call
//   lost -> held            take_over() of another slot                   the worker
//
// Inside a task (current_ is set) a worker pushes onto its deques, arms timers on its reactor, and asks for its index and home
// where any of them will do; all of that bears another holder of the slot. Whatever does not, polling and the reactor's guest above
// all, is done outside of it: between tasks, or by stay_at_idle_home().
//
// A worker whose slot is `lost` pops nothing from its deques, though its task may go on to push there; who holds drain_lock_ takes
// it all (surrender(), take_over()): the spare, the watchdog at each look, the worker itself at its next boundary. So a task that
// spawns and wakes while it is stuck keeps nobody waiting for more than a look. A fresh task needs a record for that, and where
// there is no memory for one it stays for the next look; a deque that is full bounds that. What is pinned to the worker stays with
// it, and runs on its thread beside the slots.
//
// Who is stuck. A task that looks have found for `doze_ns` is suspected, and notes are kept of it (stall_watch.hpp); from then on
// it is looked at each `suspect_ns`, until the thread has computed for that task for so long that it does not merely take its
// time, or slept in it. One that has not been given a processor is left alone: to replace it would add to the crowd that keeps it
// from one. The notes go on until the task waits or ends: a stall that lasts is told of, with its cause and stack. Where one is
// stuck the next one is likely: for `alert_ns` after a task that was replaced has lasted for `doze_ns` two looks are enough for a
// suspicion.
//
// A dozing watchdog would let the first one in a while keep others waiting for two of its looks. Its neighbours see it sooner:
// whoever runs tasks glances at another slot twice a millisecond, and tells of one that has computed since, still for the same
// task (hint()). It is looked at after `suspect_ns`, or when it may have shown that it computes, and is stuck when it has computed
// for long enough since the first glance. Notes are begun then, or when it has lasted for `hinted_long_ns` and may be asleep: most
// are over sooner, and notes cost files to be opened. Who sleeps has no processor between two glances, like one that waits for its
// turn: it is told of when it has been there for longer than that takes, and suspected at once. At most one in `hint_pause_ns` is
// told of, so that tasks that take their time wake the watchdog rarely. Who knows that it will last, since it wakes a crowd, says
// so itself and is replaced at the next look (tell_lasting()).
//
// Most that last do so on a full machine, and hardly compute: their thread waits for a processor. Of those there are no notes
// before they have lasted for `counted_ns`; unless one was stuck of late, or the crowd is our own (below). A neighbour does not
// tell of them at all, so that it may tell of one that computes when it has got a processor.
//
// The crowd that keeps a thread from a processor may be our own: tasks that were replaced and compute, two or more and as many as
// there are slots. Among sixteen of them on two processors a new one would have shown by 27 ms, at the soonest, that it computes,
// and its worker has waited all that time for what the tasks before it do. So there a wait for a processor counts like computing,
// and `stuck_ns` of both are enough: who is replaced wrongly so adds one thread to the crowd until its task ends. For the same
// reason this thread, and a spare that takes a slot from a task, ask for brief time slices (platform/time_slice.hpp): among threads
// that compute they have a processor when they wake up, and no more of it than before. Who has lost its slot to a spare has its
// usual ones again.
//
// How it looks. A call that is still there one look later has lasted for `look_ns` and is slow. While there are calls, quick ones
// too, it looks again after up to `look_rarely_ns`; while there are only tasks it dozes, and looks each 10 ms or so
// (doze_pace.hpp), until a call wakes it; when nothing has run for a while it sleeps until a worker that leaves its sleep wakes it.
// That one, and a call, pays for a system call then: a stream of them pays for none, a program that rests wakes nobody. As it falls
// into a doze, or asleep, it pays for a barrier, so that no call pays for a fence; so it dozes on over its looks. A doze may last
// a little longer, and so end with a tick of the kernel, not by an interrupt of its own.
//
// A look that comes late says nothing: what stopped this thread (SIGSTOP, a quota, a hypervisor) has stopped the workers' threads
// as well, and a call of a microsecond seems to have lasted. Such a look is left out, one of several in a row: on a machine
// where every look is late the next one judges. Unless all are in other tasks and calls than before: then none has lasted.
//
// Where no thread is to be had for the watchdog itself nobody watches, which is told on standard error, once; each call asks for
// one again. Where there is none for a spare, calls go to blocking_pool for a while: until a retry, which some later call sets off,
// or another look at a call that lasts, has got one. Pauses between retries double, from 0.1 s to 10 s. A task that is stuck
// strands what its worker holds until then, and so does one more than `stuck_threads_max`; both are told on standard error. Where
// the kernel refuses membarrier(2) nothing is taken from anybody: calls go to blocking_pool, and tasks that are stuck are told of.
//
// It follows the limit of CPUs, too, for it is the one that can start threads and sleeps without being needed elsewhere: where
// there is a limit it sleeps in ppoll(2), on a bell instead of the futex, and on the descriptor that tells of a change. While it
// dozes it asks that descriptor each `limit_pause_ns`: a doze on the futex is cheaper, and there are many. What it does not tell is
// read on an occasion that comes anyway. Then it says how many slots are wanted, and puts in service what is
// lacking (scheduler.hpp).
//
// A worker with pinned tasks makes its calls on the threads of blocking_pool; so do all when every spare is taken. A spare's thread
// that has had nothing to do for ten seconds ends.
//
// Edges
//   E180 a call begins, a worker leaves its sleep, or keeps fresh tasks without a slot, for want of memory <-> the watchdog dozes
//        or falls asleep: one sees the other. Of a call: the barrier falls before its look at the watchdog's state, or after its
//        store of call_. The others have a fence.
//   E182 enter_call() -> take_slot(): what the worker left behind, the deques above all.
//   E183 grant() -> the spare takes it over.
//   E360 take_slot() <-> the worker leaves a task, or a call: the barrier falls before the worker's look at slow_at_ or hold_,
//        which then finds the doubt, or after its store of current_ or call_, which the watchdog then sees.
//   E361 the worker enters a task -> take_slot(): what is the slot's, as the worker left it.
//   E362 take_slot() -> take_slice(): what the worker has popped before, without a fence perhaps. The taker itself knows, and the
//        spare that it gives the slot to (E183); a spare that had a slot of this worker before, and is late, does not.
//   E363 drain_lock_: a worker has its slot again -> who would move tasks out of its deques finds that. And who moved some -> the
//        worker pops again: it has emptied them itself (await_slot), but for what stayed there for want of memory.
//   E366 drain_lock_: a worker whose slot goes to rest has popped its last task, without a fence perhaps -> who moves tasks out of
//        its deques.
//   E364 let_rest(), a spare's thread leaves its worker -> another one is started for that: lock_.
//
// watchdog_model.cpp and scheduler_model.cpp have this source run in all orders of its steps; tests/model/planted/sched holds the
// errors that they must find in it.
//
// Rejected: hand every call to a pool (two futex round trips, 50 us, for a call that takes 1); run f in place and hope; a worker
// that gives its slot up by an exchange at each task and takes it back at the next (5 ns a task); a slot that is taken without
// asking, with both holders at work until the first one notices (the guest of a reactor and deques without thieves do not bear it).

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/system_mutex.hpp"
#include "base/system_thread.hpp"
#include "levity/base/atomic.hpp"
#include "levity/base/rng.hpp"
#include "platform/cpu_limit.hpp"
#include "platform/looker.hpp"
#include "platform/thread_stack.hpp"
#include "platform/timer_slack.hpp"
#include "sched/doze_pace.hpp"
#include "sched/stall_teller.hpp"
#include "sched/stall_watch.hpp"
#include "sched/stalled_task.hpp"

namespace levity::inline v0::detail {

class scheduler;
class worker;

/// Tells which looks came too late to judge anything.
class look_times {
public:
  static constexpr std::int64_t late_ns = 500'000;

  [[nodiscard]] static bool is_late(std::int64_t due_ns, std::int64_t now_ns) noexcept { return now_ns - due_ns > late_ns; }
  /// Whether a look that was due at `due_ns` and is made at `now_ns` is left out.
  [[nodiscard]] bool leave_out(std::int64_t due_ns, std::int64_t now_ns) noexcept {
    left_out_ = !left_out_ && is_late(due_ns, now_ns);
    return left_out_;
  }

private:
  bool left_out_ = false;  // the look before
};

struct watchdog_options {
  unsigned slots = 1;
  unsigned kept_max = 512;              // threads that tasks and calls may keep, beside one a slot
  stall_listener* listener = nullptr;   // outlives it; null: nobody wants to know
  blocking_pool* threads = nullptr;     // on which that hears; ends before the watchdog is gone
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
  static constexpr std::int64_t glimpse_ns = 250'000;  // or sooner, if it may have shown by then that it computes
  static constexpr std::int64_t alert_ns = 3'000'000'000;
  static constexpr std::int64_t hint_pause_ns = 50'000'000;
  static constexpr std::int64_t hinted_long_ns = 4'000'000;  // about a time slice of whoever may have its processor
  static constexpr std::int64_t doze_ns = 10'000'000;
  static constexpr unsigned looks_before_doze = 100;       // without calls
  static constexpr unsigned dozes_before_sleep = 3;        // without tasks
  static constexpr std::int64_t retry_ns = 100'000'000;
  static constexpr std::int64_t retry_rarely_ns = 10'000'000'000;
  static constexpr std::int64_t limit_ns = 10'000'000'000;  // the limit is read so often if it is awake anyway
  static constexpr std::int64_t limit_pause_ns = 50'000'000;
  static constexpr std::int64_t tell_ns = 10'000'000'000;  // between two complaints of one kind
  static constexpr std::int64_t counted_ns = 20'000'000;   // stalls that are shorter are nobody's business; noted time alone counts
  static constexpr std::size_t watches_max = 32;           // tasks of which notes are kept; those that were replaced make room
  static constexpr int crowd_min = 2;                      // tasks that were replaced and compute: one alone is no crowd
  static constexpr int crowd_max = watches_max / 2;        // and of so many notes may be kept, whatever the slots

  static inline eager_taking eagerly;

  /// `limit`: what the slots in service follow; null: nothing.
  watchdog(scheduler& owner, const watchdog_options& options, std::unique_ptr<cpu_limit> limit) noexcept;
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;
  ~watchdog();

  [[nodiscard]] unsigned slots() const noexcept { return static_cast<unsigned>(slots_); }
  [[nodiscard]] unsigned spares_max() const noexcept { return spares_max_; }

  /// Whether a call may be made in place: somebody watches, and each slot's worker may make a slow one without a spare being
  /// missed. Any thread.
  [[nodiscard]] bool is_ready() noexcept {
    return room_.load(std::memory_order_relaxed) >= slots_ || become_ready();
  }
  /// A call has begun, or a slot is lacking, as everybody sees who has passed a barrier of the process since (E180, E372).
  void notice() noexcept {
    const state seen = state_.load(std::memory_order_relaxed);
    if (seen == state::asleep || seen == state::dozing) [[unlikely]] wake();
  }
  /// A worker has left its sleep, or keeps fresh tasks without a slot, and a full fence has passed since (E180).
  void notice_work() noexcept {
    if (state_.load(std::memory_order_relaxed) == state::asleep) [[unlikely]] wake();
  }
  /// A worker is seen to compute, since its clock said `cpu_ns`, or to last in one and the same task, the `task`-th that it runs.
  /// False: the watchdog is about to look anyway, or has had a hint of late.
  bool hint(const worker& at, std::uint64_t task, std::int64_t cpu_ns, std::int64_t now_ns) noexcept;
  /// A task has said that it will last (worker::will_last_approx()).
  void tell_lasting() noexcept { wake(); }
  /// A slot has gone to rest: its worker will be a spare.
  void note_rest() noexcept { room_.fetch_sub(1, std::memory_order_relaxed); }
  /// A worker that lost its slot is ready for another one.
  void offer_spare(worker& spare) noexcept;
  /// Its thread is about to end. False: it has been given a slot.
  [[nodiscard]] bool withdraw_spare(worker& spare) noexcept;
  /// Its thread has left it: it may be given another one (E364).
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
  friend struct explored_watchdog;  // watchdog_model.cpp, which has it look and doze when it likes

  enum class state : std::uint32_t { absent, awake, dozing, asleep, stopping };
  struct sight {
    std::uint64_t call = 0;
    std::int64_t call_since_ns = 0;  // when it was first seen in that call
    std::uint64_t task = 0;       // how many were run
    bool in_task = false;
    std::int64_t since_ns = 0;     // when it was first seen in that task
    std::int64_t cpu_ns = 0;       // of its thread, then, or when a neighbour saw it first
    std::int64_t computed_ns = 0;  // since, when last asked
    bool knows_cpu = false;
    stall_watch* watch = nullptr;  // it is suspected
    bool is_stuck = false;         // its thread is kept by that task
    bool is_replaced = false;
    bool is_proven = false;        // it was replaced, and rightly
    bool is_hinted = false;        // a neighbour has seen it compute, or last
    bool is_counted = false;       // among stalls; it may have been told of
    bool is_over = false;          // it has made room for others: no notes are begun any more
  };
  enum class finding : std::uint8_t { nothing, work, suspicion, call };

  bool start() noexcept;
  void prepare();
  bool become_ready() noexcept;
  void wake() noexcept;
  void watch() noexcept;
  finding look() noexcept;
  void look_at_call(worker& at, sight& before) noexcept;
  void look_at_task(worker& at, sight& before) noexcept;
  [[nodiscard]] bool all_went_on() const noexcept;
  void watch_task(worker& at, sight& before) noexcept;
  enum class interest : std::uint8_t { none, notes_if_asleep, notes };
  [[nodiscard]] interest interest_in(worker& at, sight& of, bool takeable) noexcept;
  [[nodiscard]] bool is_crowded() const noexcept;
  void take_hint(const worker& at, sight& of) noexcept;
  void begin_watch(worker& at, sight& of) noexcept;
  void forget(sight& of) noexcept;
  void expect_proof(const sight& of) noexcept;
  void end_watch(sight& of) noexcept;
  void count(const stall_watch& of) noexcept;
  [[nodiscard]] stall_watch* free_watch() noexcept;
  [[nodiscard]] looker& own_looker() noexcept;
  [[nodiscard]] bool is_needed(state as) noexcept;
  std::int64_t pause(state as, std::int64_t wait_ns) noexcept;
  void prepare_doze() noexcept;
  void prepare_exact_sleep() noexcept;
  void sleep_for(state as, std::int64_t wait_ns) noexcept;
  void sleep() noexcept;
  void rouse(state from) noexcept;
  [[nodiscard]] bool limit_may_have_changed(std::int64_t now_ns) noexcept;
  void follow(std::int64_t now_ns) noexcept;
  void fill_slots() noexcept;
  bool take_from_call(worker& from, std::uint64_t call) noexcept;
  [[nodiscard]] bool take_from_task(worker& from) noexcept;
  bool take(worker& from, std::uint64_t call, worker& spare) noexcept;
  void complain_of_bound() noexcept;
  void take_eagerly(std::uint64_t seed) noexcept;
  worker* waiting_spare() noexcept;
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
  // Spares that wait, and such as could be started, but for one for each slot that is not in service. At least as many as workers
  // are in calls that may turn out to be slow: who enters one finds `slots_`, and fewer others than that are in one. None before
  // start(), nor without the barrier.
  atomic<int> room_{0};
  system_mutex lock_;
  std::vector<worker*> spares_;   // guarded by lock_
  std::vector<worker*> resting_;  // spares whose thread has ended; guarded by lock_
  system_thread thread_;            // guarded by lock_
  bool told_absent_ = false;      // guarded by lock_
  const std::unique_ptr<cpu_limit> limit_;
  const int bell_fd_;             // with a limit: ends its sleep; -1: a futex does
  atomic<std::uint64_t> taken_{0};
  atomic<std::uint64_t> left_{0};
  std::array<atomic<std::uint64_t>, stall_causes> stalls_{};
  atomic<std::uint64_t> hinted_{0};      // of whom the last hint was, as name_of() says; 0: it has been looked at
  atomic<std::int64_t> hinted_cpu_ns_{0};  // since when it computes. May be another hint's
  atomic<std::int64_t> hinted_at_ns_{0};
  // Of the watchdog's thread.
  bool has_barrier_ = false;
  bool takes_from_tasks_ = false;
  bool limit_changed_ = false;       // perhaps
  bool lacks_means_ = false;         // a slot is lacking, and a thread or a reactor for it
  std::int64_t limit_read_ns_ = 0;
  std::int64_t limit_asked_ns_ = 0;
  std::vector<sight> seen_;          // by worker, when last looked at
  std::vector<worker*> suspects_;    // found by a look
  struct unwatched {
    worker* at;
    sight* seen;
    bool if_asleep;
  };
  std::vector<unwatched> unwatched_; // found by a look: notes of their tasks are begun at its end
  std::unique_ptr<std::array<stall_watch, watches_max>> watches_;
  int watched_ = 0;                  // of those, in use: then it wants to know of its sleeps
  std::optional<looker> looker_;
  thread_sign own_clock_;
  doze_pace pace_;
  bool dozed_ = false;               // before the look that is under way
  std::optional<timer_slack> slack_; // of a doze; never while looker_ has exact timers
  stack_sampler sampler_;
  stall_teller teller_;
  std::int64_t now_ns_ = 0;               // of the look that is under way
  struct slow_call {
    worker* made_by;
    std::uint64_t call;
  };
  std::vector<slow_call> slow_;      // found by a look
  bool moved_ = false;               // calls have begun or ended since the last look
  finding found_ = finding::nothing; // by the look that is under way
  std::uint64_t hint_ = 0;           // for the look that is under way
  std::int64_t proof_due_ns_ = 0;    // so long it takes, at that look, until a suspect may have computed for long enough
  int crowd_ = 0;                    // tasks that were replaced and compute, or would, as the look before found
  int crowd_so_far_ = 0;             // the same, by the look that is under way
  std::int64_t alert_until_ns_ = 0;
  std::int64_t told_ns_ = 0;         // of stuck_threads_max
  std::uint64_t eager_seed_ = 0;
  rng eager_{1};
  look_times times_;
  int withheld_ = 0;                 // what room_ has lost since a thread was refused
  std::int64_t refused_ns_ = 0;      // when that was
  std::int64_t retry_pause_ns_ = retry_ns;
  // The next retry, 0: none. The watchdog sets it; others see by it whether it is worth waking.
  atomic<std::int64_t> retry_at_ns_{0};
};

}  // namespace levity::detail
