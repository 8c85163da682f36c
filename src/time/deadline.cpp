#include "levity/time/deadline.hpp"

#include <algorithm>
#include <cstdint>

#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0::detail {

deadline_guard::deadline_guard(std::int64_t due_ns) noexcept {
  timer_.due_ns = due_ns;
  timer_.fire = &deadline_guard::passed;
  timer_.guard = this;
}

void deadline_guard::enter(task_record& record) noexcept {
  record_ = &record;
  push_context(record, context_);
  record.scope->exec->arm(timer_);
}

bool deadline_guard::leave() noexcept {
  record_->scope->exec->disarm(timer_);
  pop_context(*record_, context_);
  const bool fired = context_.fired.load(std::memory_order_relaxed);
  if (fired) settle_causes(*record_);
  return fired;
}

std::int64_t deadline_guard::nearest(const task_record& record) noexcept {
  std::int64_t due = INT64_MAX;
  for (const context* each = record.contexts; each != nullptr && each->what != context::kind::shield; each = each->outer) {
    if (each->what != context::kind::deadline) continue;
    due = std::min(due, static_cast<const layer*>(each)->guard.timer_.due_ns);
  }
  return due;
}

// On whatever thread found the timer due. The guard cannot go meanwhile: leave() waits in disarm().
std::int64_t deadline_guard::passed(timer_node& node) noexcept {
  deadline_guard& guard = *static_cast<timer&>(node).guard;
  guard.context_.fired.store(true, std::memory_order_relaxed);  // published with the cancel bit
  raise_cause(*guard.record_);
  return timer_node::done;
}

}  // namespace levity::detail

namespace levity::inline v0 {

time_point nearest_deadline() noexcept { return time_point{duration{detail::deadline_guard::nearest(detail::running_task())}}; }

}  // namespace levity
