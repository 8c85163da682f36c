#include "levity/sync/wait_group.hpp"

#include <cstdio>

#include "levity/base/assert.hpp"
#include "sync/attempt.hpp"

namespace levity::inline v0 {

const wait_reason wait_group::wait_awaiter::reason_{"wait group", &queued_wait::take_back, &wait_awaiter::settle,
                                                    &wait_awaiter::describe};

void wait_group::add(std::uint64_t count) noexcept {
  list_.lock.lock();
  LEVITY_ASSERT(count_ <= UINT64_MAX - count, "a wait group counts to 2^64 - 1");
  count_ += count;
  list_.lock.unlock();
}

void wait_group::done(std::uint64_t count) noexcept {
  list_.lock.lock();
  LEVITY_ASSERT(count_ >= count, "done() is called once for each add()");
  count_ -= count;
  if (count_ == 0 && !list_.waiting.empty()) {
    leaving_.splice_back(list_.waiting);
    list_.hand_to_all(leaving_);
    return;
  }
  list_.lock.unlock();
}

bool wait_group::wait_awaiter::suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept {
  return detail::begin_attempt(*this, frame, record);
}

bool wait_group::wait_awaiter::attempt(detail::task_record& record) noexcept {
  if (refused(record)) return true;
  list_.lock.lock();
  if (group_.count_ != 0) return park(record);
  list_.lock.unlock();
  stage_ = stage::handed;
  return true;
}

bool wait_group::wait_awaiter::settle(detail::waiter& self, detail::task_record& record) noexcept {
  auto& wait = static_cast<wait_awaiter&>(self);
  return wait.stage_ != stage::fresh || wait.attempt(record);
}

void wait_group::wait_awaiter::describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
  wait_group& group = static_cast<const wait_awaiter&>(self).group_;
  group.list_.lock.lock();
  const auto count = static_cast<unsigned long long>(group.count_);
  group.list_.lock.unlock();
  std::snprintf(text, size, "wait group %p, %llu under way", static_cast<void*>(&group), count);
}

}  // namespace levity
