#pragma once

#include <cstdint>

#include "levity/sync/wait_group.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// A number of things that must have happened, once: count_down() for each, `co_await wait()` until all have. It does not go up
/// again; a wait_group does, and a barrier starts over by itself.
///
/// Counting below zero is a broken belief. count_down: any thread, about 10 ns. A wait that is cancelled throws `cancelled`; what
/// was written before count_down() is visible after wait().
/// Order: all are let go together; which of them runs first is not promised.
class latch {
public:
  /// Opens after `count` things; 0: it is open.
  explicit latch(std::uint64_t count) noexcept : left_(count) {}
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;
  /// Nobody waits for it.
  ~latch() = default;

  /// That many have happened; not more than are left (asserted). Any thread; the last one is O(waiting tasks).
  void count_down(std::uint64_t count = 1) noexcept { left_.done(count); }

  /// Waits until the count is zero. Throws `cancelled` on cancellation.
  [[nodiscard("co_await the wait")]] wait_group::wait_awaiter wait() noexcept { return left_.wait(); }

  /// Counts down and waits for the others. A cancellation ends the wait; it does not take the count back.
  [[nodiscard("co_await the wait")]] wait_group::wait_awaiter arrive_and_wait(std::uint64_t count = 1) noexcept {
    left_.done(count);
    return left_.wait();
  }

private:
  wait_group left_;
};

}  // namespace levity
