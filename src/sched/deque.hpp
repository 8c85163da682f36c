#pragma once

// deque: one worker's ready tasks. The owner pushes and pops at the bottom, thieves take from the top.
//
// After Chase and Lev (2005), with the orders of Le, Pop, Cohen and Zappa Nardelli (2013), over a fixed ring: a worker that has
// more than the ring holds hands half of it to a queue that all share, so nothing grows and no thief reads memory that goes.
//
// The bottom is also the slot for the task to run next: what a running task wakes is run first, while its data is warm,
// and is stealable from the moment it is pushed. The worker bounds how long newer tasks may pass older ones (worker.cpp).
//
//   [top_, bottom_)   the tasks; both only grow
//   push     bottom_ + 1    owner
//   pop      bottom_ - 1    owner; for the last task it races the thieves for top_
//   steal    top_ + 1       any thread
//   take_half top_ + n      owner, when full
//
// Edges
//   E10  push -> steal: the task and what its pusher wrote.
//   E11  steal, take_half -> push: a slot is overwritten only after its thief has read it.
//   E12  pop <-> steal: of an owner and a thief at the last task, at least one sees the other (store bottom, load top against
//        load top, load bottom).

#include <array>
#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

template <class T>
class basic_deque {
public:
  static constexpr std::int64_t capacity = 1024;

  /// `shared`: there are thieves. Without any, nothing here needs a fence or a locked instruction.
  explicit basic_deque(bool shared = true) noexcept : shared_(shared) {}

  /// Owner. False: full.
  [[nodiscard]] bool push(T& task) noexcept {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);
    const std::int64_t top = top_.load(std::memory_order_acquire);  // E11 acquire.
    if (bottom - top >= capacity) return false;
    slot(bottom).store(&task, std::memory_order_relaxed);
    bottom_.store(bottom + 1, std::memory_order_release);  // E10 release.
    return true;
  }

  /// Owner. The newest task, null if there is none.
  T* pop() noexcept {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed) - 1;
    if (top_.load(std::memory_order_relaxed) > bottom) return nullptr;
    bottom_.store(bottom, std::memory_order_relaxed);
    if (!shared_) return slot(bottom).load(std::memory_order_relaxed);
    full_fence();  // E12.
    std::int64_t top = top_.load(std::memory_order_relaxed);
    if (top > bottom) {
      bottom_.store(bottom + 1, std::memory_order_relaxed);
      return nullptr;
    }
    T* task = slot(bottom).load(std::memory_order_relaxed);
    if (top == bottom) {
      // E12: seq_cst, so that thieves and owner agree who took the last one.
      const bool won = top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst, std::memory_order_relaxed);
      bottom_.store(bottom + 1, std::memory_order_relaxed);
      if (!won) return nullptr;
    }
    return task;
  }

  /// Any thread. The oldest task; null if there is none or another thread took it meanwhile.
  T* steal() noexcept {
    if (!shared_) return pop_oldest();
    std::int64_t top = top_.load(std::memory_order_acquire);  // E11 acquire: what thieves before us took.
    full_fence();                                             // E12.
    const std::int64_t bottom = bottom_.load(std::memory_order_acquire);  // E10 acquire.
    if (top >= bottom) return nullptr;
    T* task = slot(top).load(std::memory_order_relaxed);
    // E11 release: we have read the slot. E12 seq_cst.
    return top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst, std::memory_order_relaxed) ? task
                                                                                                            : nullptr;
  }

  /// Owner, when full. Takes the older half out, oldest first; 0 when a thief came in between (then there is room).
  std::size_t take_half(std::array<T*, capacity / 2>& into) noexcept {
    std::int64_t top = top_.load(std::memory_order_relaxed);
    if (bottom_.load(std::memory_order_relaxed) - top < capacity) return 0;
    for (std::int64_t i = 0; i < capacity / 2; i++) {
      into[static_cast<std::size_t>(i)] = slot(top + i).load(std::memory_order_relaxed);
    }
    // E11 release: we have read the slots.
    return top_.compare_exchange_strong(top, top + capacity / 2, std::memory_order_seq_cst, std::memory_order_relaxed)
               ? capacity / 2
               : 0;
  }

  /// Any thread; racy.
  [[nodiscard]] std::int64_t size_approx() const noexcept {
    const std::int64_t size = bottom_.load(std::memory_order_relaxed) - top_.load(std::memory_order_relaxed);
    return size > 0 ? size : 0;
  }

  /// The number of the oldest task; another one as soon as that is taken.
  [[nodiscard]] std::int64_t oldest_approx() const noexcept { return top_.load(std::memory_order_relaxed); }

private:
  // Owner, where there are no thieves.
  T* pop_oldest() noexcept {
    const std::int64_t top = top_.load(std::memory_order_relaxed);
    if (top >= bottom_.load(std::memory_order_relaxed)) return nullptr;
    top_.store(top + 1, std::memory_order_relaxed);
    return slot(top).load(std::memory_order_relaxed);
  }

  atomic<T*>& slot(std::int64_t number) noexcept {
    return ring_[static_cast<std::size_t>(number & (capacity - 1))];
  }

  const bool shared_;
  alignas(cache_line_bytes) atomic<std::int64_t> top_{0};
  alignas(cache_line_bytes) atomic<std::int64_t> bottom_{0};
  alignas(cache_line_bytes) std::array<atomic<T*>, capacity> ring_{};
};

using deque = basic_deque<task_record>;

}  // namespace levity::detail
