#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include "levity/task/detail/promise.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {
namespace detail {

extern const wait_reason blocking_reason;

template <class F, class... Args>
class blocking_awaiter : waiter, blocking_job {
  using value = std::invoke_result_t<F, Args...>;

public:
  blocking_awaiter(F f, Args... args)
      : waiter{&blocking_reason}, blocking_job{nullptr, &run_it}, f_(std::move(f)), args_(std::move(args)...) {}
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) {
    task_record& record = running_task();
    executor& runs = *current_run().exec;
    if (worker* entered = runs.enter_call()) {
      call();
      return !runs.leave_call(*entered, record, frame);
    }
    record_ = &record;
    prepare_wait(record, frame, *this);
    runs.offload(*this);
    return commit_wait(record);
  }

  value await_resume() { return result_.take(); }

private:
  void call() noexcept {
    try {
      if constexpr (std::is_void_v<value>) {
        std::apply(std::move(f_), std::move(args_));
        result_.set_value();
      } else {
        result_.set_value(std::apply(std::move(f_), std::move(args_)));
      }
    } catch (...) {
      result_.set_failure(std::current_exception());
    }
  }

  static void run_it(blocking_job& job) noexcept {
    auto& self = static_cast<blocking_awaiter&>(job);
    self.call();
    wake(*self.record_);
  }

  F f_;
  std::tuple<Args...> args_;
  task_record* record_ = nullptr;
  result_slot<value> result_;
};

template <class F, class... Args>
struct blocking_object {
  F f;
  std::tuple<Args...> args;

  blocking_awaiter<F, Args...> operator co_await() && {
    return std::apply([this](Args&... each) { return blocking_awaiter<F, Args...>(std::move(f), std::move(each)...); }, args);
  }
};

}  // namespace detail

/// Runs `f(args...)`, which may block, where it stands, and returns its value or exception. Callable and arguments are moved.
/// When f is quick that costs about 35 ns. When it lasts, 100 to 300 us later another thread runs the tasks and serves the
/// connections that this one held; f goes on undisturbed. In a pinned task, and while 64 threads are kept by calls already, f
/// runs on a pool of threads (about 50 us), at most 64 at a time, further ones in order.
///
/// Inside `f` the thread belongs to no task: f may use what any thread may use of levity. Whatever it does, a cancelled task waits
/// for it to end.
///
/// Pass what `f` needs as arguments. g++ before 13 destroys a lambda twice that is written inside a `co_await` and captures
/// something with a destructor, so such a one is refused there.
template <class F, class... Args>
[[nodiscard("co_await the call")]] auto blocking(F&& f, Args&&... args) {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
  static_assert(std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<F>,
                "this compiler destroys a lambda with such captures twice when it is written inside a co_await: pass what it "
                "captures as arguments of blocking(), or name the lambda before");
#endif
  using object = detail::blocking_object<std::decay_t<F>, std::decay_t<Args>...>;
  return object{std::forward<F>(f), std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)};
}

}  // namespace levity
