#pragma once

#include <new>
#include <utility>

#include "levity/task/task.hpp"

namespace levity::inline v0::detail {

/// A task that an awaiter starts only when it finds that it has to wait. Cheaper to compile than a std::optional of one.
template <class T>
class late_task {
public:
  late_task() noexcept {}
  late_task(const late_task&) = delete;
  late_task& operator=(const late_task&) = delete;
  ~late_task() {
    if (!started_) return;
    wait_.~awaiter();
    inner_.~task();
  }

  /// Once, in the awaiter's await_suspend, which returns what this does.
  template <levity_promise Promise>
  std::coroutine_handle<> start(task<T> inner, std::coroutine_handle<Promise> frame) noexcept {
    ::new (static_cast<void*>(&inner_)) task<T>(std::move(inner));
    ::new (static_cast<void*>(&wait_)) awaiter(std::move(inner_).operator co_await());  // in place: it cannot be moved
    started_ = true;
    return wait_.await_suspend(frame);
  }
  [[nodiscard]] bool started() const noexcept { return started_; }
  T result() { return wait_.await_resume(); }

private:
  using awaiter = typename task<T>::awaiter;

  union {
    task<T> inner_;
  };
  union {
    awaiter wait_;
  };
  bool started_ = false;
};

}  // namespace levity::detail
