#pragma once

#include <type_traits>
#include <utility>

#include "levity/sync/detail/wait_list.hpp"
#include "levity/sync/mutex.hpp"
#include "levity/task/detail/awaited_callable.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// Waits, under a mutex, for something to become true:
///
///     auto held = co_await m.lock();
///     co_await changed.wait(held, [&] { return !queue.empty(); });
///
/// wait() gives the mutex back while it waits and has it again when it returns. Without a predicate a wake-up says only that
/// somebody notified. First come, first served: notify_one() goes to the longest waiting; after notify_all() all of them queue
/// for the mutex, behind whoever stood there before and in no promised order. When the task is cancelled, `cancelled` is
/// thrown and `held` is empty; a notification that it had got goes to the next one. notify_one, notify_all: any thread, with or
/// without the mutex.
class condition {
public:
  condition() = default;
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;
  /// Nobody waits for it.
  ~condition() = default;

  /// `held` owns the mutex; the same one for all that wait at a time.
  task<> wait(mutex::guard& held);

  /// Until `ready()`, which is called under the mutex, is true.
  template <class Predicate>
  task<> wait(mutex::guard& held, Predicate&& ready) {
    detail::check_callable<Predicate>();
    return wait_kept<std::decay_t<Predicate>>(held, std::forward<Predicate>(ready));
  }

  /// Wakes the task that has waited longest, if one waits.
  void notify_one() noexcept;
  /// Wakes those that wait now. O(waiting tasks).
  void notify_all() noexcept;

private:
  class wait_awaiter;

  template <class Predicate>
  task<> wait_kept(mutex::guard& held, Predicate ready) {
    while (!ready()) co_await wait(held);
  }

  detail::link_list leaving_;  // those that waited when notify_all() was called; guarded by list_.lock
  detail::wait_list list_;
};

}  // namespace levity
