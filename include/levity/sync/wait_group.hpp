#pragma once

#include <cstdint>

#include "levity/sync/detail/wait_list.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0 {

/// Counts work that is under way: add() before it starts, done() when it ends, `co_await wait()` until none is left.
/// It can be used again afterwards. For tasks of one scope, scope::join says the same with less.
///
/// wait() lets all waiting tasks go when the count comes to zero, and goes on at once while it is zero. More done() than add()
/// is a broken belief. A wait that is cancelled throws `cancelled`. add, done: any thread, about 10 ns; the done() that
/// reaches zero is O(waiting tasks). What was written before done() is visible after wait().
/// Order: all are let go together; which of them runs first is not promised.
class wait_group {
public:
  class wait_awaiter;

  /// Begins with `count` pieces of work under way.
  explicit wait_group(std::uint64_t count = 0) noexcept : count_(count) {}
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;
  /// Nobody waits for it.
  ~wait_group() = default;

  /// That much more work is under way. Before it begins, and before a wait() that is to see it. Any thread.
  void add(std::uint64_t count = 1) noexcept;
  /// That much has ended; not more than is under way (asserted). Any thread.
  void done(std::uint64_t count = 1) noexcept;

  /// Waits until the count is zero. Throws `cancelled` on cancellation.
  [[nodiscard("co_await the wait")]] wait_awaiter wait() noexcept;

private:
  std::uint64_t count_;        // guarded by list_.lock
  detail::link_list leaving_;  // those that waited when the count came to zero; guarded by list_.lock
  detail::wait_list list_;
};

class wait_group::wait_awaiter : public detail::queued_wait {
public:
  explicit wait_awaiter(wait_group& on) noexcept : queued_wait(reason_, on.list_), group_(on) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  wait_awaiter(wait_awaiter&& other) noexcept : wait_awaiter(other.group_) {}

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, detail::running_task());
  }

  void await_resume() const { throw_if_refused(); }

  /// One look, and parking if work is left. True: the wait is over. For the runtime.
  bool attempt(detail::task_record& record) noexcept;

private:
  bool suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept;
  static bool settle(detail::waiter& self, detail::task_record& record) noexcept;
  static void describe(const detail::waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;

  wait_group& group_;
};

inline wait_group::wait_awaiter wait_group::wait() noexcept { return wait_awaiter{*this}; }

}  // namespace levity
