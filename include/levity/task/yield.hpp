#pragma once

#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0 {
namespace detail {

struct yield_awaiter {
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    record_ = &running_task();
    return suspend(frame, *record_);
  }

  void await_resume() const {
    if (const cancel_reason why = pending_cancel(*record_); why != cancel_reason::none) throw cancelled{why};
  }

  static bool suspend(std::coroutine_handle<> frame, task_record& record) noexcept;

  task_record* record_ = nullptr;
};

struct cancel_check_awaiter {
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise>) noexcept {
    why_ = pending_cancel(running_task());
    return false;
  }

  void await_resume() const {
    if (why_ != cancel_reason::none) throw cancelled{why_};
  }

  cancel_reason why_ = cancel_reason::none;
};

/// Never suspends; throws `cancelled` if the task was.
[[nodiscard]] inline cancel_check_awaiter throw_if_cancelled() noexcept { return {}; }

}  // namespace detail

/// Lets others run before this one goes on: it goes to the end of the queue that all workers share. Throws `cancelled` if the
/// task was cancelled.
[[nodiscard("co_await the yield")]] inline detail::yield_awaiter yield() noexcept { return {}; }

}  // namespace levity
