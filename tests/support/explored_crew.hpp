#pragma once

// explored_crew: an executor for scenarios of the model lane, which runs tasks on the virtual threads of an exploration.
//
// It has no scheduler. A task that is woken is run next by the thread that woke it, so that nothing but the wake-up itself orders
// what the task did before it waited and what it does after: the weakest order that an executor may give.
//
// What it judges: a task is queued once a wait, and not while it runs; and at the end every task has come to its end, or a wake-up
// was lost. That memory is not touched after its end, and that plain data is ordered, the explorer sees.

#include <coroutine>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "levity/model/scenario.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::explored {

/// What each virtual thread has for itself.
struct of_thread {
  levity::detail::list_link* first = nullptr;  // ready tasks, by task_record::queue, which is linked as a stack
};
inline constinit thread_local of_thread here;

inline const bool has_words_of_its_own = [] {
  model::per_thread(here);
  model::per_thread(levity::detail::this_run);
  return true;
}();

/// A task with a record of its own, which belongs to no scope that counts.
struct job : levity::detail::task_record {
  bool queued = false;
  bool ended = false;
};

/// Cancels a task from outside, as its scope does.
inline void cancel(job& one, cancel_reason why = cancel_reason::requested) {
  if (levity::detail::cancel_and_hold(one, why)) levity::detail::interrupt_held(one);
}

class crew : public levity::detail::executor {
public:
  crew() {
    home_.exec = this;
    home_.outstanding.store(0, std::memory_order_relaxed);
  }

  /// A task that begins when a thread runs it. Before the threads begin.
  job& make(task<> body) {
    jobs_.push_back(std::make_unique<job>());
    job& made = *jobs_.back();
    made.scope = &home_;
    made.id = static_cast<std::uint32_t>(jobs_.size());
    made.entered = 1;
    auto frame = std::move(body).release_frame();
    frame.promise().continuation_address = nullptr;
    std::construct_at(&frame.promise().failure);
    made.leaf = frame;
    return made;
  }

  /// What a thread does that begins with `first`, and goes on with whatever it has woken.
  auto runs(job& first) {
    return [this, &first] {
      run(first);
      run_ready();
    };
  }
  auto runs(task<> body) { return runs(make(std::move(body))); }
  /// The same for a thread that runs no task, but may wake some.
  template <class Work>
  auto does(Work work) {
    return [this, work = std::move(work)]() mutable {
      work();
      run_ready();
    };
  }

  /// Each of `bodies` begins on a thread of its own.
  template <class... Bodies>
  void together(Bodies... bodies) {
    model::together(runs(std::move(bodies))...);
    check();
  }

  /// When all threads have ended.
  void check() const {
    for (const auto& each : jobs_) model::require(each->ended, "every task comes to its end");
  }

  /// Runs what this thread has woken.
  void run_ready() {
    while (levity::detail::list_link* const link = here.first) {
      here.first = link->next;
      auto& next = static_cast<job&>(levity::detail::task_record::from_queue(*link));
      link->next = nullptr;
      next.queued = false;
      run(next);
    }
  }

  void schedule(levity::detail::task_record& record) noexcept override {
    auto& woken = static_cast<job&>(record);
    model::require(!woken.queued && !woken.ended, "a task is woken once a wait");
    woken.queued = true;
    woken.queue.next = here.first;
    here.first = &woken.queue;
  }
  void schedule_last(levity::detail::task_record& record) noexcept override { schedule(record); }

  void start(std::coroutine_handle<>) noexcept override { missing(); }
  std::uint32_t next_task_id() noexcept override { return 1000; }
  void arm(levity::detail::timer_node&) noexcept override { missing(); }
  void disarm(levity::detail::timer_node&) noexcept override { missing(); }
  void sleep(levity::detail::task_record&, levity::detail::sleep_waiter&) noexcept override { missing(); }
  bool unsleep(levity::detail::task_record&, levity::detail::sleep_waiter&) noexcept override { missing(); }
  void enlist(levity::detail::scope_state&) noexcept override {}
  bool retire(levity::detail::scope_state& scope) noexcept override {
    registry_.lock();
    scope.lock.lock();
    const bool over = --scope.pins == 0 && scope.drained;
    scope.lock.unlock();
    registry_.unlock();
    return over;
  }
  bool drain(levity::detail::scope_state& scope) noexcept override {
    registry_.lock();
    bool over = !scope.was_pinned;
    if (!over) {
      scope.lock.lock();
      scope.drained = true;
      over = scope.pins == 0;
      scope.lock.unlock();
    }
    registry_.unlock();
    return over;
  }
  std::uint64_t live_tasks_approx() noexcept override { return 0; }
  void unobserved(std::exception_ptr, failed, const char*, const std::source_location&) noexcept override {}
  void offload(levity::detail::blocking_job&) noexcept override { missing(); }
  levity::detail::file_backend& files() noexcept override { missing(); }
  bool simulated() const noexcept override { return true; }
  levity::detail::worker* pin_here() noexcept override { missing(); }
  void unpin_here() noexcept override { missing(); }
  thread_figures threads_approx() noexcept override { return {}; }
  stall_figures stalls_approx() noexcept override { return {}; }
  node_figures nodes_approx() noexcept override { return {}; }
  levity::detail::scope_state& root_scope() noexcept override { return home_; }
  void cancel_later(levity::detail::scope_state&) noexcept override { missing(); }
  void will_last() noexcept override {}
  void root_empty() noexcept override {}
  levity::detail::reactor& home_reactor() noexcept override { missing(); }
  levity::detail::reactor* idle_reactor() noexcept override { return nullptr; }
  void leave_idle_reactor() noexcept override {}
  levity::detail::reactor& next_reactor() noexcept override { missing(); }
  unsigned reactor_count() noexcept override { return 1; }
  levity::detail::reactor& reactor_at(unsigned) noexcept override { missing(); }

protected:
  [[noreturn]] static void missing() noexcept {
    model::require(false, "scenarios have no such thing");
    __builtin_unreachable();
  }

  // As worker::run_task. A child of some other task ends as there, too.
  void run(job& task) {
    levity::detail::run_state& run = levity::detail::current_run();
    run.exec = this;
    run.current = &task;
    run.budget = budget;
    if (levity::detail::waiter* const waited = task.waits_on; waited != nullptr && waited->reason->settle != nullptr) {
      if (!waited->reason->settle(*waited, task)) {
        levity::detail::current_run().current = nullptr;
        return;
      }
    }
    task.waits_on = nullptr;
    task.leaf.resume();
    auto* const over = std::exchange(levity::detail::current_run().ended_root, nullptr);
    if (over != nullptr && over->scope == &home_) static_cast<job*>(over)->ended = true;
    if (over != nullptr && over->scope != &home_) levity::detail::end_task(levity::detail::current_run(), *over);
    levity::detail::current_run().current = nullptr;
    levity::detail::settle_ends(levity::detail::current_run());
  }

public:
  int budget = 100;  // of each run of a task

private:
  levity::detail::scope_state home_;
  levity::detail::spin_lock registry_;
  std::vector<std::unique_ptr<job>> jobs_;
};

}  // namespace levity::explored
