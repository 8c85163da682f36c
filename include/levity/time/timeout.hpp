#pragma once

#include <expected>
#include <type_traits>
#include <utility>

#include "levity/task/cancel.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0 {

/// The time given by with_timeout() passed before the task inside had ended.
struct timed_out {
  friend bool operator==(timed_out, timed_out) noexcept = default;
};

namespace detail {

template <class T>
class timeout_awaiter {
public:
  timeout_awaiter(std::int64_t due_ns, task<T>& inner) noexcept
      : inner_(std::move(inner).operator co_await()), guard_(due_ns) {}
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
    guard_.enter(running_task());
    return inner_.await_suspend(parent);
  }

  std::expected<T, timed_out> await_resume() {
    const bool passed = guard_.leave();
    try {
      if constexpr (std::is_void_v<T>) {
        inner_.await_resume();
        return {};
      } else {
        return inner_.await_resume();
      }
    } catch (const cancelled& why) {
      // Of a deadline further out, or of a cancellation, it is not ours to make a value.
      if (!passed || why.reason() != cancel_reason::deadline) throw;
      return std::unexpected(timed_out{});
    }
  }

private:
  typename task<T>::awaiter inner_;
  deadline_guard guard_;
};

template <class T>
struct with_timeout_object {
  std::int64_t due_ns;
  task<T> inner;

  timeout_awaiter<T> operator co_await() && noexcept { return {due_ns, inner}; }
};

}  // namespace detail

/// Runs `inner`; when `until` passes first, the waits in it end as with_deadline() says, and a `cancelled` that leaves it for that
/// reason becomes a value: std::expected<T, timed_out>.
///
///     if (auto answer = co_await lv::with_timeout(200ms, ask(replica))) use(*answer); else co_return stale();
///
/// What `inner` returns is returned, late or not; an error value in it (an io_result with io_failure::timed_out, from a wait that
/// has values for this) stays inside. Cancellation from outside, a deadline around this one and other exceptions pass through.
/// Inside tasks. Costs what with_deadline() costs, and an exception when time is up in a wait that throws.
template <class T>
[[nodiscard("co_await the task")]] detail::with_timeout_object<T> with_timeout(time_point until, task<T> inner) noexcept {
  return {until.time_since_epoch().count(), std::move(inner)};
}

/// The same with a span of time from now.
template <class T>
[[nodiscard("co_await the task")]] detail::with_timeout_object<T> with_timeout(duration span, task<T> inner) noexcept {
  return with_timeout(detail::time_after(span), std::move(inner));
}

/// The same around an operation that is no task; costs the frame that with_deadline() of one does.
template <detail::operation Awaitable>
[[nodiscard("co_await the operation")]] detail::with_timeout_object<detail::awaited_value_of<Awaitable>> with_timeout(
    time_point until, Awaitable inner) {
  return with_timeout(until, detail::as_task(std::move(inner)));
}
template <detail::operation Awaitable>
[[nodiscard("co_await the operation")]] detail::with_timeout_object<detail::awaited_value_of<Awaitable>> with_timeout(
    duration span, Awaitable inner) {
  return with_timeout(detail::time_after(span), detail::as_task(std::move(inner)));
}

}  // namespace levity
