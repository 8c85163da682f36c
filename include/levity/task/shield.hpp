#pragma once

#include "levity/task/detail/promise.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {
namespace detail {

void push_context(task_record& record, context& inner) noexcept;
void pop_context(task_record& record, context& inner) noexcept;

template <class T>
class shield_awaiter {
public:
  explicit shield_awaiter(task<T>& inner) noexcept : inner_(std::move(inner).operator co_await()) {}
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
    record_ = &running_task();
    push_context(*record_, context_);
    return inner_.await_suspend(parent);
  }

  T await_resume() {
    pop_context(*record_, context_);
    return inner_.await_resume();
  }

private:
  typename task<T>::awaiter inner_;
  context context_{context::kind::shield};
  task_record* record_ = nullptr;
};

template <class T>
struct shield_object {
  task<T> inner;

  shield_awaiter<T> operator co_await() && noexcept { return shield_awaiter<T>{inner}; }
};

}  // namespace detail

/// Runs `inner` to its end even if the task around it is cancelled meanwhile; the cancellation is answered at the first wait
/// after it. Deadlines opened inside still count.
template <class T>
[[nodiscard("co_await the shield")]] detail::shield_object<T> shield(task<T> inner) noexcept {
  return {std::move(inner)};
}

}  // namespace levity
