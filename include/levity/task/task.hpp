#pragma once

#include <coroutine>
#include <utility>

#include "levity/task/detail/promise.hpp"

namespace levity::inline v0 {

/// A coroutine that has not started yet. It starts when it is awaited, runs as part of the awaiting task, and hands its
/// result or exception to it; scope::spawn makes a task of its own out of it.
///
/// Move-only; awaited at most once, as an rvalue: `co_await fetch(order)`. Dropping one that was never awaited destroys
/// its arguments and runs nothing. T is an object type or void, aligned to 16 bytes at most; return references as pointers. What
/// the await leaves of the value, moved from, dies with the task object.
/// Parameters of the coroutine live in its frame: take them by value, or by reference into something that outlives it.
/// Cost: one frame from the pool; an await that does not suspend costs about 10 ns.
template <class T = void>
class [[nodiscard("a task runs only when it is awaited or spawned")]] task {
public:
  static_assert(!std::is_reference_v<T>, "a task cannot return a reference; return a pointer or a value");

  struct promise_type : detail::task_promise<T> {
    task get_return_object() noexcept { return task{std::coroutine_handle<promise_type>::from_promise(*this)}; }
  };

  using value_type = T;

  task(task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
  task& operator=(task&& other) noexcept {
    if (this != &other) {
      if (frame_) frame_.destroy();
      frame_ = std::exchange(other.frame_, {});
    }
    return *this;
  }
  ~task() {
    if (frame_) frame_.destroy();
  }

  /// What `co_await` uses; lives in the awaiting frame.
  class awaiter {
  public:
    explicit awaiter(std::coroutine_handle<promise_type> child) noexcept : child_(child) {}
    bool await_ready() const noexcept { return false; }

    template <detail::levity_promise Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
      child_.promise().continuation_address = parent.address();
      return detail::transfer(child_);
    }

    T await_resume() { return child_.promise().take(); }

  private:
    std::coroutine_handle<promise_type> child_;
  };

  awaiter operator co_await() && noexcept {
    LEVITY_DEBUG_ASSERT(frame_, "a task is awaited once");
    return awaiter{frame_};
  }

  /// Gives the frame up to the runtime (spawn, when_all). Not for users.
  std::coroutine_handle<promise_type> release_frame() && noexcept { return std::exchange(frame_, {}); }

private:
  explicit task(std::coroutine_handle<promise_type> frame) noexcept : frame_(frame) {}

  std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <class T>
struct is_task : std::false_type {};
template <class T>
struct is_task<task<T>> : std::true_type {};

}  // namespace detail
}  // namespace levity
