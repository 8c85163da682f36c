#pragma once

// scheduler: the workers, their reactors, what they share, and the executor that tasks know.
//
// Slots in service and at rest. There are as many slots as the limit of CPUs may ever allow, and as many of them in service as it
// allows now: those below `wanted_`. The watchdog says how many are wanted and puts slots in service; they go to rest by
// themselves.
//
//   a slot         its entry in `slots_`   its reactor              moved by
//   unused         null                    none yet                 (a slot that was never in service)
//   in service     a worker                its worker polls it      serve()                  the watchdog
//   at rest        null                    slot 0's attends to it   begin_rest(), end_rest() the worker, between two tasks
//
// A worker whose slot goes to rest is a spare from then on, as one that has lost it (watchdog.hpp): what its deques hold goes to
// the others, what is pinned to it stays with its thread. Slot 0 never rests. Its worker polls the reactors of those that do when
// they have news, fires their timers, and lets their timers end its sleep; so their connections cost a system call more a batch,
// and no thread. Of a timer wheel that it attends to it only begins waits and ends none: a wait that nobody is in costs a needless
// ring, one that was ended under somebody's feet would strand a timer, and so may two wait in a wheel while a slot changes hands.
//
// Edges
//   E17  the root scope is empty -> stopping() that says yes: what happened before.
//   E18  a thread of others leaves inject(), cancel_later() or root_empty() -> the end of the scheduler: it is done with it.
//   E181 a slot changes hands or goes to rest -> who looks up its holder.
//   E184 a worker is added -> who walks over all of them.
//   E185 a slot has its reactor -> who looks that up.
//   E372 end_rest() <-> want(), the watchdog falls asleep: fences, see full_fence() in all. A slot that goes to rest while it is
//        wanted again is found by the watchdog, or its worker finds that it is wanted and wakes it.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/system_mutex.hpp"
#include "base/system_thread.hpp"
#include "levity/base/atomic.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "platform/cpu_limit.hpp"
#include "platform/placement.hpp"
#include "reactor/reactor.hpp"
#include "sched/blocking.hpp"
#include "sched/cancel_queue.hpp"
#include "sched/chooser.hpp"
#include "sched/parking.hpp"
#include "sched/shared_queues.hpp"
#include "sched/steal_order.hpp"
#include "sched/watchdog.hpp"
#include "sched/worker.hpp"

namespace levity::inline v0::detail {

/// Where slots live. As it comes: anywhere, for who knows.
struct slot_places {
  placement of;                   // by slot; empty if unknown
  steal_order::known exact = steal_order::known::nothing;
  std::vector<cpu_set> affinity;  // by slot, what its worker's thread is narrowed to; empty: to nothing
};

struct scheduler_options {
  std::vector<std::unique_ptr<reactor>> reactors;  // one a worker in the beginning
  std::unique_ptr<cpu_limit> limit;                // what the number of workers follows; null: they stay as many as they are
  unsigned slots = 0;                              // with a limit: how many may be in service
  std::function<io_result<std::unique_ptr<reactor>>()> make_reactor;  // with a limit: one more
  std::uint64_t seed = 0;                          // != 0: one worker, ready tasks are picked by this seed
  chooser* chooses = nullptr;                      // with a seed: picks them instead; outlives the scheduler
  slot_places places;
  unsigned stuck_threads_max = 512;                // threads that tasks and blocking calls may keep beside one a slot
  stall_listener* stalls = nullptr;                // outlives the scheduler
  std::int64_t stalls_told_after_ns = 0;           // 0: never
};

class scheduler final : public executor {
public:
  explicit scheduler(scheduler_options options);
  ~scheduler();
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  /// The scope of everything that runs here. Cancelling it is shutdown.
  [[nodiscard]] scope_state& root() noexcept { return *root_; }

  /// Starts the worker threads. They end when the root scope has become empty.
  void start();
  /// Runs the only worker on the calling thread until the root scope is empty.
  void run_here();
  /// One turn of the only worker on the calling thread: runs what is ready, of a seeded run in its order and its time, and returns
  /// when nothing is, or after `tasks_max` tasks. True: the root scope is empty, there will be nothing more.
  bool turn_here(unsigned tasks_max) noexcept { return first().turn(tasks_max); }
  /// Waits for the worker threads.
  void join();
  /// After those: waits for calls that were left behind. What is theirs may be closed on reactors, or handed to those who carry out
  /// operations on files: they live still.
  void end_calls() noexcept { blocking_.end(); }
  /// Who carries file operations out; set before start, outlives the tasks.
  void use_files(file_backend& files) noexcept { files_ = &files; }
  /// Those of a seeded run; set before start, outlive the tasks.
  void use_signals(simulated_signals& signals) noexcept { signals_ = &signals; }
  /// Who knows names in a seeded run; null: nobody. Set before start, outlives the tasks.
  void use_names(simulated_names* names) noexcept { names_ = names; }
  /// Called once, on some worker, when the root scope has become empty.
  std::function<void()> on_empty;
  /// Of a seeded run whose process has ended, for others: nobody is told what its tasks throw from then on.
  bool is_untold = false;

  // executor
  void start(std::coroutine_handle<> root) noexcept override;
  void schedule(task_record& record) noexcept override;
  void schedule_last(task_record& record) noexcept override;
  std::uint32_t next_task_id() noexcept override;
  void arm(timer_node& node) noexcept override;
  void disarm(timer_node& node) noexcept override;
  void sleep(task_record& record, sleep_waiter& waiter) noexcept override;
  bool unsleep(task_record& record, sleep_waiter& waiter) noexcept override;
  void enlist(scope_state& scope) noexcept override;
  bool retire(scope_state& scope) noexcept override;
  bool drain(scope_state& scope) noexcept override;
  std::uint64_t live_tasks_approx() noexcept override;
  bool goes_on() noexcept override { return chooses_ != nullptr && first().goes_on(); }
  void offload(blocking_job& job) noexcept override;
  file_backend& files() noexcept override { return *files_; }
  simulated_signals* signals() noexcept override { return signals_; }
  simulated_names* names() noexcept override { return names_; }
  bool simulated() const noexcept override { return seeded(); }
  scope_state& root_scope() noexcept override { return *root_; }
  void cancel_later(scope_state& scope) noexcept override;
  void will_last() noexcept override;
  void root_empty() noexcept override;
  void unobserved(std::exception_ptr failure, failed whose, const char* name, const std::source_location& site) noexcept override;
  worker* pin_here() noexcept override;
  void unpin_here() noexcept override;
  thread_figures threads_approx() noexcept override {
    return {serving_approx(), threads_count_.load(std::memory_order_relaxed), guard.taken_from_tasks(), guard.left_to_tasks()};
  }
  stall_figures stalls_approx() noexcept override;
  node_figures nodes_approx() noexcept override;
  reactor& home_reactor() noexcept override;
  reactor* idle_reactor() noexcept override;
  void leave_idle_reactor() noexcept override;
  reactor& next_reactor() noexcept override;
  unsigned reactor_count() noexcept override {
    return std::min(wanted_.load(std::memory_order_relaxed), reactors_made_.load(std::memory_order_acquire));  // E185 acquire.
  }
  reactor& reactor_at(unsigned index) noexcept override { return *reactors_[index]; }

  // For workers.
  /// How many slots there are, in service or not.
  [[nodiscard]] unsigned size() const noexcept { return static_cast<unsigned>(reactors_.size()); }
  /// So many are in service, and so many workers run tasks at a time.
  [[nodiscard]] unsigned serving_approx() const noexcept { return serving_.load(std::memory_order_relaxed); }
  /// No slot from here on is in service.
  [[nodiscard]] unsigned serving_end() const noexcept { return serving_end_.load(std::memory_order_relaxed); }
  /// Who holds a slot now; null: nobody, it is not in service.
  [[nodiscard]] worker* holder(unsigned slot) noexcept { return slots_[slot].load(std::memory_order_acquire); }  // E181 acquire.
  /// Of a slot that is always in service.
  [[nodiscard]] worker& first() noexcept { return *holder(0); }
  [[nodiscard]] bool seeded() const noexcept { return seed_ != 0; }
  /// Of a seeded run; null: its seed picks.
  [[nodiscard]] chooser* chooses() const noexcept { return chooses_; }
  /// Its workers run on threads of their own.
  [[nodiscard]] bool has_threads() const noexcept { return has_threads_; }
  /// The calling thread has got that slot: narrows its affinity to the slot's, if there is one.
  void settle_at(unsigned slot) noexcept;
  /// The thread of a worker that has lost its slot, by the watchdog: it may run anywhere until it settles again.
  void unsettle(const worker& lost) noexcept;
  // E17 acquire: what happened before the root scope became empty.
  [[nodiscard]] bool stopping() const noexcept { return stopping_.load(std::memory_order_acquire); }
  /// A node that has work; null: there is none.
  [[nodiscard]] shared_queues::of_node* work_visible() noexcept;
  /// For work that is on that node: one of its sleepers if there is any.
  void wake_one(const shared_queues::of_node& there) noexcept;
  /// As wake_one(), after a full fence of the caller's (E14).
  void wake_one_fenced(const shared_queues::of_node& there) noexcept;
  std::uint32_t reserve_task_ids(std::uint32_t count) noexcept {
    return ids_.fetch_add(count, std::memory_order_relaxed);
  }
  /// Has a thread that may block run the job, if one is to be had now. False: none, or the run is simulated.
  [[nodiscard]] bool offload_at_once(blocking_job& job) noexcept { return !seeded() && blocking_.submit_at_once(job); }
  /// Queues the task whose call kept its thread for so long that others hold its slot now.
  void queue_after_call(task_record& record) noexcept;
  /// A spare's worker and thread; null when there are no more to be had. Only for the watchdog.
  worker* add_spare() noexcept;
  /// A new thread for a spare whose thread has ended. False: none is to be had. Only for the watchdog.
  [[nodiscard]] bool restart_spare(worker& spare) noexcept;
  /// The thread of a spare that has had nothing to do for long is about to end. False: it has just been given a slot. On that
  /// thread.
  [[nodiscard]] bool end_spare(worker& spare) noexcept;
  /// Gives the slot of `from`, which is the caller's to give, to `to`.
  void move_slot(worker& from, worker& to) noexcept;

  // The number of slots in service.
  /// Whether a slot is one too many. For its worker.
  [[nodiscard]] bool is_surplus(unsigned slot) const noexcept { return slot >= wanted_.load(std::memory_order_relaxed); }
  /// For its worker, which polls it no more. False: it cannot rest, for the kernel refuses to watch its reactor.
  [[nodiscard]] bool begin_rest(unsigned slot) noexcept;
  /// The last that the worker does with it.
  void end_rest(unsigned slot) noexcept;
  /// Whether there are reactors that nobody polls but the worker of slot 0.
  [[nodiscard]] bool attends() const noexcept { return resting_.load(std::memory_order_relaxed) != 0; }
  /// Calls `visit(reactor)` for each of those.
  template <class Visit>
  void each_resting(Visit&& visit) noexcept {
    const unsigned made = reactors_made_.load(std::memory_order_acquire);  // E185 acquire.
    for (unsigned i = 1; i < made; i++) {
      if (holder(i) == nullptr) visit(*reactors_[i]);
    }
  }
  /// The limit of CPUs is so many. Only for the watchdog, as what follows.
  void want(unsigned cpus) noexcept;
  /// Whether fewer slots are in service than are wanted.
  [[nodiscard]] bool lacks_slots() const noexcept { return serving_approx() < wanted_.load(std::memory_order_relaxed); }
  /// One that is wanted and not in service; 0: there is none.
  [[nodiscard]] unsigned lacked_slot() noexcept;
  /// Sees to it that this slot has a reactor.
  [[nodiscard]] io_result<void> prepare_service(unsigned slot) noexcept;
  void serve(unsigned slot, worker& spare) noexcept;
  /// Calls `visit(worker)` for each worker, the spares too, in the order in which they came. Any thread.
  template <class Visit>
  void each_worker(Visit&& visit) {
    const unsigned count = workers_count_.load(std::memory_order_acquire);  // E184 acquire.
    for (unsigned i = 0; i < count; i++) visit(*workers_[i]);
  }
  const steal_order victims;
  watchdog guard;
  idle_set idle;
  shared_queues queues;
  cancel_queue cancelling;

  /// Calls `visit(scope)` for each scope; the scope lives meanwhile. One caller at a time.
  template <class Visit>
  void each_scope(Visit&& visit) {
    for (unsigned i = 0; i <= size(); i++) {
      registry& part = registries_[i];
      list_link& here = part.visitor;
      part.lock.lock();
      part.scopes.push_front(here);
      while (here.next != part.scopes.end()) {
        list_link* next = here.next;
        here.unlink();
        link_list::insert_before(*next->next, here);
        scope_state& scope = scope_state::from_registry(*next);
        scope.pin();
        part.lock.unlock();
        visit(scope);
        scope.unpin();
        part.lock.lock();
      }
      here.unlink();
      part.lock.unlock();
    }
  }

private:
  friend struct layout_of;  // tells debuggers where things are
  void inject(task_record& record) noexcept;
  [[nodiscard]] shared_queues::of_node& queues_here() noexcept;
  void trace(std::int64_t word) noexcept;
  void start_thread_of(worker& runs);
  void join_those_there() noexcept;

  const std::uint64_t seed_;
  chooser* const chooses_;
  const slot_places places_;
  const std::function<io_result<std::unique_ptr<reactor>>()> make_reactor_;
  std::vector<std::unique_ptr<reactor>> reactors_;  // by slot; the later ones may not be there yet
  atomic<unsigned> reactors_made_{0};
  atomic<unsigned> wanted_{0};                      // slots below are to be in service
  spin_lock service_lock_;                          // guards the writing of the next three
  atomic<unsigned> serving_{0};
  atomic<unsigned> serving_end_{0};
  atomic<unsigned> resting_{0};                     // slots at rest that were in service once
  std::vector<std::unique_ptr<worker>> workers_;  // those that started with a slot, then the spares; never moves
  atomic<unsigned> workers_count_{0};             // of those that all may look at
  system_mutex threads_lock_;
  std::vector<system_thread> threads_;              // of the workers, by their number; guarded by threads_lock_
  system_thread ended_;                             // that of a spare, which needs to be joined; guarded by threads_lock_
  atomic<unsigned> threads_count_{0};
  std::unique_ptr<atomic<worker*>[]> slots_;      // (E181) written by whoever gives a slot away, or puts it down
  bool has_threads_ = false;                      // constant from start() on
  // The scopes that were opened on one worker; the last one for those of other threads. One for all would be a hot lock.
  struct alignas(cache_line_bytes) registry {
    spin_lock lock;
    link_list scopes;   // guarded by lock
    list_link visitor;  // where each_scope() is; guarded by lock
  };
  std::unique_ptr<registry[]> registries_;
  blocking_pool blocking_;
  file_backend* files_ = nullptr;
  simulated_signals* signals_ = nullptr;
  simulated_names* names_ = nullptr;
  scope_state* root_ = nullptr;
  atomic<bool> stopping_{false};
  atomic<std::uint32_t> foreign_{0};  // threads that are inside without being ours
  atomic<std::uint32_t> ids_{1};
  atomic<unsigned> next_reactor_{0};
};

}  // namespace levity::detail
