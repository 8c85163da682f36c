#pragma once

// A runtime for programs that have a main function, threads or an event loop of their own. lv::run() is for those that do
// nothing else.

#include <type_traits>
#include <utility>

#include "levity/base/owner.hpp"
#include "levity/runtime/detail/baton.hpp"
#include "levity/runtime/options.hpp"
#include "levity/task/detail/callable.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {
namespace detail {

class runtime_core;

/// Where a thread that is not the runtime's waits for the outcome of a task.
template <class T>
struct awaited_outside {
  result_slot<T> result;
  baton done;
};

template <class T>
task<> run_for_outside(task<T> inner, awaited_outside<T>* outside) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(inner);
      outside->result.set_value();
    } else {
      outside->result.set_value(co_await std::move(inner));
    }
  } catch (...) {
    outside->result.set_failure(std::current_exception());
  }
  outside->done.post();
}

}  // namespace detail

/// Workers, their reactors and the tasks on them, for as long as the object lives.
///
///     lv::runtime tasks;
///     const order placed = tasks.block_on(place, basket);   // any thread that is not a worker
///     tasks.spawn(refresh, std::move(cache));                // goes on by itself
///
/// With runtime_options::embedded it has no threads: tasks run inside run_ready() and block_on(), on whatever thread calls
/// them, one at a time. A loop of the caller's own then watches pollable_fd():
///
///     struct pollfd watched[] = {{tasks.pollable_fd(), POLLIN, 0}, ...};
///     for (;;) { poll(watched, n, -1); tasks.run_ready(); ... }
///
/// Signals are left as they are, whatever the options say. A process may have several runtimes; a task awaits tasks,
/// primitives and sockets of its own one. After fork() the child must not touch a runtime of its parent.
class runtime {
public:
  /// Throws std::runtime_error, which says what is missing, when the kernel refuses a thread or a descriptor, an option is out of
  /// range, or it is to be a simulated one or within a simulated host.
  explicit runtime(const runtime_options& options = {});
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;
  /// Cancels every task with reason `shutdown` and waits until they have ended. Not inside a task.
  ~runtime();

  /// Runs `f(args...)`, a task, on this runtime; sleeps until it has ended; returns its value or throws its exception. Any
  /// thread that is no worker of a runtime (asserted: it would hold up what it waits for; co_await the task there).
  template <class F, class... Args>
  decltype(auto) block_on(F f, Args... args) {
    if constexpr (detail::makes_task<F, Args...>()) {
      detail::awaited_outside<typename std::invoke_result_t<F&, Args...>::value_type> outside;
      adopt(detail::run_for_outside(detail::run_with(std::move(f), std::move(args)...), &outside), "block_on");
      wait(outside.done);
      return outside.result.take();
    }
  }

  /// Starts `f(args...)`, a task, and does not wait. When it fails that is reported on standard error. Any thread. Throws
  /// std::bad_alloc.
  template <class F, class... Args>
  void spawn(F f, Args... args) {
    if constexpr (detail::makes_task<F, Args...>()) {
      adopt(detail::run_with(std::move(f), std::move(args)...), "spawned from outside");
    }
  }

  /// Readable while run_ready() would do something. Only with runtime_options::embedded; -1 otherwise.
  [[nodiscard]] int pollable_fd() const noexcept;
  /// Runs what is ready, at most a thousand tasks, and returns without waiting. Only with runtime_options::embedded, one
  /// thread at a time, and not inside a task.
  void run_ready();

private:
  void adopt(task<> root, const char* name);
  void wait(detail::baton& done);

  detail::owner<detail::runtime_core> core_;
};

}  // namespace levity
