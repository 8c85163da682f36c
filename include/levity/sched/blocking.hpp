#pragma once

#include <concepts>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "levity/sched/detail/apart_call.hpp"
#include "levity/sched/detail/prepared_call.hpp"
#include "levity/task/detail/awaited_callable.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// How a blocking call is made: `co_await lv::blocking({.slow = true}, resolve, name)`.
struct blocking_options {
  /// The call is known to be slow: a thread of the pool makes it from the start, and nobody waits until it is found to last. While
  /// all of them, 64, are taken it is made as others are.
  bool slow = false;

  /// When the task is cancelled, or a deadline around it passes, it goes on with `cancelled` and leaves the call behind. That is
  /// not interrupted; what it returns or throws is dropped. One that has not begun by then is not made.
  bool abandon_on_cancel = false;
};

namespace detail {

extern const wait_reason blocking_reason;

struct call_in_place {
  worker* here;
  task_record* task;  // null: the call is to be made elsewhere
};

/// The running task is about to make a call that may block, where it stands. Until leave_call() this thread counts as foreign.
[[nodiscard]] call_in_place enter_call() noexcept;
/// The call is over. True: the task goes on. False: it is to be suspended, and suspend_after_call() follows.
[[nodiscard]] bool leave_call(call_in_place call) noexcept;
/// Queues the running task: others run what was this thread's to run, or its budget is used up. It may run already when this
/// returns.
void suspend_after_call(std::coroutine_handle<> leaf) noexcept;

// A call that the pool makes. One that is made in place never looks at it, so nothing is written here until it is needed.
struct offloaded_call : waiter, blocking_job {
  offloaded_call() noexcept {}
  task_record* record;
};

template <class F, class... Args>
class blocking_awaiter : offloaded_call {
public:
  explicit blocking_awaiter(F f, Args... args) : call_(std::move(f), std::move(args)...) {}

  // The call itself, where it can be made in place: what is ready need not be suspended.
  bool await_ready() noexcept {
    const call_in_place here = enter_call();
    if (here.task == nullptr) [[unlikely]] return false;
    call_.make();
    return leave_call(here);
  }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    if (call_.is_over()) {
      suspend_after_call(frame);
      return true;
    }
    reason = &blocking_reason;
    run = &run_it;
    record = &running_task();
    task_record& waits = *record;
    prepare_wait(waits, frame, *this);
    current_run().exec->offload(*this);
    return commit_wait(waits);
  }

  std::invoke_result_t<F, Args...> await_resume() { return call_.take(); }

private:
  static void run_it(blocking_job& job) noexcept {
    auto& self = static_cast<blocking_awaiter&>(job);
    self.call_.make();
    wake(*self.record);
  }

  prepared_call<F, Args...> call_;
};

template <class F, class... Args>
struct blocking_object {
  F f;
  std::tuple<Args...> args;

  blocking_awaiter<F, Args...> operator co_await() && {
    return std::apply([this](Args&... each) { return blocking_awaiter<F, Args...>(std::move(f), std::move(each)...); }, args);
  }
};

template <class F, class... Args>
struct apart_object {
  std::unique_ptr<typed_apart_call<F, Args...>> call;
  blocking_options how;

  apart_awaiter<F, Args...> operator co_await() && noexcept { return {std::move(call), how.slow, how.abandon_on_cancel}; }
};

}  // namespace detail

/// Runs `f(args...)`, which may block, where it stands, and returns its value or exception. Callable and arguments are moved.
/// When f is quick that costs about 10 ns. When it lasts, 100 to 300 us later another thread runs the tasks and serves the
/// connections that this one held; f goes on undisturbed. In a pinned task, and while runtime_options::stuck_threads_max threads
/// are kept already, f runs on a pool of threads (about 50 us), at most 64 at a time, further ones in order.
///
/// Inside `f` the thread belongs to no task: f may use what any thread may use of levity. Whatever it does, a cancelled task waits
/// for it to end, unless blocking_options say otherwise.
///
/// Pass what `f` needs as arguments. g++ before 13 destroys a lambda twice that is written inside a `co_await` and captures
/// something with a destructor, so such a one is refused there.
template <class F, class... Args>
  requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
[[nodiscard("co_await the call")]] auto blocking(F&& f, Args&&... args) {
  detail::check_callable<F>();
  using object = detail::blocking_object<std::decay_t<F>, std::decay_t<Args>...>;
  return object{std::forward<F>(f), std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)};
}

/// The same with options. f, its arguments and its result live in memory of their own then, and the task parks: where f is quick
/// that costs more than f. Who leaves a call behind leaves all of that to it: it is destroyed by the thread that makes the
/// call, when that has ended, so f must refer to nothing that is the task's. The end of the runtime waits for such calls.
///
/// Throws `cancelled` where the options say so, std::bad_alloc at once.
template <class F, class... Args>
  requires std::invocable<std::decay_t<F>, std::decay_t<Args>...>
[[nodiscard("co_await the call")]] auto blocking(blocking_options how, F&& f, Args&&... args) {
  detail::check_callable<F>();
  using object = detail::apart_object<std::decay_t<F>, std::decay_t<Args>...>;
  using call = detail::typed_apart_call<std::decay_t<F>, std::decay_t<Args>...>;
  return object{std::make_unique<call>(std::forward<F>(f), std::forward<Args>(args)...), how};
}

}  // namespace levity
