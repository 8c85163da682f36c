#pragma once

#include "levity/task/shield.hpp"

namespace levity::inline v0 {
namespace detail {

/// A part of a task that only one worker may run.
struct pin_context : context {
  pin_context() noexcept : context(kind::pin) {}
  worker* on = nullptr;
};

/// The worker that the task is pinned to; null if it is not. For the running task or who holds or owns its record. O(contexts).
inline const pin_context* pin_of(const task_record& record) noexcept {
  for (const context* each = record.contexts; each != nullptr; each = each->outer) {
    if (each->what == context::kind::pin) return static_cast<const pin_context*>(each);
  }
  return nullptr;
}

template <class T>
class pin_awaiter {
public:
  explicit pin_awaiter(task<T>& inner) noexcept : inner_(std::move(inner).operator co_await()) {}
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> parent) noexcept {
    record_ = &running_task();
    context_.on = current_run().exec->pin_here();
    push_context(*record_, context_);
    return inner_.await_suspend(parent);
  }

  T await_resume() {
    pop_context(*record_, context_);
    current_run().exec->unpin_here();
    return inner_.await_resume();
  }

private:
  typename task<T>::awaiter inner_;
  pin_context context_;
  task_record* record_ = nullptr;
};

template <class T>
struct pin_object {
  task<T> inner;

  pin_awaiter<T> operator co_await() && noexcept { return pin_awaiter<T>{inner}; }
};

}  // namespace detail

/// Runs `inner` on the worker that runs this task now, whatever it waits for meanwhile: for libraries that must be called from
/// one thread. Tasks that `inner` spawns are not pinned, nor is what it calls with blocking(). While that worker is busy nobody
/// else runs it: keep it short. Throws what `inner` throws; honours cancellation as `inner` does. About 5 ns, and a queue that is
/// not stolen from at each wake-up.
template <class T>
[[nodiscard("co_await the pinned task")]] detail::pin_object<T> pinned(task<T> inner) noexcept {
  return {std::move(inner)};
}

}  // namespace levity
