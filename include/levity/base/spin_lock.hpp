#pragma once

// spin_lock: a lock for critical sections of a few pointer writes.
//
// Why: such sections last 5-30 ns, far less than a futex call. The holder may be descheduled inside; a waiter therefore
// spins briefly and then gives its CPU away, so that the holder can run. No user code ever runs under one, and a system
// call only to wake somebody.
//
// State of word_     moved by
//   0 -> 1           lock()    any thread
//   1 -> 0           unlock()  the holder
//
// Between two processors it is not the section that costs but the way of its cache lines from one to the other: 60-150 ns, against
// 10 ns for a section whose lines are there already. Of two threads that do little else than take one lock, each does best
// when it takes it some hundred times in a row. So who finds the lock taken stays away for a while before it looks again, and
// the longer, the more often such looks have failed lately: `contention_` goes up by `busy_look` when a look finds the lock
// taken, and down by one when it does not. Hence it climbs where the lock is taken more than a quarter of the time (waits of 2 us),
// and falls to nothing (no wait) where threads meet in it now and then. Anderson's backoff (1990), but remembered by the lock: a
// thread that begins anew each time finds the lock free at every second look, and ends the other's row. Times and not spin
// hints, of which one takes 10 ns here and 55 there. Nothing but waits depends on the estimate: relaxed, and updates may get lost.
//
// Edges
//   E1  unlock() -> lock()   what the holder wrote is visible to the next holder.
//
// Rejected: queues of waiters (fair, and the lines travel for each section); long waits everywhere (a lock that is taken 4% of the
// time would cost 2 us at every 25th use).

#include <cstdint>

#include "levity/base/atomic.hpp"

namespace levity::inline v0::detail {

class spin_lock {
public:
  spin_lock() = default;
  spin_lock(const spin_lock&) = delete;
  spin_lock& operator=(const spin_lock&) = delete;

  void lock() noexcept {
    // E1 acquire.
    if (word_.exchange(1, std::memory_order_acquire) != 0) lock_slowly();
  }

  bool try_lock() noexcept {
    // E1 acquire.
    return word_.load(std::memory_order_relaxed) == 0 && word_.exchange(1, std::memory_order_acquire) == 0;
  }

  void unlock() noexcept {
    word_.store(0, std::memory_order_release);  // E1 release.
  }

  /// How often threads have found it taken lately, from 0 to contention_max. Any thread.
  [[nodiscard]] unsigned contention_approx() const noexcept { return contention_.load(std::memory_order_relaxed); }
  static constexpr unsigned contention_max = 24;

private:
  friend class explored_spin_guard;

  static constexpr unsigned busy_look = 3;

  void lock_slowly() noexcept;

  atomic<std::uint8_t> word_{0};
  atomic<std::uint8_t> contention_{0};
};

static_assert(sizeof(spin_lock) <= sizeof(unsigned), "there is one in whatever tasks wait for");

}  // namespace levity::detail
