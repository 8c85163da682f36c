#include "levity/sync/semaphore.hpp"

#include <cstdio>

#include "levity/base/assert.hpp"
#include "sync/attempt.hpp"

namespace levity::inline v0 {

const wait_reason semaphore::acquire_awaiter::reason_{"semaphore acquire", &acquire_awaiter::leave,
                                                      &acquire_awaiter::settle, &acquire_awaiter::describe};

// Hands permits to waiting tasks, in their order, as far as they go. The lock is held on entry and free on return.
void semaphore::serve() noexcept {
  constexpr int slice = 64;
  detail::link_list served;
  list_.passers++;
  for (int turns = 1;; turns++) {
    detail::list_link* first = list_.waiting.front();
    if (first == nullptr) break;
    const auto& wait = *static_cast<acquire_awaiter*>(detail::task_record::from_queue(*first).waits_on);
    if (wait.permits_ > permits_) break;
    permits_ -= wait.permits_;
    served.push_back(list_.hand_to_first()->queue);
    if (turns % slice == 0) {
      list_.lock.unlock();
      list_.lock.lock();
    }
  }
  list_.passers--;
  list_.lock.unlock();
  detail::wake_served(served);
}

bool semaphore::try_acquire(std::uint64_t permits) noexcept {
  list_.lock.lock();
  const bool free = permits_ >= permits && list_.waiting.empty();
  if (free) permits_ -= permits;
  list_.lock.unlock();
  return free;
}

void semaphore::release(std::uint64_t permits) noexcept {
  list_.lock.lock();
  LEVITY_ASSERT(permits_ <= UINT64_MAX - permits, "a semaphore counts to 2^64 - 1");
  permits_ += permits;
  if (!list_.waiting.empty()) return serve();
  list_.lock.unlock();
}

std::uint64_t semaphore::available_approx() noexcept {
  list_.lock.lock();
  const std::uint64_t free = permits_;
  list_.lock.unlock();
  return free;
}

bool semaphore::acquire_awaiter::suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept {
  return detail::begin_attempt(*this, frame, record);
}

bool semaphore::acquire_awaiter::attempt(detail::task_record& record) noexcept {
  if (refused(record)) return true;
  list_.lock.lock();
  if (from_.permits_ < permits_ || !list_.waiting.empty()) return park(record);
  from_.permits_ -= permits_;
  list_.lock.unlock();
  stage_ = stage::handed;
  return true;
}

bool semaphore::acquire_awaiter::settle(detail::waiter& self, detail::task_record& record) noexcept {
  auto& acquire = static_cast<acquire_awaiter&>(self);
  return acquire.stage_ != stage::fresh || acquire.attempt(record);
}

// Whoever leaves the head of the queue may have held back the next ones.
bool semaphore::acquire_awaiter::leave(detail::waiter& self, detail::task_record& record) noexcept {
  auto& acquire = static_cast<acquire_awaiter&>(self);
  acquire.list_.lock.lock();
  if (acquire.stage_ != stage::waiting) {
    acquire.list_.lock.unlock();
    return false;
  }
  const bool was_first = acquire.list_.waiting.front() == &record.queue;
  record.queue.unlink();
  acquire.stage_ = stage::cancelled;
  acquire.why_ = detail::effective_cancel(record);
  if (was_first) {
    acquire.from_.serve();
  } else {
    acquire.list_.lock.unlock();
  }
  return true;
}

void semaphore::acquire_awaiter::describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
  const auto& acquire = static_cast<const acquire_awaiter&>(self);
  const std::uint64_t free = acquire.from_.available_approx();
  std::snprintf(text, size, "semaphore %p, wants %llu, %llu free", static_cast<const void*>(&acquire.from_),
                static_cast<unsigned long long>(acquire.permits_), static_cast<unsigned long long>(free));
}

}  // namespace levity
