#pragma once

// deque: one worker's ready tasks. The owner pushes and pops at the bottom, thieves take from the top.
//
// After Chase and Lev (2005), with the fences of Le, Pop, Cohen and Zappa Nardelli (2013), over a fixed ring: a worker that has
// more than the ring holds hands half of it to a queue that all share, so nothing grows and no thief reads memory that goes. Their
// exchanges are seq_cst, for C++11 lets a fence order none but such stores for others; C++20 has it order all (P0668).
//
// The bottom is also the slot for the task to run next: what a running task wakes is run first, while its data is warm,
// and is stealable from the moment it is pushed. The worker bounds how long newer tasks may pass older ones (worker.cpp).
//
// A pop that races thieves needs a full fence, a quarter of what a small task costs. While nobody is short of work the owner
// spends one on several pops: it sets the newest tasks aside, with the one fence that the first of these pops has anyway, and pops
// the others without. A push puts everything within reach again, at no cost. A thief that finds nothing else opens what is set
// aside: it closes the deque, interrupts the owner by a barrier of the whole process (membarrier(2)), and opens it. The owner may
// be in a task that never ends; it need not do anything.
//
//   [top_, bottom_)   the tasks; both only grow, but for pops
//   push      bottom_ + 1    owner
//   pop       bottom_ - 1    owner; for the last task within reach it races the thieves for top_
//   steal     top_ + 1       any thread; up to limit_
//   take_half top_ + n       owner, when full
//   take_from_absent top_ + 1    whoever knows that the owner does not pop meanwhile: all of them, whatever limit_ says
//
//   limit_    who may take what                             moved to by
//   none      thieves all; the owner's pop has a fence       push, publish: owner; open: a thief, after the barrier
//   n         from n on the owner's, pops have no fence      pop: owner
//   closed    thieves nothing; the owner asks before a pop   open: a thief, before the barrier
//
// Edges
//   E10  push -> steal: the task and what its pusher wrote. The fence of a pop hands on all that was pushed before it, by whatever
//        is stored to bottom_ after it; and a pop without one follows no push since that of the pop that set aside.
//   E11  steal -> push: a slot is overwritten only after its thief has read it. Exchanges of top_ hand on what came before theirs;
//        the owner's release nothing, for nobody but the owner overwrites.
//   E12  pop <-> steal: of an owner and a thief at the last task, at least one sees the other (store bottom, load top against
//        load top, load bottom). And of an owner who sets aside from n on: a thief whose fence is the later one sees n; before an
//        earlier one it has read a top that the owner finds or passes, and takes no task from n on, for n lies beyond the top
//        found.
//   E350 push, publish, pop -> steal: who sees `none`, or a number, sees the bottom as it was then, not one from before the
//        fenceless pops. The `none` of open() comes after its barrier, which is a full fence of its own thread, too.
//   E351 pop without a fence <-> open: the barrier falls before the owner's look at limit_, which then finds it closed, or after
//        its store of bottom_, which every thief sees from then on.
//   E352 open -> open: the one before is done with limit_.
//
// Rejected: a barrier of the process in each steal, and no fence in any pop (a steal of microseconds is dearer than the tasks it
// brings, where tasks are short); tasks set aside that nobody can open (a task that computes would keep its siblings waiting).

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/task/detail/record.hpp"
#include "platform/process_barrier.hpp"

namespace levity::inline v0::detail {

// Where each slot is a word that an exploration keeps account of, a worker is made many thousand times a second.
#ifdef LEVITY_MODEL
inline constexpr std::int64_t deque_capacity = 16;
#else
inline constexpr std::int64_t deque_capacity = 1024;
#endif

/// `Capacity`: how many tasks it holds, a power of two; the model lane fills small ones.
template <class T, std::int64_t Capacity = deque_capacity>
class basic_deque {
public:
  static constexpr std::int64_t capacity = Capacity;
  static_assert(capacity >= 2 && (capacity & (capacity - 1)) == 0, "a slot is found by a mask");

  /// `shared`: there are thieves. Without any, nothing here needs a fence or a locked instruction.
  explicit basic_deque(bool shared = true) noexcept : shared_(shared) {}

  /// Owner. False: full.
  [[nodiscard]] bool push(T& task) noexcept {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);
    const std::int64_t top = top_.load(std::memory_order_acquire);  // E11 acquire.
    if (bottom - top >= capacity) return false;
    slot(bottom).store(&task, std::memory_order_relaxed);
    bottom_.store(bottom + 1, std::memory_order_release);  // E10 release.
    publish();
    return true;
  }

  /// Owner. Puts what is set aside within the reach of thieves.
  void publish() noexcept {
    if (aside_ == none) return;
    aside_ = none;
    limit_.store(none, std::memory_order_release);  // E350 release.
  }

  /// Owner. The newest task, null if there is none. With `set_aside` some more may be kept from thieves until the next push.
  T* pop(bool set_aside = false) noexcept {
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed) - 1;
    if (bottom >= aside_ && set_aside) {
      bottom_.store(bottom, std::memory_order_relaxed);
      compiler_fence();  // E351: the order of these two, for the barrier of open().
      if (limit_.load(std::memory_order_relaxed) == aside_) [[likely]] return slot(bottom).load(std::memory_order_relaxed);
      bottom_.store(bottom + 1, std::memory_order_relaxed);
    }
    if (top_.load(std::memory_order_relaxed) > bottom) return nullptr;
    if (shared_) return pop_among_thieves(bottom, set_aside);
    bottom_.store(bottom, std::memory_order_relaxed);
    return slot(bottom).load(std::memory_order_relaxed);
  }

  /// Owner. Whether nothing was pushed since a pop that had a fence, or nothing is left.
  [[nodiscard]] bool keeps_all_since_fence() const noexcept { return aside_ != none || size_approx() == 0; }

  /// Any thread. The oldest task; null if there is none or another thread took it meanwhile.
  T* steal() noexcept {
    if (!shared_) return pop_oldest();
    std::int64_t top = top_.load(std::memory_order_relaxed);
    full_fence();                                                         // E12.
    const std::int64_t limit = limit_.load(std::memory_order_acquire);    // E350 acquire.
    const std::int64_t bottom = bottom_.load(std::memory_order_acquire);  // E10 acquire.
    if (top >= std::min(limit, bottom)) return nullptr;
    T* task = slot(top).load(std::memory_order_relaxed);
    // E11 release: we have read the slot.
    return top_.compare_exchange_strong(top, top + 1, std::memory_order_release, std::memory_order_relaxed) ? task
                                                                                                            : nullptr;
  }

  /// While the owner neither pops nor sets aside, and is known not to (it may push): one thread at a time takes the oldest task,
  /// beside thieves if there are any. Null: none was left when it looked. The owner publishes before its next pop.
  T* take_from_absent() noexcept {
    std::int64_t top = top_.load(std::memory_order_relaxed);
    while (top < bottom_.load(std::memory_order_acquire)) {  // E10 acquire.
      T* task = slot(top).load(std::memory_order_relaxed);
      // E11 release: we have read the slot.
      if (top_.compare_exchange_strong(top, top + 1, std::memory_order_release, std::memory_order_relaxed)) return task;
    }
    return nullptr;
  }

  /// Any thread, when there is nothing else to steal: puts within reach what the owner has set aside. Some microseconds, of the
  /// owner's processor, too.
  void open() noexcept {
    // One at a time: but for us only the owner moves limit_ from `closed`.
    if (opening_.exchange(true, std::memory_order_acquire)) return;  // E352 acquire.
    std::int64_t limit = limit_.load(std::memory_order_relaxed);
    if (limit >= 0 && limit != none && limit_.compare_exchange_strong(limit, closed, std::memory_order_relaxed)) {
      process_barrier();  // E351.
      limit = closed;
      limit_.compare_exchange_strong(limit, none, std::memory_order_relaxed, std::memory_order_relaxed);  // behind that barrier
    }
    opening_.store(false, std::memory_order_release);  // E352 release.
  }

  /// Any thread; racy. Whether there is something that open() would put within reach.
  [[nodiscard]] bool keeps_aside_approx() const noexcept {
    return bottom_.load(std::memory_order_relaxed) > limit_.load(std::memory_order_relaxed);
  }

  /// Owner, when full. Takes the older half out, oldest first; 0 when a thief came in between (then there is room).
  std::size_t take_half(std::array<T*, capacity / 2>& into) noexcept {
    std::int64_t top = top_.load(std::memory_order_relaxed);
    if (bottom_.load(std::memory_order_relaxed) - top < capacity) return 0;
    for (std::int64_t i = 0; i < capacity / 2; i++) {
      into[static_cast<std::size_t>(i)] = slot(top + i).load(std::memory_order_relaxed);
    }
    return top_.compare_exchange_strong(top, top + capacity / 2, std::memory_order_relaxed, std::memory_order_relaxed)
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
  static constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t closed = -1;
  static constexpr std::int64_t aside_most = 15;  // beside the one that is popped

  [[gnu::noinline]] T* pop_among_thieves(std::int64_t bottom, bool set_aside) noexcept {
    publish();
    bottom_.store(bottom, std::memory_order_release);  // E10 release.
    if (set_aside) {
      aside_ = std::max(bottom - aside_most, top_.load(std::memory_order_relaxed) + 1);
      limit_.store(aside_, std::memory_order_release);  // E350 release.
    }
    full_fence();  // E12. What is stored to bottom_ from here on hands on all that was pushed (E10).
    std::int64_t top = top_.load(std::memory_order_relaxed);
    if (top >= aside_) publish();
    if (top > bottom) {
      bottom_.store(bottom + 1, std::memory_order_relaxed);
      return nullptr;
    }
    T* task = slot(bottom).load(std::memory_order_relaxed);
    if (top == bottom) {
      // So thieves and owner agree who took the last one.
      const bool won = top_.compare_exchange_strong(top, top + 1, std::memory_order_relaxed, std::memory_order_relaxed);
      bottom_.store(bottom + 1, std::memory_order_relaxed);
      if (!won) return nullptr;
    }
    return task;
  }

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
  std::int64_t aside_ = none;              // the owner's own limit_: what it has set aside starts here
  atomic<std::int64_t> limit_{none};
  atomic<bool> opening_{false};
  alignas(cache_line_bytes) std::array<atomic<T*>, capacity> ring_{};
};

using deque = basic_deque<task_record>;

}  // namespace levity::detail
