#pragma once

#include "levity/base/clock.hpp"
#include "levity/task/detail/promise.hpp"

namespace levity::inline v0 {

namespace detail {

/// Now plus `span`; a span that reaches beyond the end of time ends there.
inline time_point time_after(duration span) noexcept {
  const time_point now = clock::now();
  return span < time_point::max() - now ? now + span : time_point::max();
}

}  // namespace detail

/// What `co_await sleep(...)` uses. Throws `cancelled` when the task is cancelled before the time is up.
class sleep_awaiter : detail::sleep_waiter {
public:
  explicit sleep_awaiter(time_point until) noexcept;
  bool await_ready() const noexcept { return false; }

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, detail::running_task());
  }

  void await_resume() const {
    if (due_ns < 0) throw_cancelled();
  }

private:
  bool suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept;
  [[noreturn]] void throw_cancelled() const;
  static bool take_back(detail::waiter& self, detail::task_record& record) noexcept;
  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;
};

/// Waits until `until`; a time that has passed still lets other tasks run first. Resolution about 66 us, never early.
[[nodiscard("co_await the sleep")]] inline sleep_awaiter sleep_until(const time_point& until) noexcept {
  return sleep_awaiter{until};
}

/// Waits for at least `time`. Throws `cancelled` on cancellation. One entry in the timer wheel: O(1), no allocation.
[[nodiscard("co_await the sleep")]] inline sleep_awaiter sleep(const duration& time) noexcept {
  return sleep_awaiter{detail::time_after(time)};
}

}  // namespace levity
