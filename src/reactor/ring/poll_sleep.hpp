#pragma once

// poll_sleep: where whoever polls a ring_reactor sleeps, and by what it is woken.
//
// It sleeps on a futex, or, in a runtime inside a loop of the caller's own, in an epoll descriptor which that loop watches.
//
// Poller                                Ring thread, or who calls ring()
//   fall_asleep():                        pushes a socket, and wake(), or ring():
//     state = asleep                        rung = true
//     full fence (E205)                     full fence (E205)
//   looks at the inbox and `rung`           asleep? then awake, and wake it
//   sleeps
//
// While another reactor attends to this one nobody sleeps here: whoever would wake the poller tells that one instead.
//
// Edges
//   E205  fences of poller and caller, see above: one sees the other.
//   E206  ring() -> heard(): what the caller wrote before.
//   E370  is_attended_by() <-> wake(): fences, see full_fence() in both. Who wakes finds whom to tell, or what it has pushed is
//         found by the attendant's first poll: that one polls without having been asked.

#include <cstdint>

#include "levity/base/atomic.hpp"

namespace levity::inline v0::detail {

struct reactor;

class poll_sleep {
public:
  /// `host`: what the caller's loop watches is rung instead of the futex; outlives it. Null: there is none.
  explicit poll_sleep(reactor* host) noexcept : host_(host) {}
  poll_sleep(const poll_sleep&) = delete;
  poll_sleep& operator=(const poll_sleep&) = delete;

  // Whoever polls.
  /// Whether somebody has rung since the last time.
  [[nodiscard]] bool heard() noexcept;
  [[nodiscard]] bool is_rung_approx() const noexcept { return rung_.load(std::memory_order_relaxed); }
  /// From here on it is woken. What it would sleep for is to be looked at once more.
  void fall_asleep() noexcept;
  /// Without a host: sleeps until it is woken, or `until_ns` (timer_wheel::never_ns: for ever).
  void wait(std::int64_t until_ns) noexcept;
  void wake_up() noexcept { state_.store(state::awake, std::memory_order_relaxed); }

  // Any thread.
  /// Something was pushed: wakes who sleeps.
  void wake() noexcept;
  void ring() noexcept;

  // Any thread that holds the slot.
  /// Nobody sleeps here until is_dismissed(); the attendant is told by that number, which is always the same.
  void is_attended_by(reactor& attendant, unsigned number) noexcept;
  void is_dismissed() noexcept;

private:
  enum class state : std::uint32_t { awake, asleep };

  reactor* const host_;
  atomic<state> state_{state::awake};
  atomic<bool> rung_{false};
  atomic<reactor*> attendant_{nullptr};
  unsigned number_ = 0;  // with the attendant (E370)
};

}  // namespace levity::detail
