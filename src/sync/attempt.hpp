#pragma once

// How the operations of this room begin: with an attempt inside await_suspend, so that what is there needs no wait. An attempt
// that succeeds costs a unit of the task's budget; a task that has used it up goes behind all others first.

#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/record.hpp"
#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0::detail {

/// What await_suspend returns. True: the task waits, or is queued again, and may already run elsewhere.
template <class Operation>
inline bool begin_attempt(Operation& operation, std::coroutine_handle<> frame, task_record& record) noexcept {
  record.leaf = frame;
  if (!spend_budget()) [[unlikely]] {
    prepare_wait(record, frame, operation);
    record.scope->exec->schedule_last(record);  // settle() makes the attempt
    return true;
  }
  return !operation.attempt(record);
}

}  // namespace levity::detail
