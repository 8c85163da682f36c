#include "levity/sync/event.hpp"

#include <cstdio>

#include "sync/attempt.hpp"

namespace levity::inline v0 {

const wait_reason event::wait_awaiter::reason_{"event wait", &queued_wait::take_back, &wait_awaiter::settle,
                                               &wait_awaiter::describe};

void event::set() noexcept {
  list_.lock.lock();
  set_.store(true, std::memory_order_release);  // E51 release.
  leaving_.splice_back(list_.waiting);
  list_.hand_to_all(leaving_);
}

void event::reset() noexcept {
  list_.lock.lock();
  set_.store(false, std::memory_order_relaxed);
  list_.lock.unlock();
}

bool event::wait_awaiter::suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept {
  return detail::begin_attempt(*this, frame, record);
}

bool event::wait_awaiter::attempt(detail::task_record& record) noexcept {
  if (refused(record)) return true;
  if (!event_.is_set()) {
    list_.lock.lock();
    if (!event_.set_.load(std::memory_order_relaxed)) return park(record);
    list_.lock.unlock();
  }
  stage_ = stage::handed;
  return true;
}

bool event::wait_awaiter::settle(detail::waiter& self, detail::task_record& record) noexcept {
  auto& wait = static_cast<wait_awaiter&>(self);
  return wait.stage_ != stage::fresh || wait.attempt(record);
}

void event::wait_awaiter::describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
  std::snprintf(text, size, "event %p", static_cast<const void*>(&static_cast<const wait_awaiter&>(self).event_));
}

}  // namespace levity
