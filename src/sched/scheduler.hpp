#pragma once

// scheduler: the workers, their reactors, what they share, and the executor that tasks know.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "platform/placement.hpp"
#include "reactor/reactor.hpp"
#include "sched/blocking.hpp"
#include "sched/inject_queue.hpp"
#include "sched/parking.hpp"
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
  std::vector<std::unique_ptr<reactor>> reactors;  // one a worker
  std::uint64_t seed = 0;                          // != 0: one worker, ready tasks are picked by this seed
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
  /// One turn of the only worker on the calling thread: runs what is ready and returns when nothing is, or after `tasks_max`
  /// tasks. True: the root scope is empty, there will be nothing more.
  bool turn_here(unsigned tasks_max) noexcept { return at(0).turn(tasks_max); }
  /// Waits for the worker threads.
  void join();
  /// Who carries file operations out; set before start, outlives the tasks.
  void use_files(file_backend& files) noexcept { files_ = &files; }
  /// Called once, on some worker, when the root scope has become empty.
  std::function<void()> on_empty;

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
  void offload(blocking_job& job) noexcept override;
  file_backend& files() noexcept override { return *files_; }
  bool simulated() const noexcept override { return seeded(); }
  scope_state& root_scope() noexcept override { return *root_; }
  void root_empty() noexcept override;
  void unobserved(std::exception_ptr failure, const char* task_name, const std::source_location& site) noexcept override;
  worker* enter_call() noexcept override;
  bool leave_call(worker& entered, task_record& record, std::coroutine_handle<> leaf) noexcept override;
  worker* pin_here() noexcept override;
  void unpin_here() noexcept override;
  thread_figures threads_approx() noexcept override {
    return {size(), threads_count_.load(std::memory_order_relaxed), guard.taken_from_tasks(), guard.left_to_tasks()};
  }
  stall_figures stalls_approx() noexcept override;
  reactor& home_reactor() noexcept override;
  reactor* idle_reactor() noexcept override;
  void leave_idle_reactor() noexcept override;
  reactor& next_reactor() noexcept override;
  unsigned reactor_count() noexcept override { return static_cast<unsigned>(reactors_.size()); }
  reactor& reactor_at(unsigned index) noexcept override { return *reactors_[index]; }

  // For workers.
  /// How many slots there are: so many workers run tasks at a time, and one reactor belongs to each.
  [[nodiscard]] unsigned size() const noexcept { return static_cast<unsigned>(reactors_.size()); }
  /// Who holds a slot now.
  [[nodiscard]] worker& at(unsigned slot) noexcept { return *slots_[slot].load(std::memory_order_acquire); }  // E181 acquire.
  [[nodiscard]] bool seeded() const noexcept { return seed_ != 0; }
  /// The calling thread has got that slot: narrows its affinity to the slot's, if there is one.
  void settle_at(unsigned slot) noexcept;
  /// The thread of a worker that has lost its slot, by the watchdog: it may run anywhere until it settles again.
  void unsettle(const worker& lost) noexcept;
  // E17 acquire: what happened before the root scope became empty.
  [[nodiscard]] bool stopping() const noexcept { return stopping_.load(std::memory_order_acquire); }
  [[nodiscard]] bool work_visible() noexcept;
  void wake_one() noexcept;
  /// As wake_one(), after a full fence of the caller's (E14).
  void wake_one_fenced() noexcept;
  std::uint32_t reserve_task_ids(std::uint32_t count) noexcept {
    return ids_.fetch_add(count, std::memory_order_relaxed);
  }
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
  /// Calls `visit(worker)` for each worker, the spares too, in the order in which they came. Any thread.
  template <class Visit>
  void each_worker(Visit&& visit) {
    const unsigned count = workers_count_.load(std::memory_order_acquire);  // E181 acquire.
    for (unsigned i = 0; i < count; i++) visit(*workers_[i]);
  }
  const steal_order victims;
  watchdog guard;
  idle_set idle;
  inject_queue injected;  // woken by or spawned from foreign threads, or yielding
  inject_queue spilled;   // fresh, from full deques

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
  void start_thread_of(worker& runs);
  void join_those_there() noexcept;

  const std::uint64_t seed_;
  const slot_places places_;
  std::vector<std::unique_ptr<reactor>> reactors_;
  std::vector<std::unique_ptr<worker>> workers_;  // those that started with a slot, then the spares; never moves
  atomic<unsigned> workers_count_{0};             // of those that all may look at
  std::mutex threads_lock_;
  std::vector<std::thread> threads_;              // of the workers, by their number; guarded by threads_lock_
  std::thread ended_;                             // that of a spare, which needs to be joined; guarded by threads_lock_
  atomic<unsigned> threads_count_{0};
  std::unique_ptr<atomic<worker*>[]> slots_;      // E181; written by whoever gives a slot away
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
  scope_state* root_ = nullptr;
  atomic<bool> stopping_{false};
  atomic<std::uint32_t> foreign_{0};  // threads that are inside without being ours
  atomic<std::uint32_t> ids_{1};
  atomic<unsigned> next_reactor_{0};
};

}  // namespace levity::detail
