#pragma once

#include <coroutine>
#include <cstdint>
#include <utility>

#include "levity/task/cancel.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/task.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0::detail {

/// How an attempt ended, beside its outcome or exception.
struct attempt_end {
  bool begun = false;                            // it was, and did not fail before
  bool passed = false;                           // the deadline that it was given passed
  cancel_reason outside = cancel_reason::none;   // what else its task is told to end for, when it is over

  /// Whether `why`, which left the attempt, is a deadline of it, or in it, and nothing from further out.
  [[nodiscard]] bool is_own(const cancelled& why) const noexcept {
    return outside == cancel_reason::none && why.reason() == cancel_reason::deadline;
  }
};

/// Awaits a task under a deadline; deadline_guard::never_ns is none, and costs nothing.
template <class R>
class attempt_awaiter {
public:
  attempt_awaiter(std::int64_t due_ns, task<R>& inner, attempt_end& end) noexcept
      : inner_(std::move(inner).operator co_await()), end_(end), guard_(due_ns), is_guarded_(due_ns != deadline_guard::never_ns) {}
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
    record_ = &running_task();
    end_.begun = true;
    if (is_guarded_) guard_.enter(*record_);
    return inner_.await_suspend(parent);
  }

  R await_resume() {
    end_.passed = is_guarded_ && guard_.leave();
    end_.outside = pending_cancel(*record_);
    return inner_.await_resume();
  }

private:
  typename task<R>::awaiter inner_;
  attempt_end& end_;
  task_record* record_ = nullptr;
  deadline_guard guard_;
  bool is_guarded_;
};

template <class R>
struct attempt_object {
  std::int64_t due_ns;
  attempt_end* end;
  task<R> inner;

  attempt_awaiter<R> operator co_await() && noexcept { return {due_ns, inner, *end}; }
};

/// Awaits `inner` until `due_ns`, and says in `end` how it ended.
template <class R>
[[nodiscard("co_await the attempt")]] attempt_object<R> attempt(std::int64_t due_ns, attempt_end& end, task<R> inner) noexcept {
  return {due_ns, &end, std::move(inner)};
}

/// `from` plus `span`, or the end of time.
inline std::int64_t due_after(time_point from, duration span) noexcept {
  const std::int64_t from_ns = from.time_since_epoch().count();
  return span.count() < deadline_guard::never_ns - from_ns ? from_ns + span.count() : deadline_guard::never_ns;
}

}  // namespace levity::detail
