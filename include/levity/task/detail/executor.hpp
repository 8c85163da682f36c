#pragma once

// executor: what tasks need of whatever runs them. The scheduler implements it over threads; nothing in task/, sync/ or
// time/ knows more of it than this.

#include <coroutine>
#include <cstdint>
#include <exception>

#include "levity/base/intrusive_list.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

struct reactor;
struct file_backend;
class simulated_signals;
struct simulated_names;
class worker;

/// A call that blocks, for a thread that may. Lives in a frame; gone when its call returns.
struct blocking_job {
  blocking_job* next;
  void (*run)(blocking_job&) noexcept;
};

/// A timer that runs a short callback on whatever thread finds it due. Lives in a frame; disarmed before it dies.
struct timer_node : list_link {
  static constexpr std::int64_t done = 0;

  std::int64_t due_ns = 0;
  std::int64_t (*fire)(timer_node&) noexcept = nullptr;  // returns when it is due again, or `done`
  void* wheel = nullptr;       // the wheel it was armed on; owned by the wheel
  atomic<bool> firing{false};  // see timer_wheel
};

/// What a sleeping task waits with: the wheel finds it through its record.
struct sleep_waiter : waiter {
  std::int64_t due_ns;
  void* wheel = nullptr;
  explicit sleep_waiter(const wait_reason& why, std::int64_t due) noexcept : waiter{&why}, due_ns(due) {}
};

struct executor {
  /// Queues a fresh task, see scope_state::adopt. Only on a thread of this executor.
  virtual void start(std::coroutine_handle<> root) noexcept = 0;
  /// Queues a task that was woken. Any thread.
  virtual void schedule(task_record& record) noexcept = 0;
  /// Queues a task at the end of the queue that all workers share. Any thread.
  virtual void schedule_last(task_record& record) noexcept = 0;
  /// A number for a new task; unique among the last 2^32.
  virtual std::uint32_t next_task_id() noexcept = 0;

  /// Arms `node` for node.due_ns (levity::clock). Only on a thread of this executor.
  virtual void arm(timer_node& node) noexcept = 0;
  /// After it returns, the node does not fire any more and is not firing. Any thread.
  virtual void disarm(timer_node& node) noexcept = 0;
  /// Queues a prepared record to be woken at waiter.due_ns. Only on a thread of this executor.
  virtual void sleep(task_record& record, sleep_waiter& waiter) noexcept = 0;
  /// Takes it back. True: it will not be woken. Any thread.
  virtual bool unsleep(task_record& record, sleep_waiter& waiter) noexcept = 0;

  /// A scope is listed from its birth on, so that every task can be found from outside.
  virtual void enlist(scope_state& scope) noexcept = 0;
  /// Lets go of the caller's pin. True: the scope has neither children nor pins, is in the list no more, and is the
  /// caller's to destroy. Nobody can pin it in between.
  virtual bool retire(scope_state& scope) noexcept = 0;
  /// The owner leaves a scope whose children have all ended. True, as retire(); false: who pins it retires it.
  virtual bool drain(scope_state& scope) noexcept = 0;
  virtual std::uint64_t live_tasks_approx() noexcept = 0;

  /// A task ended with an exception that nobody will ever see: one of that name, spawned at `site`; or one of a scope of that name,
  /// opened at `site`. Either may be unknown.
  enum class failed : std::uint8_t { task, in_scope };
  virtual void unobserved(std::exception_ptr failure, failed what, const char* name, const std::source_location& site) noexcept = 0;

  /// The running task has used up its budget: whether it goes on all the same. On its thread.
  [[nodiscard]] virtual bool goes_on() noexcept { return false; }

  /// Runs a job on a thread that may block. Any thread.
  virtual void offload(blocking_job& job) noexcept = 0;
  /// Who carries file operations out.
  virtual file_backend& files() noexcept = 0;
  /// The signals of a world that is made up; null: those of the process.
  virtual simulated_signals* signals() noexcept { return nullptr; }
  /// Who knows names in a world that is made up; null: nobody does, or the world is real.
  virtual simulated_names* names() noexcept { return nullptr; }

  /// Whether its world is made up from a seed: what comes from the real one has no place in it.
  virtual bool simulated() const noexcept = 0;

  /// Makes the worker of this thread stay on it until unpin_here(), and returns it. Only on a thread of this executor.
  [[nodiscard]] virtual worker* pin_here() noexcept = 0;
  virtual void unpin_here() noexcept = 0;

  /// Its threads, and how often one was replaced, or could not be. Any thread.
  struct thread_figures {
    unsigned workers;
    unsigned threads;
    std::uint64_t taken;
    std::uint64_t left;
  };
  virtual thread_figures threads_approx() noexcept = 0;
  /// Tasks that have kept their worker for long, by cause. Any thread.
  struct stall_figures {
    std::uint64_t computed;
    std::uint64_t in_calls;
    std::uint64_t in_locks;
    std::uint64_t in_faults;
    std::uint64_t off_cpu;
    std::uint64_t unknown;
  };
  virtual stall_figures stalls_approx() noexcept = 0;
  /// The nodes on which its workers are kept, and the tasks that one took from another node. Any thread.
  struct node_figures {
    unsigned nodes;
    std::uint64_t taken;
    std::uint64_t taken_early;
  };
  virtual node_figures nodes_approx() noexcept = 0;

  /// The scope of the tasks that belong to the executor itself.
  virtual scope_state& root_scope() noexcept = 0;
  /// Calls scope.cancel_on() of a cancelled scope soon, between tasks. The scope is pinned until then. Any thread.
  virtual void cancel_later(scope_state& scope) noexcept = 0;
  /// What runs on this thread will go on for long, without a wait: if that keeps a slot, somebody else may have it at once. Any
  /// thread.
  virtual void will_last() noexcept = 0;
  /// The executor's root scope has lost its last child.
  virtual void root_empty() noexcept = 0;

  /// The reactor of the current thread; only on a thread of this executor.
  virtual reactor& home_reactor() noexcept = 0;
  /// The same, if its thread would sleep there but for the task that it runs; before it does, or runs another, it looks at the
  /// reactor's guest. Until leave_idle_reactor() the reactor stays this thread's. Null: it has more to do, or is none of this
  /// executor. Any thread.
  [[nodiscard]] virtual reactor* idle_reactor() noexcept = 0;
  virtual void leave_idle_reactor() noexcept = 0;
  /// The reactor that shall watch the next new connection. Any thread.
  virtual reactor& next_reactor() noexcept = 0;
  /// Its reactors that belong to workers now, at least one; what was counted once stays. Any thread.
  virtual unsigned reactor_count() noexcept = 0;
  virtual reactor& reactor_at(unsigned index) noexcept = 0;

protected:
  ~executor() = default;
};

/// What a thread that runs tasks keeps at hand. Read again after every co_await, never stored across one.
struct run_state {
  const char* stack_low = nullptr;     // below it, resumptions go through the worker's loop instead of the stack
  std::coroutine_handle<> bounced;     // the resumption that did
  task_record* current = nullptr;
  executor* exec = nullptr;
  int budget = 0;                      // operations the current task may still finish without waiting
  std::uint32_t coarse_ms = 0;         // milliseconds of a clock that the worker moves on; good for "since when"
  std::uint32_t id_next = 0;           // numbers that new tasks get, up to id_end
  std::uint32_t id_end = 0;
  task_record* blank = nullptr;        // the record of the next fresh task, or of the one that runs and has not waited yet
  task_record* ended_root = nullptr;   // its root frame is gone; the worker ends it next
  // Children of one scope that have ended here and are not settled, see settle_ends().
  scope_state* ended_scope = nullptr;
  static constexpr unsigned ends_max = 16;
  unsigned ended_count = 0;
  task_record* ended = nullptr;        // those that are in its list, linked by `queue`
  scope_state* last_to_cancel = nullptr;  // of the scopes that this thread is cancelling, see scope_state::cancel()
};

extern constinit thread_local run_state this_run [[gnu::tls_model("initial-exec")]];

/// This thread's run state, through a call that no compiler hoists across a suspension.
[[gnu::noinline]] run_state& current_run() noexcept;

/// The task that runs on this thread; for coroutines, as transfer() is.
inline task_record& running_task() noexcept {
#ifdef __clang__
  return *current_run().current;
#else
  return *this_run.current;
#endif
}

/// Milliseconds, good for "since when": of this thread's worker, or of the kernel's clock where there is none. Not in coroutines.
std::uint32_t coarse_now_ms() noexcept;

/// Whether this thread's stack has come below `low`, near enough. Asked for the address of its frame, the last act of a coroutine
/// would set up a frame for nothing else.
inline bool stack_is_below(const char* const& low) noexcept {
#ifdef __x86_64__
  bool below;
  asm("{cmp %1, %%rsp|cmp rsp, %1}" : "=@ccb"(below) : "m"(low));
  return below;
#else
  return static_cast<const char*>(__builtin_frame_address(0)) < low;
#endif
}

/// Hands control from one frame to another by symmetric transfer.
///
/// Clang turns the transfer into a tail call in every build. GCC does so only when it optimises and no sanitizer watches;
/// elsewhere each transfer nests in the one before, so below `stack_low` it goes through the worker's loop instead. Reading a
/// thread-local inside a coroutine is safe with GCC, which splits coroutines before it optimises: nothing it knows of the
/// thread outlives a suspension. With Clang it would not be, and is not needed.
inline std::coroutine_handle<> transfer(std::coroutine_handle<> next) noexcept {
#ifndef __clang__
  if (stack_is_below(this_run.stack_low)) [[unlikely]] {
    this_run.bounced = next;
    return std::noop_coroutine();
  }
#endif
  return next;
}

/// Takes one unit of the current task's budget. False: it is used up, the caller shall yield.
bool spend_budget() noexcept;

}  // namespace levity::detail
