#pragma once

#include <functional>
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
    record_ = frame.promise().record;
    task_record& record = *record_;
    prepare_wait(record, frame, *this);
    current_run().exec->offload(*this);
    return commit_wait(record);
  }

  value await_resume() { return result_.take(); }

private:
  static void run_it(blocking_job& job) noexcept {
    auto& self = static_cast<blocking_awaiter&>(job);
    try {
      if constexpr (std::is_void_v<value>) {
        std::apply(std::move(self.f_), std::move(self.args_));
        self.result_.set_value();
      } else {
        self.result_.set_value(std::apply(std::move(self.f_), std::move(self.args_)));
      }
    } catch (...) {
      self.result_.set_failure(std::current_exception());
    }
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

/// Runs `f(args...)`, which may block, where it holds no worker up, and returns its value or exception. Callable and
/// arguments are moved. A task that is cancelled meanwhile waits for `f` to end. Costs a hand-over to another thread and back
/// (about 50 us); at most 64 calls run at a time, further ones wait in order.
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
