#pragma once

// worker: a thread that runs tasks, as long as it holds a slot. Its deques, parker, clock and batch are its own for life; the
// slot and the reactor that belongs to it, which it calls home, are not: a thread that is kept by a blocking call, or by a task
// that does not come to its end or next wait, loses them, and what its deques hold, to a spare (watchdog.hpp). Without a slot it
// runs nothing but what is pinned to it. Polling a reactor takes its lease.
//
// worker.cpp is its loop, worker_search.cpp what it runs that does not lie on top of its deques, worker_slot.cpp how it gets and
// loses its slot.
//
// Ready tasks are of two kinds, each in a deque of its own. Woken ones wait for an answer to something that has happened; fresh
// ones, spawned and never run, are work that somebody may as well do later. Both are run newest first: what a task wakes
// finds its data warm, and a tree of tasks is walked depth first, so that it holds depth times width tasks and not all of
// them. Woken ones come first.
//
// One turn: take a task (own, then injected, then stolen), run it until it parks, repeat. Without a task: poll the home
// reactor, sleeping in it. On several nodes what is on the own one comes first, queues and victims (shared_queues.hpp,
// steal_order.hpp).
//
// Fairness. Newest-first is fast and unfair, so every `fair_period` tasks the worker takes a fair turn: it looks at the clock,
// takes in turns the oldest injected task, the oldest of a crowd, the oldest woken one, the oldest pinned one, a fresh one (the
// newest, but once in `fresh_age_ns` the oldest; the oldest each time would open a tree of tasks breadth first), and one that
// another node's workers neglect, and then fires timers and, if the last poll is older than `poll_period_ns`, polls the reactor:
// what has just happened is on top of what has waited. Where tasks take their time, the watchdog asks for such a turn at each of
// its looks. A task's budget bounds how long it may go on without waiting (detail::spend_budget).
//
// Ages. Once in `age_ns` the worker counts who waits at that moment: in its own deque, and its share of the queues of its node.
// From then on every second task is the oldest one, until so many have run. So no woken task is passed by newer ones for longer
// than that takes, however fast they come; and those that come meanwhile are not held up by a long queue.
//
// Crowds. Woken tasks that a deque has no room for go to a queue of their own (shared_queues.hpp): when one task wakes a
// million, who yields or is woken from outside is not queued behind them. No deque is filled from shared queues to more than a
// quarter, or it would send away those who have waited in it longest. The children of a cancelled scope are told in fair turns,
// when those told before have gone on (scope_state::cancel_on).
//
// A push looks for a sleeper to wake without a fence. Who falls asleep at this very moment may be missed; the next pop, which
// has a fence anyway, looks again. Until then the promise of parking.hpp does not hold for that task, as it does not for
// the one that is pushed onto an empty queue.
//
// Edges
//   E381  show() -> runs_approx(): whoever reads what was shown later than the number finds another number, or none, behind it.
//         leave_task() -> runs_approx(): with the count of tasks that have run, the number of the last of them or a later one.

#include <array>
#include <coroutine>
#include <optional>
#include <source_location>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/rng.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/detail/executor.hpp"
#include "platform/thread_sign.hpp"
#include "reactor/reactor.hpp"
#include "sched/chooser.hpp"
#include "sched/deque.hpp"
#include "sched/inject_queue.hpp"
#include "sched/parking.hpp"
#include "sched/ready_task.hpp"
#include "sched/shared_queues.hpp"

namespace levity::inline v0::detail {

class apart_call;
class scheduler;

using fresh_deque = basic_deque<ready_task>;

class alignas(cache_line_bytes) worker {
public:
  static constexpr unsigned fair_period = 61;
  static constexpr std::int64_t poll_period_ns = 100'000;
  static constexpr std::int64_t glance_pause_ns = 500'000;
  static constexpr std::int64_t glance_long_ns = 10'000'000;  // more than two time slices of whoever had its processor meanwhile
  static constexpr std::int64_t age_ns = 2'000'000;
  static constexpr std::int64_t fresh_age_ns = 10'000'000;
  static constexpr std::int64_t crowd_min = 64;  // woken tasks of one worker
  static constexpr std::uint64_t told_each = 256;  // tasks; so often a slice of a cancelled scope is told beside such a crowd,
  static constexpr std::int64_t told_each_ns = 10'000'000;  // or so often, where they take their time
  static constexpr std::int64_t tidy_after_ns = 100'000'000;
  static constexpr std::int64_t spare_idle_ns = 10'000'000'000;  // then its thread ends
  static constexpr int task_budget = 128;
  static constexpr std::size_t slice_max = 64;  // tasks that are moved at a time out of the deques of a worker without a slot
  static constexpr std::size_t stack_bytes_for_transfers = 64 * 1024;

  /// The right to run tasks: one of so many, and the reactor that goes with it. A spare has none.
  struct slot {
    unsigned index = 0;
    reactor* home = nullptr;
  };

  /// `number`: which one it is, in the order in which they came.
  worker(scheduler& owner, unsigned number, slot holds, std::uint64_t seed);

  /// The thread's whole life. A spare's may end before the runtime does; then the worker waits for another thread.
  void run();
  /// A piece of it, see scheduler::turn_here().
  bool turn(unsigned tasks_max) noexcept;
  /// Any thread: queues a task that nobody else may run.
  void push_pinned(task_record& task) noexcept;

  /// Owner thread: queues a task to be run next. Wakes another worker when there is more than one.
  void push_woken(task_record& task) noexcept { push(woken_, task); }
  void push_fresh(std::coroutine_handle<> root) noexcept { push(fresh_, *as_ready(root)); }

  // Any thread.
  [[nodiscard]] bool has_work_approx() const noexcept { return woken_.size_approx() > 0 || fresh_.size_approx() > 0; }
  void unpark() noexcept;
  [[nodiscard]] unsigned number() const noexcept { return number_; }
  /// For who holds the slot, and for who may give it away.
  [[nodiscard]] unsigned index() const noexcept { return index_; }
  [[nodiscard]] const task_record* current_approx() const noexcept { return current_.load(std::memory_order_relaxed); }
  /// A task that runs here. One that has never waited has no record that anybody else could find.
  struct running {
    std::uint32_t id;
    const char* name;
    std::source_location site;
    bool has_waited;
  };
  /// Nothing if it is between two tasks. For people.
  [[nodiscard]] std::optional<running> runs_approx() const noexcept;
  [[nodiscard]] std::uint64_t tasks_run_approx() const noexcept { return tasks_run_.load(std::memory_order_relaxed); }
  /// Those of the node of its slot, or of the last one that it had.
  [[nodiscard]] shared_queues::of_node& queues() const noexcept { return *queues_.load(std::memory_order_relaxed); }
  /// Tasks that it took from another node, in all and while its own node had some.
  [[nodiscard]] std::uint64_t taken_afar_approx() const noexcept { return taken_afar_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t taken_early_approx() const noexcept { return taken_early_.load(std::memory_order_relaxed); }

  // A call that may block, of the task that runs here; see watchdog.hpp. Owner thread.
  [[nodiscard]] task_record* enter_call() noexcept;
  [[nodiscard]] bool leave_call(task_record& task) noexcept;
  void suspend_after_call(task_record& task, std::coroutine_handle<> leaf) noexcept;
  [[nodiscard]] bool may_call() noexcept;
  void carry_out(apart_call& call) noexcept;
  void pin() noexcept { pins_++; }
  void unpin() noexcept { pins_--; }

  // Of a seeded run with a chooser. Owner thread.
  /// Whether the task that runs here goes on at an await that needs no wait.
  [[nodiscard]] bool goes_on() noexcept;
  /// True: the call is one of the things to choose from, and made when it is chosen.
  [[nodiscard]] bool puts_off(blocking_job& call) noexcept;

  /// While it lives the thread belongs to no task and no worker: what runs now is a call that a simulated run makes in place.
  class absence {
  public:
    absence() noexcept;
    absence(const absence&) = delete;
    absence& operator=(const absence&) = delete;
    ~absence();

  private:
    worker* const here_;
    executor* const exec_;
    task_record* const current_;
  };

  // The watchdog.
  /// Odd in a call; another number after each.
  [[nodiscard]] std::uint64_t call_seen() const noexcept { return call_.load(std::memory_order_relaxed); }
  [[nodiscard]] static bool is_call(std::uint64_t seen) noexcept { return (seen & 1) != 0; }
  /// Takes the slot from under the call that was seen, or from under a task if that was none. False: the call is over, a task makes
  /// one or is over, or there is no slot here. Some microseconds, of the worker's processor, too.
  [[nodiscard]] bool take_slot(std::uint64_t call) noexcept;
  /// This spare gets a slot, and the tasks that wait in the deques of `from`, who had it before; itself: nobody.
  void grant(slot granted, worker& from) noexcept;
  [[nodiscard]] bool in_call_approx() const noexcept { return is_call(call_seen()); }
  /// Any thread; racy but for the watchdog, which alone takes and gives slots.
  [[nodiscard]] bool without_slot_approx() const noexcept { return hold_.load(std::memory_order_relaxed) == hold::lost; }
  /// Whether it runs a task.
  [[nodiscard]] bool in_task_approx() const noexcept { return current_.load(std::memory_order_relaxed) != nullptr; }
  /// The next time between two tasks; an attempt, without a promise.
  void take_fair_turn() noexcept { slow_at_.store(0, std::memory_order_relaxed); }
  /// Whether the `task`-th, which runs here, has said that it will last.
  [[nodiscard]] bool will_last_approx(std::uint64_t task) const noexcept {
    return lasting_.load(std::memory_order_relaxed) == task;
  }
  /// Of its own thread, in a task: says so.
  void will_last() noexcept;
  /// Moves what is in the deques of a worker without a slot to the queues that all share. Fresh tasks for whose records there is no
  /// memory stay for the next time, as many as the deque holds. Any thread. True: something was moved.
  bool surrender() noexcept;
  /// Its thread, since its last start.
  [[nodiscard]] thread_sign thread_approx() const noexcept {
    return {thread_id_.load(std::memory_order_relaxed), thread_clock_.load(std::memory_order_relaxed)};
  }

  // Owner thread.
  std::uint32_t next_task_id() noexcept;
  [[nodiscard]] reactor& home() const noexcept { return *home_.load(std::memory_order_relaxed); }
  [[nodiscard]] scheduler& owner() const noexcept { return owner_; }
  /// Whether it would sleep if the task that runs here waited now; then it looks at the guest of its reactor first, and until
  /// leave_home() nobody takes its slot.
  [[nodiscard]] bool stay_at_idle_home() noexcept;
  void leave_home() noexcept;

private:
  friend struct layout_of;  // tells debuggers where things are

  ready_task* next_task(run_state& run) noexcept;
  ready_task* next_task_slowly(run_state& run) noexcept;
  ready_task* own_task(run_state& run) noexcept;
  ready_task* task_after_settling(run_state& run, ready_task* fresh) noexcept;
  ready_task* next_ready(run_state& run) noexcept;
  ready_task* seeded_task() noexcept;
  ready_task* chosen_task() noexcept;
  void gather_choices() noexcept;
  void choose_among_batch() noexcept;
  void make_left_calls() noexcept;
  [[nodiscard]] bool could_be_overtaken() noexcept;
  void end_search() noexcept;
  ready_task* fair_turn() noexcept;
  void go_on_cancelling(std::int64_t now_ns) noexcept;
  ready_task* aged_task(std::int64_t now_ns) noexcept;
  [[nodiscard]] std::int64_t share_of(const inject_queue& shared) const noexcept;
  ready_task* task_in_turn(std::int64_t now_ns) noexcept;
  ready_task* fair_fresh(std::int64_t now_ns) noexcept;
  ready_task* shared_task(shared_queues::of_node& from) noexcept;
  task_record* shared_woken(shared_queues::of_node& from) noexcept;
  template <class Deque>
  task_record* take_shared(shared_queues::of_node& there, inject_queue& from, Deque& rest) noexcept;
  ready_task* shared_task_afar() noexcept;
  ready_task* neglected_task(std::int64_t now_ns) noexcept;
  [[nodiscard]] bool is_afar(const shared_queues::of_node& there) const noexcept { return &there != &queues(); }
  [[nodiscard]] bool has_work_near_approx() noexcept;
  void note_taken_afar(std::size_t count, bool early) noexcept;
  ready_task* search() noexcept;
  ready_task* steal_from(worker& victim) noexcept;
  template <class T>
  T* steal_from(basic_deque<T>& theirs, basic_deque<T>& ours, std::size_t& count) noexcept;
  void sleep() noexcept;
  void notice_work() noexcept;
  void begin_for_guest() noexcept;
  [[nodiscard]] bool has_begun() noexcept;
  void begin_call() noexcept;
  [[nodiscard]] bool end_call() noexcept;
  [[nodiscard]] bool keeps_slot() noexcept;
  void lose_slot() noexcept;
  void rest() noexcept;
  [[nodiscard]] bool attends() const noexcept;
  void poll_resting() noexcept;
  std::int64_t begin_wait() noexcept;
  [[nodiscard]] ready_task* await_slot(run_state& run) noexcept;
  [[nodiscard]] bool would_sleep() noexcept;
  [[nodiscard]] bool surrender_fresh() noexcept;
  template <class T>
  std::size_t take_slice(basic_deque<T>& from, std::array<T*, slice_max>& into, std::size_t most) noexcept;
  template <class Woken, class Fresh>
  bool drain(Woken&& woken, Fresh&& fresh) noexcept;
  template <class T, class Take>
  bool drain(basic_deque<T>& from, Take& take) noexcept;
  void leave_task(run_state& run) noexcept;
  void take_over(worker& from) noexcept;
  void poll_home(std::int64_t now_ns) noexcept;
  void poll_now(std::int64_t now_ns) noexcept;
  void fire_due(std::int64_t now_ns) noexcept;
  void queue_batch() noexcept;
  // Nothing is called on the common way but in the last place: no register of the machine is saved for it.
  template <class T>
  void push(basic_deque<T>& onto, T& task) noexcept {
    if (!onto.push(task)) [[unlikely]] return overflow_and_offer(task);
    if (!alone_ && idle_.wanting_approx()) [[unlikely]] offer();
  }
  template <class T>
  void push_quietly(basic_deque<T>& onto, T& task) noexcept {
    if (!onto.push(task)) [[unlikely]] overflow(task);
  }
  template <class T>
  void overflow_and_offer(T& task) noexcept {
    overflow(task);
    if (!alone_) offer();
  }
  void overflow(task_record& task) noexcept;
  void overflow(ready_task& task) noexcept;

  // Whether a task may have been pushed, and be there still, since the last pop that had a fence.
  [[nodiscard]] bool has_news() const noexcept { return woken_.size_approx() > 0 || !fresh_.keeps_all_since_fence(); }
  void offer() noexcept;
  void offer_rest() noexcept;
  void run_task(run_state& run, task_record& task) noexcept;
  void run_fresh(run_state& run, std::coroutine_handle<> root) noexcept;
  void resume(run_state& run, std::coroutine_handle<> frame) noexcept;
  void run_ready(run_state& run, ready_task* task) noexcept;
  void stand_idle(run_state& run) noexcept;
  void show(const task_record& task, std::uint64_t id) noexcept;
  void note_time(std::int64_t now_ns) noexcept;
  void glance(std::int64_t now_ns) noexcept;
  void refill_ids(run_state& run) noexcept;

  scheduler& owner_;
  idle_set& idle_;     // the owner's
  const bool alone_;   // there is one slot, and never more: nobody to wake, nobody to steal
  const bool sets_aside_;  // fresh tasks, see deque.hpp
  const bool seeded_;
  chooser* const chooses_;  // the owner's
  const int budget_;        // that a task begins with

  // Owner thread only.
  unsigned index_;   // of its slot; read by who has taken that, too
  bool has_slot_;
  bool is_offered_;  // as a spare
  unsigned pins_ = 0;
  const poll_guest* begun_ = nullptr;  // with what this thread has submitted, and may be in flight
  rng random_;
  unsigned until_poll_ = fair_period;  // of a seeded run: tasks until timers and events are looked at
  const unsigned number_;
  bool searching_ = false;
  bool goes_round_ = false;            // it found nothing to run, and did not sleep since there is something
  bool tidying_ = false;               // memory that nobody uses is being given back, see sleep()
  bool asleep_ = false;                // between two turns that others call
  std::uint32_t turn_id_next_ = 0;     // numbers for tasks that the turn before has left, up to turn_id_end_
  std::uint32_t turn_id_end_ = 0;
  unsigned turn_ = 0;                  // whose the next fair turn is
  std::uint64_t tells_at_ = 0;         // how many tasks were run then, see go_on_cancelling()
  std::int64_t tells_at_ns_ = 0;       // or when
  bool shares_fresh_ = false;          // which of the shared queues was looked at first
  bool shares_crowd_ = false;          // the same, of woken tasks
  bool turns_round_ = false;           // older tasks come before newer ones, see aged_task()
  std::int64_t turns_round_ns_ = 0;    // when that begins again
  std::array<std::int64_t, 3> aged_{};  // how many still: in woken_, injected, spilled_woken
  std::size_t aged_turn_ = 0;          // whose turn of them it is
  std::int64_t oldest_fresh_ = -1;     // which of the fresh ones was the oldest when last seen
  std::int64_t fresh_due_ns_ = 0;      // when the oldest fresh one is taken
  std::int64_t polled_ns_ = 0;
  struct {
    std::int64_t at_ns = 0;
    unsigned slot = 0;
    const worker* seen = nullptr;  // in a task; null: nobody was
    std::uint64_t task = 0;        // how many it had run
    std::int64_t since_ns = 0;     // when the first glance at that task was
    std::int64_t cpu_ns = 0;       // of its thread, at that moment
    bool is_hinted = false;        // the watchdog knows of it
  } glance_;                       // the last one at another slot
  shared_queues::of_node* watched_;      // another node's, or ours: whose workers may neglect it
  std::uint64_t watched_served_ = 0;     // when last seen
  std::int64_t neglected_at_ns_ = 0;     // if it is the same then
  ready_batch batch_;
  std::vector<ready_task*> candidates_;  // ready tasks of a seeded run, to choose from
  std::vector<ready_choice> choices_;    // the same where somebody chooses, in the order in which they came

  // Shared.
  atomic<const task_record*> current_{nullptr};
  atomic<std::uint64_t> lasting_{~std::uint64_t{0}};  // how many it had run when one said that it will last
  // Of the task that runs here, or ran here last, for those who must not touch its record.
  static constexpr std::uint64_t has_waited_bit = std::uint64_t{1} << 32;
  atomic<std::uint64_t> runs_id_{0};  // and has_waited_bit; 0: none
  atomic<const char*> runs_name_{nullptr};
  atomic<const void*> runs_site_{nullptr};
  atomic<std::uint64_t> tasks_run_{0};
  atomic<std::uint64_t> taken_afar_{0};   // written by the owner
  atomic<std::uint64_t> taken_early_{0};  // the same
  // The next task is asked for in next_task_slowly(), for a fair turn, when so many were run. Written by the owner between two
  // tasks; 0, at once, by both.
  atomic<std::uint64_t> slow_at_{fair_period};
  enum class hold : std::uint8_t { held, doubted, lost };
  atomic<hold> hold_;      // the slot; see watchdog.hpp
  spin_lock drain_lock_;   // who moves tasks out of the deques of a worker without a slot; how it gets one, or rests (E363, E366)
  atomic<pid_t> thread_id_{0};
  atomic<clockid_t> thread_clock_{};
  atomic<std::uint64_t> call_{0};  // see call_seen()
  atomic<reactor*> home_;  // written by the owner; a stale one rings a bell for nothing
  atomic<shared_queues::of_node*> queues_;  // written by the owner
  slot granted_;           // with granted_from_ (E183)
  atomic<worker*> granted_from_{nullptr};
  parker parker_;
  deque woken_;
  fresh_deque fresh_;
  inject_queue pinned_;
};

/// The worker of this thread, null on others.
extern constinit thread_local worker* this_worker [[gnu::tls_model("initial-exec")]];

}  // namespace levity::detail
