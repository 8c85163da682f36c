#pragma once

// timer: a moment that may be moved, again and again.
//
// Why: a connection's idle timeout is pushed back at every request and hardly ever comes. Its entry in the wheel therefore stays
// where it is when the moment is moved back or taken away; when it comes up, it looks at the moment that counts now.
//
//   state             node in the wheel   moved by
//   off, scheduled    maybe               arm(), cancel()   the owner
//   fired             no                  the wheel
//
// Invariant: while a moment is set, the node is in the wheel, not later than that moment.
// The lock guards moment, flags and waiter against the wheel's thread; the wheel's own lock is taken inside it, and disarm(),
// which waits for the callback, never.

#include "levity/base/spin_lock.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/time/sleep.hpp"

namespace levity::inline v0 {

/// A moment that can be set, moved and taken away cheaply, and that one task may wait for.
///
///     lv::timer idle;
///     idle.arm(30s);      // at every request; a store under a lock that nobody else takes
///     co_await idle.wait();
///
/// arm() and cancel() by one task at a time, inside a runtime; wait() by one task, which may be another. Never early, resolution
/// about 66 us. O(1), no allocation; moving it to a later moment costs about 10 ns, an earlier one twice that of a deadline.
class timer {
public:
  class wait_awaiter;

  timer() noexcept;
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;
  /// Nobody waits for it.
  ~timer();

  /// Sets the moment, anew if there is one; forgets that it fired.
  void arm(time_point due) noexcept;
  void arm(duration span) noexcept { arm(detail::time_after(span)); }
  /// Takes it away. Who waits goes on waiting, for a moment to come. False: it has fired, or there was none.
  bool cancel() noexcept;
  /// The moment has come and nobody has armed it anew.
  [[nodiscard]] bool has_fired() const noexcept;

  /// Waits until the moment comes; at once if it has. Throws `cancelled` when the waiting task is.
  [[nodiscard("co_await the timer")]] wait_awaiter wait() noexcept;

private:
  struct node : detail::timer_node {
    timer* owner = nullptr;
  };
  static std::int64_t due(detail::timer_node& entry) noexcept;

  static constexpr std::int64_t off = -1;

  mutable detail::spin_lock lock_;
  bool scheduled_ = false;                      // the node is in the wheel, or its callback runs
  bool fired_ = false;
  std::int64_t moment_ns_ = off;
  std::int64_t scheduled_ns_ = 0;               // when the wheel comes to the node
  detail::task_record* waiter_ = nullptr;
  detail::executor* exec_ = nullptr;            // set by the first arm()
  node node_;
};

class timer::wait_awaiter : detail::waiter {
public:
  explicit wait_awaiter(timer& of) noexcept : waiter{&reason_}, timer_(of) {}
  bool await_ready() const noexcept { return false; }

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, detail::running_task());
  }

  void await_resume() const {
    if (why_ != cancel_reason::none) throw cancelled{why_};
  }

private:
  bool suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept;
  static bool take_back(detail::waiter& self, detail::task_record& record) noexcept;
  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  timer& timer_;
  cancel_reason why_ = cancel_reason::none;
};

inline timer::wait_awaiter timer::wait() noexcept { return wait_awaiter{*this}; }

}  // namespace levity
