#include "levity/task/yield.hpp"

#include "levity/task/detail/scope_state.hpp"
#include "task/lock_check.hpp"

namespace levity::inline v0::detail {

bool yield_awaiter::suspend(std::coroutine_handle<> frame, task_record& record) noexcept {
  note_wait(record, frame, "yield");
  record.leaf = frame;
  record.waits_on = nullptr;  // a wait that was over at once may have left its waiter here
  record.since_ms = coarse_now_ms() & 0x7fff'ffffu;
  record.scope->exec->schedule_last(record);  // from here on it may run elsewhere
  return true;
}

}  // namespace levity::detail
