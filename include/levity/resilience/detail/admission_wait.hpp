#pragma once

// admission_wait: a task that waits until a policy lets its call through, or says no, or until its patience ends.
//
// status                    moved by                                                         guarded by
//   fresh -> admitted, refused   the task: decide() knew at once                             the policy's lock
//   fresh -> waiting             the task, when it queues itself                             the policy's lock
//   waiting -> admitted, refused who frees a place, or sheds; takes it out of the queue      the policy's lock
//   waiting -> refused           its timer, which takes it out of the queue                  the policy's lock
//   waiting -> cancelled         a canceller, which takes it out of the queue                the policy's lock
//   fresh -> cancelled           the task itself, without waiting                            nobody else knows it
//
//   Each leaves `waiting` under the lock, and once: so a wake-up comes exactly once, and a place that was given to a task is not
//   lost to a cancellation that came in the same moment: the task finds it admitted, and its permit gives the place back.
//
// The timer is armed before the task queues itself, outside of the lock, for to arm one may ring a doorbell. One that fires before
// that leaves a note (`late_`). A task that does not wait arms none. await_resume() disarms, and so waits for a callback under way:
// nobody touches the awaiter after that.

#include <coroutine>
#include <cstdint>

#include "levity/base/clock.hpp"
#include "levity/base/intrusive_list.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

class admission_wait : public waiter {
public:
  admission_wait(const admission_wait&) = delete;
  admission_wait& operator=(const admission_wait&) = delete;

  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, running_task());
  }

  /// One attempt, and parking if it fails. True: the wait is over. For the runtime.
  bool attempt(task_record& record) noexcept;

protected:
  enum class status : std::uint8_t { fresh, waiting, admitted, refused, cancelled };

  admission_wait(const wait_reason& why_it_waits, spin_lock& lock) noexcept : waiter{&why_it_waits}, lock_(lock) {}
  ~admission_wait() = default;

  // What the policy adds. Under its lock; tasks whose wait this ends, too, go to `served` by task_record::queue:
  /// Whether it is known at once; then status_ is admitted or refused.
  virtual bool decide(link_list& served) noexcept = 0;
  /// False: there is no room after all, and status_ is refused.
  virtual bool enqueue(link_list& served) noexcept = 0;
  virtual void dequeue() noexcept = 0;
  /// Its patience has ended: status_ becomes refused.
  virtual void give_up() noexcept = 0;
  /// A canceller has taken it out.
  virtual void leave() noexcept = 0;
  // Without it:
  /// Until when it waits; time_point::max(): as long as it takes.
  [[nodiscard]] virtual time_point until() const noexcept = 0;

  /// True: the call may be made. False: refused_, unless the task was cancelled, which throws.
  bool over();

  static bool settle(waiter& self, task_record& record) noexcept;
  static bool take_back(waiter& self, task_record& record) noexcept;

  spin_lock& lock_;
  task_record* record_ = nullptr;  // once it may wait
  time_point now_{};               // when it began to
  bool waited_ = false;
  rejection refused_{rejection_cause::overloaded};
  status status_ = status::fresh;

private:
  struct timer : timer_node {
    admission_wait* wait = nullptr;
  };
  bool suspend(std::coroutine_handle<> frame, task_record& record) noexcept;
  static std::int64_t passed(timer_node& node) noexcept;

  bool late_ = false;  // guarded by the lock
  cancel_reason why_ = cancel_reason::none;
  executor* armed_on_ = nullptr;
  timer timer_;
};

}  // namespace levity::detail
