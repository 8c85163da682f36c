#include "levity/sync/watch.hpp"

#include <cstdio>

#include "sync/attempt.hpp"

namespace levity::inline v0::detail {

const wait_reason watch_core::change_awaiter::reason_{"watch", &queued_wait::take_back, &change_awaiter::settle,
                                                      &change_awaiter::describe};

void watch_core::publish(bool last) noexcept {
  if (last) {
    closed_ = true;
  } else {
    version_++;
  }
  leaving_.splice_back(list_.waiting);
  list_.hand_to_all(leaving_);
}

bool watch_core::change_awaiter::suspend(std::coroutine_handle<> frame, task_record& record) noexcept {
  return begin_attempt(*this, frame, record);
}

bool watch_core::change_awaiter::attempt(task_record& record) noexcept {
  if (refused(record)) return true;
  list_.lock.lock();
  if (watch_.version_ <= seen_ && !watch_.closed_) return park(record);
  list_.lock.unlock();
  stage_ = stage::handed;
  return true;
}

bool watch_core::change_awaiter::settle(waiter& self, task_record& record) noexcept {
  auto& change = static_cast<change_awaiter&>(self);
  return change.stage_ != stage::fresh || change.attempt(record);
}

void watch_core::change_awaiter::describe(const waiter& self, char* text, std::size_t size) noexcept {
  const auto& change = static_cast<const change_awaiter&>(self);
  std::snprintf(text, size, "watch %p, for a version after %llu", static_cast<const void*>(&change.watch_),
                static_cast<unsigned long long>(change.seen_));
}

}  // namespace levity::detail
