#pragma once

// wait_list: the tasks that wait in one mutex, semaphore, event or wait group, first come first served; and the lock that
// guards both them and the primitive's own state.
//
// A waiting task is linked by its record, so that waiting costs no memory beyond the awaiter in its frame.
//
// stage of a queued_wait   moved by                                          guarded by
//   fresh -> waiting       the task, when it queues itself                   list.lock
//   waiting -> handed      whoever gives it what it waits for                list.lock
//   waiting -> cancelled   a canceller, which unlinks it                     list.lock
//   fresh -> handed, cancelled   the task itself, without waiting            nobody else knows it
//
//   handed and cancelled exclude each other under the lock, so a wake-up comes exactly once and nothing that was handed over is
//   lost to a cancellation. The task is woken after the lock is free; until it runs, its record may be linked into the
//   waker's own list.
//
// Many at once. Whoever hands over to a whole list lets go of the lock every few waiters and wakes them when all are marked. A
// task that came too late to wait may destroy the primitive meanwhile: the destructor waits for such `passers`.
//
// Rejected: waking under the lock (it enters the scheduler); waking everybody to let them fight (a herd, and no order).

#include <cstdint>

#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

struct wait_list {
  spin_lock lock;
  link_list waiting;     // task_record::queue, oldest first; guarded by lock
  unsigned passers = 0;  // calls between two slices; guarded by lock

  wait_list() = default;
  ~wait_list();

  /// Takes `waiting`'s first task out and marks it as served. Null if there is none. Under the lock.
  task_record* hand_to_first() noexcept;

  /// Hands over to all tasks of `from`, a list guarded by the lock. The lock is held on entry and free on return.
  void hand_to_all(link_list& from) noexcept;
};

/// Wakes a private list of tasks that were served; the first of them runs first.
void wake_served(link_list& served) noexcept;

/// Base of the awaiters of these primitives.
class queued_wait : public waiter {
public:
  queued_wait(const queued_wait&) = delete;
  queued_wait& operator=(const queued_wait&) = delete;

  bool await_ready() const noexcept { return false; }

protected:
  enum class stage : std::uint8_t { fresh, waiting, handed, cancelled };
  friend struct wait_list;

  queued_wait(const wait_reason& why_it_waits, wait_list& list) noexcept : waiter{&why_it_waits}, list_(list) {}

  /// True: the task is cancelled, so it gets nothing any more.
  bool refused(task_record& record) noexcept {
    why_ = pending_cancel(record);
    if (why_ == cancel_reason::none) [[likely]] return false;
    stage_ = stage::cancelled;
    return true;
  }

  /// Queues the task and parks it. The lock is held on entry and free on return. True: it goes on at once.
  bool park(task_record& record) noexcept;

  void throw_if_refused() const {
    if (stage_ == stage::cancelled) [[unlikely]] throw cancelled{why_};
  }

  /// For wait reasons whose other waiters do not mind who leaves the queue.
  static bool take_back(waiter& self, task_record& record) noexcept;

  wait_list& list_;
  stage stage_ = stage::fresh;
  cancel_reason why_ = cancel_reason::none;
};

}  // namespace levity::detail
