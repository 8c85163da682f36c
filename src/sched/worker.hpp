#pragma once

// worker: a thread that runs tasks. Its deque, parker, clock and batch are its own for life; the reactor it calls home is not:
// that belongs to the scheduler, and polling it takes its lease.
//
// One turn: take a task (own newest first, then injected, then stolen), run it until it parks, repeat. Without a task: poll
// the home reactor, sleeping in it.
//
// Fairness. Newest-first is fast and unfair, so every `fair_period` tasks the worker takes a fair turn: it looks at the clock,
// fires timers, polls the reactor if the last poll is older than `poll_period_ns`, and takes the oldest task it can find,
// injected and own in turns. A task's budget bounds how long it may go on without waiting (detail::spend_budget).

#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/rng.hpp"
#include "levity/task/detail/executor.hpp"
#include "reactor/reactor.hpp"
#include "sched/deque.hpp"
#include "sched/parking.hpp"

namespace levity::inline v0::detail {

class scheduler;

class alignas(cache_line_bytes) worker {
public:
  static constexpr unsigned fair_period = 61;
  static constexpr std::int64_t poll_period_ns = 100'000;
  static constexpr std::int64_t tidy_after_ns = 100'000'000;
  static constexpr int task_budget = 128;
  static constexpr std::size_t stack_bytes_for_transfers = 64 * 1024;

  worker(scheduler& owner, unsigned index, reactor& home, std::uint64_t seed, bool alone);

  /// The thread's whole life.
  void run();

  /// Owner thread: queues a task to be run next. Wakes another worker when there is more than one.
  void push(task_record& task) noexcept {
    const bool first = ready_.size_approx() == 0;
    push_quietly(task);
    // The first one is ours to run next; from the second on there is work for others.
    if (!first && !alone_) wake_another();
  }

  // Any thread.
  [[nodiscard]] bool has_work_approx() const noexcept { return ready_.size_approx() > 0; }
  void unpark() noexcept;
  task_record* steal() noexcept { return ready_.steal(); }
  [[nodiscard]] const task_record* current_approx() const noexcept { return current_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t tasks_run_approx() const noexcept { return tasks_run_.load(std::memory_order_relaxed); }

  // Owner thread.
  std::uint32_t next_task_id() noexcept;
  [[nodiscard]] reactor& home() const noexcept { return home_; }
  [[nodiscard]] scheduler& owner() const noexcept { return owner_; }

private:
  task_record* next_task() noexcept;
  task_record* next_task_slowly() noexcept;
  task_record* ready_task() noexcept;
  task_record* seeded_task() noexcept;
  void end_search() noexcept;
  task_record* fair_turn() noexcept;
  task_record* injected() noexcept;
  task_record* search() noexcept;
  void sleep() noexcept;
  void poll_home(std::int64_t now_ns) noexcept;
  void queue_batch() noexcept;
  void push_quietly(task_record& task) noexcept {
    if (!ready_.push(task)) [[unlikely]] overflow(task);
  }
  void overflow(task_record& task) noexcept;
  void wake_another() noexcept;
  void run_task(run_state& run, task_record& task) noexcept;
  void stand_idle(run_state& run) noexcept;
  void note_time(std::int64_t now_ns) noexcept;

  scheduler& owner_;
  const unsigned index_;
  const bool alone_;   // the only worker: nobody to wake, nobody to steal
  const bool seeded_;
  reactor& home_;

  // Owner thread only.
  rng random_;
  unsigned until_fair_ = fair_period;  // tasks until the next fair turn
  bool searching_ = false;
  bool own_first_ = false;  // in the last fair turn
  std::uint32_t id_next_ = 0;
  std::uint32_t id_end_ = 0;
  std::int64_t polled_ns_ = 0;
  ready_batch batch_;
  std::vector<task_record*> candidates_;  // ready tasks of a seeded run, to choose from

  // Shared.
  atomic<const task_record*> current_{nullptr};
  atomic<std::uint64_t> tasks_run_{0};
  parker parker_;
  deque ready_;
};

/// The worker of this thread, null on others.
extern constinit thread_local worker* this_worker [[gnu::tls_model("initial-exec")]];

}  // namespace levity::detail
