#pragma once

#include <coroutine>
#include <source_location>

#include "levity/task/detail/promise.hpp"

namespace levity::inline v0::detail {

/// Where the running frame is awaited; of a frame that nobody awaits, its own place. Never waits. For what spawns on behalf of its
/// caller: a task that says it was spawned in a header of ours helps nobody.
class call_site {
public:
  bool await_ready() const noexcept { return false; }
  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    const promise_base& own = frame.promise();
    const std::coroutine_handle<> caller = own.continuation();
    found_ = (caller ? promise_of(caller) : own).location();
    return false;
  }
  [[nodiscard]] std::source_location await_resume() const noexcept { return found_; }

private:
  std::source_location found_;
};

}  // namespace levity::detail
