#include "levity/time/deadline.hpp"

#include <algorithm>

#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0 {
namespace detail {

deadline_guard::deadline_guard(std::int64_t due_ns) noexcept : context_(due_ns) {
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

// On whatever thread found the timer due. The guard cannot go meanwhile: leave() waits in disarm().
std::int64_t deadline_guard::passed(timer_node& node) noexcept {
  deadline_guard& guard = *static_cast<timer&>(node).guard;
  guard.context_.fired.store(true, std::memory_order_relaxed);  // published with the cancel bit
  raise_cause(*guard.record_);
  return timer_node::done;
}

std::int64_t deadline_guard::nearest_due_ns(const task_record& record) noexcept {
  std::int64_t nearest_ns = never_ns;
  for (const context* each = record.contexts; each != nullptr && each->what != context::kind::shield; each = each->outer) {
    if (each->what == context::kind::deadline) nearest_ns = std::min(nearest_ns, static_cast<const layer*>(each)->due_ns);
  }
  return nearest_ns;
}

}  // namespace detail

std::optional<time_point> current_deadline() noexcept {
  const detail::task_record* const task = detail::current_run().current;
  const std::int64_t due_ns = task != nullptr ? detail::deadline_guard::nearest_due_ns(*task) : detail::deadline_guard::never_ns;
  if (due_ns == detail::deadline_guard::never_ns) return std::nullopt;
  return time_point{duration{due_ns}};
}

std::optional<duration> deadline_left() noexcept {
  const std::optional<time_point> due = current_deadline();
  if (!due) return std::nullopt;
  return std::max(*due - clock::now(), duration::zero());
}

}  // namespace levity
