#pragma once

// event: something that has happened, or not yet.
//
// Edges
//   E51  set -> wait that finds it set, is_set: what was written before set() is visible after. A task that had to wait gets
//        it by E2.

#include "levity/base/atomic.hpp"
#include "levity/sync/detail/wait_list.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0 {

/// A flag that tasks wait for: set() lets all of them go, now and later, until reset(). Every task that waited when set() was
/// called goes on, even if reset() follows at once. A wait that is cancelled throws `cancelled`.
/// Order: all that wait are let go together; which of them runs first is not promised.
/// set, reset, is_set: any thread. A wait on a set event costs about 10 ns; set() is O(waiting tasks).
class event {
public:
  class wait_awaiter;

  event() = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  /// Nobody waits for it.
  ~event() = default;

  /// It has happened: lets go who waits, and who comes until reset(). Idempotent. Any thread; O(waiting tasks).
  void set() noexcept;
  /// It has not happened, as far as later waits go. Any thread.
  void reset() noexcept;
  /// Whether it has happened; what was written before set() is visible then. Any thread.
  [[nodiscard]] bool is_set() const noexcept {
    return set_.load(std::memory_order_acquire);  // E51 acquire.
  }

  /// Waits until the event is set. Throws `cancelled` on cancellation.
  [[nodiscard("co_await the wait")]] wait_awaiter wait() noexcept;

private:
  atomic<bool> set_{false};    // written under list_.lock
  detail::link_list leaving_;  // those that waited when set() was called; guarded by list_.lock
  detail::wait_list list_;
};

class event::wait_awaiter : public detail::queued_wait {
public:
  explicit wait_awaiter(event& on) noexcept : queued_wait(reason_, on.list_), event_(on) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  wait_awaiter(wait_awaiter&& other) noexcept : wait_awaiter(other.event_) {}

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, detail::running_task());
  }

  void await_resume() const { throw_if_refused(); }

  /// One look, and parking if it is not set. True: the wait is over. For the runtime.
  bool attempt(detail::task_record& record) noexcept;

private:
  bool suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept;
  static bool settle(detail::waiter& self, detail::task_record& record) noexcept;
  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  event& event_;
};

inline event::wait_awaiter event::wait() noexcept { return wait_awaiter{*this}; }

}  // namespace levity
