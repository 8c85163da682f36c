#pragma once

// once: the first caller does it, the others wait until it is done.
//
// Edges
//   E52  the end of the work -> call() that finds it done: what the work wrote is visible. Those that waited have it by the mutex.

#include <type_traits>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/sync/mutex.hpp"
#include "levity/task/detail/awaited_callable.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// Work that is done once, whoever comes first: `co_await opened.call([&] { return open(path); });`.
///
/// `work()` returns a task. When it throws, or its task is cancelled, it is not done: the exception goes to that caller, and the
/// longest waiting caller tries next. First come, first served; one that is cancelled while it waits gets `cancelled` thrown. Any
/// task. About 2 ns once it is done, beside the await of a task.
class once {
public:
  once() = default;
  once(const once&) = delete;
  once& operator=(const once&) = delete;
  /// Nobody is in call().
  ~once() = default;

  /// Returns when the work is done: by this call, which runs `work()` within the calling task, or by another.
  template <class Work>
  task<> call(Work&& work) {
    detail::check_callable<Work>();
    return call_kept<std::decay_t<Work>>(std::forward<Work>(work));
  }

  /// Whether it is done; what the work wrote is visible then. Any thread.
  [[nodiscard]] bool is_done() const noexcept {
    return done_.load(std::memory_order_acquire);  // E52 acquire.
  }

private:
  template <class Work>
  task<> call_kept(Work work) {
    if (is_done()) co_return;
    const mutex::guard held = co_await turn_.lock();
    if (is_done()) co_return;
    co_await work();
    done_.store(true, std::memory_order_release);  // E52 release.
  }

  mutex turn_;
  atomic<bool> done_{false};
};

}  // namespace levity
