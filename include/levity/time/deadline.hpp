#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

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
  /// The nearest of those around what `record`, the running task, does; up to the first shield. INT64_MAX without any.
  static std::int64_t nearest(const task_record& record) noexcept;

private:
  struct layer : context {
    explicit layer(deadline_guard& of) noexcept : context(kind::deadline), guard(of) {}
    deadline_guard& guard;
  };
  struct timer : timer_node {
    deadline_guard* guard = nullptr;
  };
  static std::int64_t passed(timer_node& node) noexcept;

  layer context_{*this};
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
    guard_.enter(running_task());
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

/// What `co_await` of an awaitable gives.
template <class Awaitable>
struct awaited {
  using type = decltype(std::declval<Awaitable&>().await_resume());
};
template <class Awaitable>
  requires requires(Awaitable inner) { std::move(inner).operator co_await(); }
struct awaited<Awaitable> {
  using type = decltype(std::declval<Awaitable>().operator co_await().await_resume());
};

/// An operation that can be awaited and is no task.
template <class Awaitable>
concept operation = !is_task<Awaitable>::value && std::move_constructible<Awaitable> && requires {
  typename awaited<Awaitable>::type;
};

template <operation Awaitable>
using awaited_value_of = std::remove_cvref_t<typename awaited<Awaitable>::type>;

/// The operation as a task: where what surrounds it needs a frame of its own.
template <operation Awaitable>
task<awaited_value_of<Awaitable>> as_task(Awaitable inner) {
  co_return co_await std::move(inner);
}

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

/// The same around an operation that is no task, moved into the frame of a small one (some 150 bytes more than the operation
/// itself, while it runs); may throw std::bad_alloc.
///
///     auto line = co_await lv::with_deadline(60s, in.read_line(1024));
template <detail::operation Awaitable>
[[nodiscard("co_await the operation")]] detail::with_deadline_object<detail::awaited_value_of<Awaitable>> with_deadline(
    time_point until, Awaitable inner) {
  return with_deadline(until, detail::as_task(std::move(inner)));
}
template <detail::operation Awaitable>
[[nodiscard("co_await the operation")]] detail::with_deadline_object<detail::awaited_value_of<Awaitable>> with_deadline(
    duration span, Awaitable inner) {
  return with_deadline(detail::time_after(span), detail::as_task(std::move(inner)));
}

/// The nearest deadline around what the running task does, which is when its waits end; time_point::max() without any. What lies
/// behind a shield does not count. Inside a task. O(deadlines, scopes and shields around).
[[nodiscard]] time_point nearest_deadline() noexcept;

}  // namespace levity
