#pragma once

#include "levity/base/clock.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/shield.hpp"
#include "levity/task/task.hpp"
#include "levity/time/sleep.hpp"

namespace levity::inline v0 {
namespace detail {

/// A deadline around part of a task: armed while that part runs.
class deadline_guard {
public:
  explicit deadline_guard(std::int64_t due_ns) noexcept;
  deadline_guard(const deadline_guard&) = delete;
  deadline_guard& operator=(const deadline_guard&) = delete;

  void enter(task_record& record) noexcept;
  /// Whether it has passed.
  bool leave() noexcept;

private:
  struct timer : timer_node {
    deadline_guard* guard = nullptr;
  };
  static std::int64_t passed(timer_node& node) noexcept;

  context context_{context::kind::deadline};
  timer timer_;
  task_record* record_ = nullptr;
};

template <class T>
class deadline_awaiter {
public:
  deadline_awaiter(std::int64_t due_ns, task<T>& inner) noexcept
      : inner_(std::move(inner).operator co_await()), guard_(due_ns) {}
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
    guard_.enter(*parent.promise().record);
    return inner_.await_suspend(parent);
  }

  T await_resume() {
    guard_.leave();
    return inner_.await_resume();
  }

private:
  typename task<T>::awaiter inner_;
  deadline_guard guard_;
};

template <class T>
struct with_deadline_object {
  std::int64_t due_ns;
  task<T> inner;

  deadline_awaiter<T> operator co_await() && noexcept { return {due_ns, inner}; }
};

}  // namespace detail

/// Runs `inner`; when `until` passes first, every wait in it ends: I/O and channels with io_failure::timed_out, other waits
/// by throwing `cancelled` with reason deadline. Deadlines nest; the nearest counts. Tasks that `inner` joins are cancelled with
/// it. A blocking call and a file operation that have begun go on to their end. Returns what `inner` returns, late or not:
/// a deadline ends waits, it does not throw results away.
template <class T>
[[nodiscard("co_await the task")]] detail::with_deadline_object<T> with_deadline(time_point until, task<T> inner) noexcept {
  return {until.time_since_epoch().count(), std::move(inner)};
}

/// The same with a span of time from now.
template <class T>
[[nodiscard("co_await the task")]] detail::with_deadline_object<T> with_deadline(duration span, task<T> inner) noexcept {
  return with_deadline(detail::time_after(span), std::move(inner));
}

}  // namespace levity
