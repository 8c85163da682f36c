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
// Edges
//   E1  unlock() -> lock()   what the holder wrote is visible to the next holder.

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

private:
  void lock_slowly() noexcept;

  atomic<unsigned> word_{0};
};

}  // namespace levity::detail
