#include "levity/sync/barrier.hpp"

#include <cstdio>

#include "levity/base/assert.hpp"
#include "sync/attempt.hpp"

namespace levity::inline v0 {

const wait_reason barrier::arrive_awaiter::reason_{"barrier", &arrive_awaiter::leave, &arrive_awaiter::settle,
                                                   &arrive_awaiter::describe};

barrier::barrier(std::uint64_t parties) noexcept : parties_(parties) {
  LEVITY_ASSERT(parties > 0, "a barrier is for one task at least");
}

// All are here. The lock is held on entry and free on return.
void barrier::complete() noexcept {
  arrived_ = 0;
  phase_++;
  // The phase before is over: its tasks are parties of this one, and all have come.
  leaving_.splice_back(list_.waiting);
  list_.hand_to_all(leaving_);
}

void barrier::arrive_and_drop() noexcept {
  list_.lock.lock();
  LEVITY_ASSERT(parties_ > arrived_, "only a party that has not arrived can leave a barrier");
  parties_--;
  if (parties_ > 0 && arrived_ == parties_) return complete();
  list_.lock.unlock();
}

bool barrier::arrive_awaiter::suspend(std::coroutine_handle<> frame, detail::task_record& record) noexcept {
  return detail::begin_attempt(*this, frame, record);
}

bool barrier::arrive_awaiter::attempt(detail::task_record& record) noexcept {
  if (refused(record)) return true;
  list_.lock.lock();
  LEVITY_ASSERT(barrier_.arrived_ < barrier_.parties_, "more tasks arrive at a barrier than it has parties");
  barrier_.arrived_++;
  if (barrier_.arrived_ == barrier_.parties_) {
    last_ = true;
    stage_ = stage::handed;
    barrier_.complete();
    return true;
  }
  phase_ = barrier_.phase_;
  return park(record);
}

bool barrier::arrive_awaiter::settle(detail::waiter& self, detail::task_record& record) noexcept {
  auto& arrive = static_cast<arrive_awaiter&>(self);
  return arrive.stage_ != stage::fresh || arrive.attempt(record);
}

// Takes the arrival back, unless the phase is complete: then it counted, and the task is about to go on.
bool barrier::arrive_awaiter::leave(detail::waiter& self, detail::task_record& record) noexcept {
  auto& arrive = static_cast<arrive_awaiter&>(self);
  arrive.list_.lock.lock();
  const bool ours = arrive.stage_ == stage::waiting && arrive.phase_ == arrive.barrier_.phase_;
  if (ours) {
    record.queue.unlink();
    arrive.barrier_.arrived_--;
    arrive.stage_ = stage::cancelled;
    arrive.why_ = detail::effective_cancel(record);
  }
  arrive.list_.lock.unlock();
  return ours;
}

void barrier::arrive_awaiter::describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
  barrier& at = static_cast<const arrive_awaiter&>(self).barrier_;
  at.list_.lock.lock();
  const auto arrived = static_cast<unsigned long long>(at.arrived_);
  const auto parties = static_cast<unsigned long long>(at.parties_);
  at.list_.lock.unlock();
  std::snprintf(text, size, "barrier %p, %llu of %llu are there", static_cast<const void*>(&at), arrived, parties);
}

}  // namespace levity
