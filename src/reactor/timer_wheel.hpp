#pragma once

// timer_wheel: who is to be woken when. Hierarchical, after Varghese and Lauck (1987): six levels of 64 slots, one tick of
// 65.5 us at the bottom, 64 times coarser a level up; entries move down a level when their slot comes near.
// Insert, cancel and expiry of one entry are O(1); an entry moves at most five times.
//
// Entries
//   a sleeping task   linked through its record (a parked task must stay light); woken when due
//   a timer_node      a short callback (deadlines); fired when due
//
// One spin lock guards all of it. Callbacks and wake-ups run outside: a node that fires is out of the wheel and marked
// `firing`, and disarm() waits for that mark to go, so that a frame never dies under a callback.
//
// Equations, whenever the lock is free
//   a slot's bit is set if and only if one of its two lists is not empty
//   every entry's tick is greater than `now_tick_`, or the entry is in the `due` lists
//   entries() = number of entries in all lists
//
// Edges
//   E7  end of a callback -> disarm(): what the callback wrote is visible to the frame that goes on.
//
// Rejected: a heap (O(log n), and cancel needs an index in each entry); the poll lease as its guard (see poll_lease.hpp).

#include <cstdint>

#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/detail/executor.hpp"
#include "reactor/ready_batch.hpp"

namespace levity::inline v0::detail {

class timer_wheel {
public:
  static constexpr int tick_shift = 16;  // 65,536 ns
  static constexpr std::int64_t never_ns = INT64_MAX;

  explicit timer_wheel(std::int64_t now_ns) noexcept : now_tick_(tick_before(now_ns)) {}
  timer_wheel(const timer_wheel&) = delete;
  timer_wheel& operator=(const timer_wheel&) = delete;

  /// Arms a node for node.due_ns. True: the waiter sleeps past that time and must be rung.
  [[nodiscard]] bool arm(timer_node& node) noexcept;
  /// After it returns the node neither fires nor is firing. Waits for a callback that is running.
  void disarm(timer_node& node) noexcept;

  /// Queues a prepared record. True: ring, as above. After it the record may be woken at any moment.
  [[nodiscard]] bool sleep(task_record& record, sleep_waiter& waiter) noexcept;
  /// True: it was taken out and will not be woken.
  bool unsleep(task_record& record) noexcept;

  /// Wakes and fires everything due at now_ns. Tasks to queue go to `ready`; stops early when that is full (returns true:
  /// there is more).
  bool expire(std::int64_t now_ns, ready_batch& ready) noexcept;

  /// When the next entry may be due; never_ns if there is none. Marks the caller as a waiter until then.
  std::int64_t begin_wait() noexcept;
  void end_wait() noexcept;

  [[nodiscard]] std::uint64_t entries_approx() const noexcept { return entries_.load(std::memory_order_relaxed); }

  /// Sums up to which moments nodes were moved by their callbacks; for the trace of a simulated run. Its thread.
  [[nodiscard]] std::uint64_t moved_sum() const noexcept { return moved_sum_; }

  void check_invariants() noexcept;

private:
  static constexpr int levels = 6;
  static constexpr int slot_bits = 6;
  static constexpr int slots = 1 << slot_bits;

  struct slot {
    link_list sleepers;
    link_list nodes;
    [[nodiscard]] bool empty() const noexcept { return sleepers.empty() && nodes.empty(); }
  };

  static std::uint64_t tick_before(std::int64_t ns) noexcept { return static_cast<std::uint64_t>(ns) >> tick_shift; }
  static std::uint64_t tick_after(std::int64_t ns) noexcept;

  slot& place(std::uint64_t tick) noexcept;
  bool inserted(std::uint64_t tick) noexcept;
  void again(timer_node& node, std::int64_t due_ns) noexcept;
  void removed(list_link* place) noexcept;
  struct expiry {
    std::uint64_t tick;
    int level;
    int index;
  };
  bool next_expiry(expiry& next) const noexcept;
  void advance_to(std::uint64_t tick) noexcept;

  spin_lock lock_;
  std::uint64_t now_tick_;
  std::int64_t waiting_until_ns_ = 0;  // 0: nobody waits
  atomic<std::uint64_t> entries_{0};
  std::uint64_t moved_sum_ = 0;
  std::uint64_t occupied_[levels]{};
  slot slots_[levels][slots];
  slot due_;
};

}  // namespace levity::detail
