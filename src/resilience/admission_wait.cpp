#include "levity/resilience/detail/admission_wait.hpp"

#include "levity/sync/detail/wait_list.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "sync/attempt.hpp"

namespace levity::inline v0::detail {

bool admission_wait::suspend(std::coroutine_handle<> frame, task_record& record) noexcept {
  return begin_attempt(*this, frame, record);
}

bool admission_wait::attempt(task_record& record) noexcept {
  why_ = pending_cancel(record);
  if (why_ != cancel_reason::none) {
    status_ = status::cancelled;
    return true;
  }
  now_ = clock::now();
  link_list served;
  lock_.lock();
  bool decided = decide(served);
  lock_.unlock();
  wake_served(served);
  if (decided) return true;

  record_ = &record;
  if (const time_point due = until(); due != time_point::max()) {
    timer_.due_ns = due.time_since_epoch().count();
    timer_.fire = &admission_wait::passed;
    timer_.wait = this;
    armed_on_ = record.scope->exec;
    armed_on_->arm(timer_);
  }
  lock_.lock();
  decided = decide(served);
  if (!decided && late_) {
    give_up();
    decided = true;
  }
  if (!decided) {
    prepare_wait(record, record.leaf, *this);
    waited_ = true;
    status_ = status::waiting;
    decided = !enqueue(served);
  }
  lock_.unlock();
  wake_served(served);
  return decided || !commit_wait(record);
}

// On whatever worker found the node due. The awaiter cannot go meanwhile: over() waits in disarm().
std::int64_t admission_wait::passed(timer_node& node) noexcept {
  admission_wait& self = *static_cast<timer&>(node).wait;
  self.lock_.lock();
  const bool waits = self.status_ == status::waiting;
  if (waits) {
    self.dequeue();
    self.give_up();
  } else {
    self.late_ = true;
  }
  self.lock_.unlock();
  if (waits) wake(*self.record_);
  return timer_node::done;
}

bool admission_wait::over() {
  if (armed_on_ != nullptr) armed_on_->disarm(timer_);
  if (status_ == status::cancelled) [[unlikely]] throw cancelled{why_};
  return status_ == status::admitted;
}

bool admission_wait::settle(waiter& self, task_record& record) noexcept {
  auto& wait = static_cast<admission_wait&>(self);
  return wait.status_ != status::fresh || wait.attempt(record);
}

bool admission_wait::take_back(waiter& self, task_record& record) noexcept {
  auto& wait = static_cast<admission_wait&>(self);
  wait.lock_.lock();
  const bool waits = wait.status_ == status::waiting;
  if (waits) {
    wait.dequeue();
    wait.status_ = status::cancelled;
    wait.why_ = effective_cancel(record);
    wait.leave();
  }
  wait.lock_.unlock();
  return waits;
}

}  // namespace levity::detail
