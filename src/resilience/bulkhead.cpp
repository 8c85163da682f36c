#include "levity/resilience/bulkhead.hpp"

#include <algorithm>
#include <cstdio>

#include "base/spin_guard.hpp"
#include "levity/base/assert.hpp"

namespace levity::inline v0 {

const wait_reason bulkhead::admit_awaiter::reason_{"bulkhead", &admission_wait::take_back, &admission_wait::settle,
                                                   &admit_awaiter::describe};

namespace {

bulkhead_options clamped(bulkhead_options given) noexcept {
  given.concurrent_max = std::max(given.concurrent_max, 1U);
  given.wait_max = std::max(given.wait_max, duration::zero());
  return given;
}

}  // namespace

bulkhead::bulkhead(bulkhead_options options) noexcept : options_(clamped(options)) {}

bulkhead::~bulkhead() {
  const detail::spin_guard locked(lock_);
  LEVITY_ASSERT(inside_ == 0 && waiting_.empty(), "a bulkhead outlives its permits and who waits for one; join them first");
}

// Under the lock.
bulkhead::answer bulkhead::ask() noexcept {
  const bool observes = options_.mode == policy_mode::observe;
  if (observes || (inside_ < options_.concurrent_max && waiting_.empty())) {
    if (observes && inside_ >= std::uint64_t{options_.concurrent_max} + options_.waiting_max) would_have_refused_++;
    inside_++;
    admitted_++;
    return answer::admitted;
  }
  return waits_ < options_.waiting_max && options_.wait_max > duration::zero() ? answer::wait : answer::full;
}

std::expected<bulkhead::permit, rejection> bulkhead::try_admit(time_point) noexcept {
  const detail::spin_guard locked(lock_);
  if (ask() == answer::admitted) return permit{*this};
  refused_full_++;
  return std::unexpected(rejection{rejection_cause::bulkhead_full});
}

void bulkhead::leave() noexcept {
  lock_.lock();
  detail::list_link* const next = waiting_.pop_front();
  if (next == nullptr) {
    inside_--;
    lock_.unlock();
    return;
  }
  waits_--;
  admitted_++;
  detail::task_record& record = detail::task_record::from_queue(*next);
  static_cast<admit_awaiter*>(record.waits_on)->status_ = admit_awaiter::status::admitted;
  lock_.unlock();
  wake(record);
}

bulkhead::figures bulkhead::look() noexcept {
  const detail::spin_guard locked(lock_);
  return {.admitted = admitted_,
          .refused_full = refused_full_,
          .refused_waited = refused_waited_,
          .left = left_,
          .would_have_refused = would_have_refused_,
          .inside = inside_,
          .waiting = waits_};
}

bool bulkhead::admit_awaiter::decide(detail::link_list&) noexcept {
  switch (to_.ask()) {
    case answer::admitted: status_ = status::admitted; return true;
    case answer::wait: return false;
    case answer::full: break;
  }
  to_.refused_full_++;
  refused_ = rejection{rejection_cause::bulkhead_full};
  status_ = status::refused;
  return true;
}

bool bulkhead::admit_awaiter::enqueue(detail::link_list&) noexcept {
  to_.waiting_.push_back(record_->queue);
  to_.waits_++;
  return true;
}

void bulkhead::admit_awaiter::dequeue() noexcept {
  record_->queue.unlink();
  to_.waits_--;
}

void bulkhead::admit_awaiter::give_up() noexcept {
  to_.refused_waited_++;
  refused_ = rejection{rejection_cause::bulkhead_full};
  status_ = status::refused;
}

time_point bulkhead::admit_awaiter::until() const noexcept {
  const duration wait_max = to_.options_.wait_max;
  return wait_max < time_point::max() - now_ ? now_ + wait_max : time_point::max();
}

void bulkhead::admit_awaiter::leave() noexcept { to_.left_++; }

void bulkhead::admit_awaiter::describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
  bulkhead& of = static_cast<const admit_awaiter&>(self).to_;
  const figures now = of.look();
  std::snprintf(text, size, "bulkhead %p, %u inside, %u wait", static_cast<const void*>(&of), now.inside, now.waiting);
}

}  // namespace levity
