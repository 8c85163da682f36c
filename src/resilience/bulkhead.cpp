#include "levity/resilience/bulkhead.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>

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

constexpr std::uint32_t scheduled_max = 65'536;

}  // namespace

bulkhead::bulkhead(bulkhead_options options) : options_(clamped(options)) {
  const bool schedules = options_.mode == policy_mode::observe && options_.concurrent_max <= scheduled_max;
  if (schedules) free_at_.resize(options_.concurrent_max);
}

bulkhead::~bulkhead() {
  const detail::spin_guard locked(lock_);
  LEVITY_ASSERT(inside_ == 0 && waiting_.empty(), "a bulkhead outlives its permits and who waits for one; join them first");
}

// Under the lock.
bulkhead::answer bulkhead::ask(bool may_wait, visit& of, time_point now) noexcept {
  const bool observes = options_.mode == policy_mode::observe;
  if (observes || (inside_ < options_.concurrent_max && waiting_.empty())) {
    if (observes) {
      last_now_ = std::max(last_now_, now);
      of = {now, would_refuse(may_wait && options_.wait_max > duration::zero(), now)};
      refused_inside_ += of.refused ? 1 : 0;
      would_have_refused_ += of.refused ? 1 : 0;
    }
    inside_++;
    admitted_++;
    return answer::admitted;
  }
  return waits_ < options_.waiting_max && options_.wait_max > duration::zero() ? answer::wait : answer::full;
}

std::expected<bulkhead::permit, rejection> bulkhead::try_admit(time_point now) noexcept {
  visit seen;
  const detail::spin_guard locked(lock_);
  if (ask(false, seen, now) == answer::admitted) return permit{*this, seen};
  refused_full_++;
  return std::unexpected(rejection{rejection_cause::bulkhead_full});
}

bool bulkhead::would_refuse(bool may_wait, time_point now) noexcept {
  const std::uint64_t room = std::uint64_t{options_.concurrent_max} + (may_wait ? options_.waiting_max : 0);
  if (inside_ - refused_inside_ >= room) return true;
  if (free_at_.empty()) return false;
  const time_point begins = std::max(now, free_at_.front());
  const duration wait = begins - now;
  if (wait > (may_wait ? options_.wait_max : duration::zero())) return true;
  const double before_it = static_cast<double>(wait.count()) * options_.concurrent_max;
  if (before_it > static_cast<double>(took_.count()) * options_.waiting_max) return true;
  std::pop_heap(free_at_.begin(), free_at_.end(), std::greater<>());
  free_at_.back() = begins + took_;
  std::push_heap(free_at_.begin(), free_at_.end(), std::greater<>());
  return false;
}

void bulkhead::leave(const visit& of, time_point now) noexcept {
  lock_.lock();
  if (options_.mode == policy_mode::observe) {
    last_now_ = std::max(last_now_, now);
    if (of.refused) refused_inside_--;
    if (took_known_ < 64) took_known_++;
    took_ += (std::max(last_now_ - of.came, duration::zero()) - took_) / static_cast<int>(took_known_);
  }
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
  switch (to_.ask(true, seen_, now_)) {
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
