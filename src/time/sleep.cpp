#include "levity/time/sleep.hpp"

#include <algorithm>
#include <cstdio>

#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0 {

// A waiter that was taken back keeps its reason as a negative due time.
const wait_reason sleep_awaiter::reason_{"sleep", &sleep_awaiter::take_back, nullptr, &sleep_awaiter::describe};

sleep_awaiter::sleep_awaiter(time_point until) noexcept
    : sleep_waiter(reason_, std::max<std::int64_t>(until.time_since_epoch().count(), 0)) {}

bool sleep_awaiter::suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept {
  detail::prepare_wait(record, frame, *this);
  record.scope->exec->sleep(record, *this);
  return detail::commit_wait(record);
}

bool sleep_awaiter::take_back(detail::waiter& self, detail::task_record& record) noexcept {
  auto& sleeper = static_cast<sleep_awaiter&>(self);
  if (!record.scope->exec->unsleep(record, sleeper)) return false;
  sleeper.due_ns = -static_cast<std::int64_t>(detail::effective_cancel(record));
  return true;
}

void sleep_awaiter::describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
  const auto left_ns = static_cast<const sleep_awaiter&>(self).due_ns - clock::now().time_since_epoch().count();
  std::snprintf(text, size, "%.3f s left", static_cast<double>(std::max<std::int64_t>(left_ns, 0)) / 1e9);
}

void sleep_awaiter::throw_cancelled() const { throw cancelled{static_cast<cancel_reason>(-due_ns)}; }

}  // namespace levity
