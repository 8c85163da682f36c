#include "levity/time/timer.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0 {

using namespace detail;

const wait_reason timer::wait_awaiter::reason_{"timer", &wait_awaiter::take_back, nullptr, &wait_awaiter::describe};

timer::timer() noexcept {
  node_.owner = this;
  node_.fire = &timer::due;
}

timer::~timer() {
  LEVITY_DEBUG_ASSERT(waiter_ == nullptr, "nobody waits for a timer that goes");
  if (exec_ != nullptr) exec_->disarm(node_);
}

void timer::arm(time_point until) noexcept {
  const std::int64_t moment_ns = std::max<std::int64_t>(until.time_since_epoch().count(), 0);
  lock_.lock();
  moment_ns_ = moment_ns;
  fired_ = false;
  if (scheduled_ && scheduled_ns_ <= moment_ns) [[likely]] {
    lock_.unlock();
    return;
  }
  const bool move = scheduled_;
  lock_.unlock();
  if (exec_ == nullptr) {
    exec_ = current_run().exec;
    LEVITY_ASSERT(exec_ != nullptr, "a timer is armed inside a task");
  }
  // After it the callback neither runs nor will. Relaxed: a callback that is not over has begun before our time under the lock, so
  // we see it; and one that is over has, under the lock, done all that it does to us.
  if (move || node_.firing.load(std::memory_order_relaxed)) exec_->disarm(node_);
  // It may have found the moment that we set, and done all there is to do.
  if (fired_) return;
  scheduled_ = true;
  scheduled_ns_ = moment_ns;
  node_.due_ns = moment_ns;
  exec_->arm(node_);
}

bool timer::cancel() noexcept {
  lock_.lock();
  const bool was_set = std::exchange(moment_ns_, off) != off;
  lock_.unlock();
  return was_set;
}

bool timer::has_fired() const noexcept {
  lock_.lock();
  const bool fired = fired_;
  lock_.unlock();
  return fired;
}

// On whatever worker found the node due.
std::int64_t timer::due(timer_node& entry) noexcept {
  timer& self = *static_cast<node&>(entry).owner;
  self.lock_.lock();
  if (self.moment_ns_ != off && self.moment_ns_ > self.scheduled_ns_) {
    const std::int64_t again_ns = self.scheduled_ns_ = self.moment_ns_;
    self.lock_.unlock();
    return again_ns;
  }
  self.scheduled_ = false;
  task_record* woken = nullptr;
  if (std::exchange(self.moment_ns_, off) != off) {
    self.fired_ = true;
    woken = std::exchange(self.waiter_, nullptr);
  }
  self.lock_.unlock();
  if (woken != nullptr) wake(*woken);
  return timer_node::done;
}

bool timer::wait_awaiter::suspend(std::coroutine_handle<> frame, task_record& record) noexcept {
  why_ = pending_cancel(record);
  if (why_ != cancel_reason::none) return false;
  prepare_wait(record, frame, *this);
  timer_.lock_.lock();
  LEVITY_ASSERT(timer_.waiter_ == nullptr, "one task waits for a timer; an event has room for more");
  const bool over = timer_.fired_;
  if (!over) timer_.waiter_ = &record;
  timer_.lock_.unlock();
  return !over && commit_wait(record);
}

bool timer::wait_awaiter::take_back(waiter& self, task_record& record) noexcept {
  auto& wait = static_cast<wait_awaiter&>(self);
  wait.timer_.lock_.lock();
  const bool waits = wait.timer_.waiter_ == &record;
  if (waits) wait.timer_.waiter_ = nullptr;
  wait.timer_.lock_.unlock();
  if (waits) wait.why_ = effective_cancel(record);
  return waits;
}

void timer::wait_awaiter::describe(const waiter& self, char* text, std::size_t size) noexcept {
  const timer& of = static_cast<const wait_awaiter&>(self).timer_;
  of.lock_.lock();
  const std::int64_t moment_ns = of.moment_ns_;
  of.lock_.unlock();
  if (moment_ns == off) {
    std::snprintf(text, size, "not armed");
  } else {
    const std::int64_t left_ns = moment_ns - clock::now().time_since_epoch().count();
    std::snprintf(text, size, "%.3f s left", static_cast<double>(std::max<std::int64_t>(left_ns, 0)) / 1e9);
  }
}

}  // namespace levity
