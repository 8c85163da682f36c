#pragma once

#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include "levity/task/cancel.hpp"
#include "levity/task/detail/callable.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// What a scope does when one of its tasks ends with an exception. A task that was cancelled and ends with
/// levity::cancelled has not failed; one that lets out the `cancelled` of a deadline inside it has.
enum class on_failure : std::uint8_t {
  cancel_siblings,  ///< cancel the others; join() rethrows the first failure
  keep_going,       ///< let the others finish; join() rethrows the first failure
  report,           ///< let the others finish; each failure is reported on standard error; join() returns
};

/// A group of tasks that end before it does.
///
///     lv::scope connections{lv::on_failure::report};
///     while (auto peer = co_await listener.accept()) connections.spawn(echo, std::move(*peer));
///     co_await connections.join();
///
/// By default the children are parts of one piece of work: the first that fails cancels the others, and whoever is spawned
/// later, and nothing is said of it before join(). Children that have nothing to do with each other, as the connections of a
/// server, want on_failure::report.
///
/// spawn() moves the callable and its arguments into the new task and never runs it inside the call. join() returns when
/// every child has ended. When the task that joins is cancelled, the children are cancelled first. A scope that is
/// destroyed with children still running (an exception passed through) cancels them with reason `abandoned`, and the task
/// that opened it does not count as ended before they have: pass children values, not references to locals of the
/// opening function, if an exception may pass between spawn and join.
///
/// Opened inside a task. spawn(), cancel() and size_approx() from any thread while the scope lives; join() by the opening task,
/// one at a time. Not movable. spawn costs about 60 ns, join about 10 ns plus the wait.
class scope {
public:
  /// Opens an empty scope in the running task (asserted). `name`, a literal, is shown in dumps; without one they say where the
  /// scope was opened. Throws std::bad_alloc.
  explicit scope(on_failure policy = on_failure::cancel_siblings, const char* name = nullptr,
                 std::source_location opened_at = std::source_location::current());
  scope(const scope&) = delete;
  scope& operator=(const scope&) = delete;
  ~scope();

  /// Starts `f(args...)`, which must return a task, as a task of its own. With a string literal in front of `f` the task
  /// bears that name in dumps. The call's source line is its spawn site. At most eight arguments.
  template <class F>
  void spawn(F f, std::source_location site = std::source_location::current()) {
    spawn_at(site, std::move(f));
  }
  template <class F, class A1>
  void spawn(F f, A1&& a1, std::source_location site = std::source_location::current()) {
    spawn_at(site, std::move(f), std::forward<A1>(a1));
  }
  template <class F, class A1, class A2>
  void spawn(F f, A1&& a1, A2&& a2, std::source_location site = std::source_location::current()) {
    spawn_at(site, std::move(f), std::forward<A1>(a1), std::forward<A2>(a2));
  }
  template <class F, class A1, class A2, class A3>
  void spawn(F f, A1&& a1, A2&& a2, A3&& a3, std::source_location site = std::source_location::current()) {
    spawn_at(site, std::move(f), std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3));
  }
  template <class F, class A1, class A2, class A3, class A4>
  void spawn(F f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, std::source_location site = std::source_location::current()) {
    spawn_at(site, std::move(f), std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
             std::forward<A4>(a4));
  }
  template <class F, class A1, class A2, class A3, class A4, class A5>
  void spawn(F f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5,
             std::source_location site = std::source_location::current()) {
    spawn_at(site, std::move(f), std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
             std::forward<A4>(a4), std::forward<A5>(a5));
  }
  template <class F, class A1, class A2, class A3, class A4, class A5, class A6>
  void spawn(F f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6,
             std::source_location site = std::source_location::current()) {
    spawn_at(site, std::move(f), std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
             std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6));
  }
  template <class F, class A1, class A2, class A3, class A4, class A5, class A6, class A7>
  void spawn(F f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7,
             std::source_location site = std::source_location::current()) {
    spawn_at(site, std::move(f), std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
             std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6), std::forward<A7>(a7));
  }
  template <class F, class A1, class A2, class A3, class A4, class A5, class A6, class A7, class A8>
  void spawn(F f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, A5&& a5, A6&& a6, A7&& a7, A8&& a8,
             std::source_location site = std::source_location::current()) {
    spawn_at(site, std::move(f), std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
             std::forward<A4>(a4), std::forward<A5>(a5), std::forward<A6>(a6), std::forward<A7>(a7),
             std::forward<A8>(a8));
  }

  /// As spawn(), with the spawn site given.
  template <class First, class... Rest>
  void spawn_at(const std::source_location& site, First first, Rest&&... rest) {
    if constexpr (std::is_convertible_v<First, const char*> && !std::is_invocable_v<First&, Rest...>) {
      spawn_named(site, first, std::forward<Rest>(rest)...);
    } else {
      spawn_named(site, nullptr, std::move(first), std::forward<Rest>(rest)...);
    }
  }

  class join_awaiter;

  /// Waits until every child has ended, then rethrows the first failure, if any (not with on_failure::report).
  /// When the joining task is cancelled, before or meanwhile, or a deadline around it passes, the children are cancelled for
  /// the same reason; join() still waits for all of them and returns normally, and what is answered to the cancellation is
  /// the task's next wait. Until it joins, or leaves the scope, the children of a cancelled task go on.
  [[nodiscard("co_await the join")]] join_awaiter join() noexcept;

  /// Cancels every child, 512 before it returns and the others soon after, and each that is spawned later. What was written before
  /// the first call is visible to who finds itself cancelled by it. Idempotent; O(1).
  void cancel(cancel_reason reason = cancel_reason::requested) noexcept;

  /// Starts a task that was made already. Not for users.
  void adopt_frame(task<> root, const char* name, const std::source_location& site) { adopt(std::move(root), name, site); }

  /// Children that have not ended. Racy by nature.
  [[nodiscard]] std::size_t size_approx() const noexcept;

private:
  template <class F, class... Args>
  void spawn_named(const std::source_location& site, const char* name, F f, Args&&... args) {
    constexpr bool moves = (std::is_constructible_v<std::decay_t<Args>, Args> && ...);
    static_assert(moves, "spawn keeps its arguments in the new task, and one of these cannot be copied there: std::move it");
    constexpr bool fits = detail::makes_task<F, std::decay_t<Args>...>();
    if constexpr (moves && fits) adopt(detail::as_root(std::move(f), std::forward<Args>(args)...), name, site);
  }

  template <class T>
  void adopt(task<T> root, const char* name, const std::source_location& site) {
    auto frame = std::move(root).release_frame();
    state_->adopt(frame, frame.promise(), name, site);
  }

  detail::scope_state* state_;
};

class scope::join_awaiter : detail::waiter {
public:
  explicit join_awaiter(detail::scope_state& state) noexcept;
  bool await_ready() const noexcept { return false; }

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, detail::running_task());
  }

  void await_resume();

private:
  bool suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept;
  static bool cancel_children(detail::waiter& self, detail::task_record& record) noexcept;
  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  detail::scope_state& state_;
};

}  // namespace levity
