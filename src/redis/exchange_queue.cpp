#include "redis/exchange_queue.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0::redis::detail {

using levity::detail::commit_wait;
using levity::detail::effective_cancel;
using levity::detail::list_link;
using levity::detail::pending_cancel;
using levity::detail::prepare_wait;
using levity::detail::running_task;
using levity::detail::task_record;
using levity::detail::waiter;

namespace {

constexpr const char* waiting = "waiting for redis";

exchange& of(list_link& link) noexcept { return static_cast<exchange&>(link); }

}  // namespace

exchange_queue::~exchange_queue() {
  // Only what nobody waits for can be left: callers keep the trunk alive.
  while (list_link* const left = queued_.pop_front()) delete &of(*left);
  while (list_link* const left = sent_.pop_front()) delete &of(*left);
}

std::uint32_t exchange_queue::weight_of(const request& what) const noexcept {
  constexpr std::size_t bytes_a_unit = 1024;
  return static_cast<std::uint32_t>(std::min<std::size_t>(1 + what.size() / bytes_a_unit, in_flight_max_));
}

bool exchange_queue::enter(exchange& one) noexcept {
  std::shared_ptr<const error> refused;
  task_record* woken = nullptr;
  lock_.lock();
  if (refusal_ != nullptr) {
    refused = refusal_;
    one.at = exchange::stage::over;
    one.waiter = nullptr;
  } else {
    queued_.push_back(one);
    woken = std::exchange(worker_, nullptr);
  }
  lock_.unlock();
  if (woken != nullptr) wake(*woken);
  if (refused == nullptr) return true;
  // Over: nobody but its task knows it.
  try {
    one.outcome = std::unexpected(refused->with_sent(false));
  } catch (...) {
    one.outcome = std::unexpected(error::of_io({io_failure::no_memory, 0, waiting}, false));
  }
  if (one.weight > 0) room.release(one.weight);
  one.weight = 0;
  return false;
}

void exchange_queue::push_unattended(exchange& one) noexcept {
  one.left = true;
  if (!enter(one)) delete &one;
}

// `one` is in no list and over; its task may be there or not. Without the lock.
void exchange_queue::finish(exchange& one, result<value>&& outcome) noexcept {
  const std::uint32_t weight = one.weight;
  lock_.lock();
  const bool left = one.left;
  task_record* woken = nullptr;
  if (!left) {
    one.outcome = std::move(outcome);
    one.at = exchange::stage::over;
    woken = std::exchange(one.waiter, nullptr);
  }
  lock_.unlock();
  if (left) delete &one;
  if (woken != nullptr) wake(*woken);
  if (weight > 0) room.release(weight);
}

result<value> exchange_queue::leave(exchange& one, cancel_reason why) {
  lock_.lock();
  const exchange::stage at = one.at;
  if (at == exchange::stage::queued && one.linked()) {
    one.unlink();
  } else if (at != exchange::stage::over) {
    one.left = true;
  }
  lock_.unlock();
  if (at == exchange::stage::taken) return std::unexpected(error::of_io(to_io_error(why, waiting), true));
  const std::unique_ptr<exchange> mine{&one};
  if (at == exchange::stage::over) return std::move(one.outcome);
  if (one.weight > 0) room.release(one.weight);
  return std::unexpected(error::of_io(to_io_error(why, waiting), one.was_sent));
}

std::size_t exchange_queue::take(std::span<exchange*, slice_max> into, std::size_t bytes_max) noexcept {
  std::size_t count = 0;
  std::size_t bytes = 0;
  lock_.lock();
  while (count < slice_max && bytes < bytes_max) {
    list_link* const first = queued_.pop_front();
    if (first == nullptr) break;
    exchange& one = of(*first);
    one.at = exchange::stage::taken;
    bytes += one.what.size();
    into[count++] = &one;
  }
  lock_.unlock();
  return count;
}

void exchange_queue::mark_sent(std::span<exchange* const> slice) noexcept {
  lock_.lock();
  for (exchange* const each : slice) sent_.push_back(*each);
  unanswered_ += slice.size();
  lock_.unlock();
}

bool exchange_queue::answer(value reply) noexcept {
  lock_.lock();
  list_link* const first = sent_.pop_front();
  if (first == nullptr) {
    lock_.unlock();
    return false;
  }
  unanswered_--;
  answered_++;
  exchange& one = of(*first);
  const std::uint32_t weight = one.weight;
  const bool left = one.left;
  task_record* woken = nullptr;
  if (!left) {
    one.outcome = std::move(reply);
    one.at = exchange::stage::over;
    woken = std::exchange(one.waiter, nullptr);
  }
  lock_.unlock();
  if (left) delete &one;
  if (woken != nullptr) wake(*woken);
  if (weight > 0) room.release(weight);
  return true;
}

void exchange_queue::fail_sent(const error& why) {
  levity::detail::link_list again;
  for (;;) {
    result<value> outcome = std::unexpected(why.with_sent(true));
    lock_.lock();
    list_link* const first = sent_.pop_front();
    bool repeated = false;
    if (first != nullptr) {
      unanswered_--;
      exchange& one = of(*first);
      repeated = one.repeats > 0 && !one.left && refusal_ == nullptr;
      if (repeated) {
        one.repeats--;
        one.was_sent = true;
        again.push_back(one);
      }
    }
    lock_.unlock();
    if (first == nullptr) break;
    if (!repeated) finish(of(*first), std::move(outcome));
  }
  // In front of what was never sent, in the order in which they were. A caller may leave one until it is queued again.
  for (;;) {
    list_link* const last = again.empty() ? nullptr : again.end()->prev;
    if (last == nullptr) break;
    exchange& one = of(*last);
    lock_.lock();
    one.unlink();
    const bool left = one.left;
    std::shared_ptr<const error> refused;
    task_record* woken = nullptr;
    if (!left && refusal_ == nullptr) {
      one.at = exchange::stage::queued;
      queued_.push_front(one);
      woken = std::exchange(worker_, nullptr);
    } else if (!left) {
      refused = refusal_;
    }
    lock_.unlock();
    if (woken != nullptr) wake(*woken);
    if (left) {
      const std::uint32_t weight = one.weight;
      delete &one;
      if (weight > 0) room.release(weight);
    } else if (refused != nullptr) {
      finish(one, std::unexpected(refused->with_sent(true)));
    }
  }
}

void exchange_queue::refuse(const error& why, bool waits) {
  if (waits) return;
  auto refusal = std::make_shared<const error>(why);
  lock_.lock();
  if (!closed_) refusal_.swap(refusal);
  lock_.unlock();
  for (;;) {
    lock_.lock();
    list_link* const first = queued_.pop_front();
    if (first != nullptr) of(*first).at = exchange::stage::taken;
    lock_.unlock();
    if (first == nullptr) return;
    exchange& one = of(*first);
    finish(one, std::unexpected(why.with_sent(one.was_sent)));
  }
}

void exchange_queue::accept() noexcept {
  std::shared_ptr<const error> gone;
  lock_.lock();
  if (!closed_) refusal_.swap(gone);
  lock_.unlock();
}

void exchange_queue::close(const error& why) {
  auto refusal = std::make_shared<const error>(why);
  lock_.lock();
  const bool was_closed = std::exchange(closed_, true);
  if (!was_closed) refusal_.swap(refusal);
  lock_.unlock();
  if (was_closed) return;
  refuse(why, false);
}

exchange_queue::look exchange_queue::look_at() noexcept {
  lock_.lock();
  list_link* const first = sent_.front();
  const look seen{answered_, first != nullptr, first != nullptr && of(*first).is_endless && !of(*first).left};
  lock_.unlock();
  return seen;
}

std::size_t exchange_queue::unanswered_approx() noexcept {
  lock_.lock();
  const std::size_t count = unanswered_;
  lock_.unlock();
  return count;
}

bool exchange_queue::is_first() noexcept {
  lock_.lock();
  const bool first = !std::exchange(started_, true);
  lock_.unlock();
  return first;
}

void exchange_queue::nobody_was_first() noexcept {
  lock_.lock();
  started_ = false;
  lock_.unlock();
}

const wait_reason exchange_queue::reply_wait::reason_{"redis reply", &reply_wait::take_back, nullptr, &reply_wait::describe};

bool exchange_queue::reply_wait::suspend(std::coroutine_handle<> frame) noexcept {
  task_record& record = running_task();
  why_ = pending_cancel(record);
  if (why_ != cancel_reason::none) return false;  // it stays queued, in no list
  prepare_wait(record, frame, *this);
  one_.waiter = &record;
  return queue_.enter(one_) && commit_wait(record);
}

bool exchange_queue::reply_wait::take_back(waiter& self, task_record& record) noexcept {
  auto& wait = static_cast<reply_wait&>(self);
  wait.queue_.lock_.lock();
  const bool waits = wait.one_.waiter == &record;
  if (waits) wait.one_.waiter = nullptr;
  wait.queue_.lock_.unlock();
  if (waits) wait.why_ = effective_cancel(record);
  return waits;
}

void exchange_queue::reply_wait::describe(const waiter& self, char* text, std::size_t size) noexcept {
  // The name of the command only: arguments are somebody's data.
  const auto& wait = static_cast<const reply_wait&>(self);
  wait.queue_.lock_.lock();
  const bool queued = wait.one_.at == exchange::stage::queued;
  wait.queue_.lock_.unlock();
  std::snprintf(text, size, "%s", queued ? "not sent yet" : "sent");
}

const wait_reason exchange_queue::work_wait::reason_{"redis commands", &work_wait::take_back, nullptr, nullptr};

bool exchange_queue::work_wait::suspend(std::coroutine_handle<> frame) noexcept {
  task_record& record = running_task();
  why_ = pending_cancel(record);
  if (why_ != cancel_reason::none) return false;
  prepare_wait(record, frame, *this);
  queue_.lock_.lock();
  LEVITY_ASSERT(queue_.worker_ == nullptr, "one task works for a trunk");
  const bool there = !queue_.queued_.empty();
  if (!there) queue_.worker_ = &record;
  queue_.lock_.unlock();
  return !there && commit_wait(record);
}

bool exchange_queue::work_wait::take_back(waiter& self, task_record& record) noexcept {
  auto& wait = static_cast<work_wait&>(self);
  wait.queue_.lock_.lock();
  const bool waits = wait.queue_.worker_ == &record;
  if (waits) wait.queue_.worker_ = nullptr;
  wait.queue_.lock_.unlock();
  if (waits) wait.why_ = effective_cancel(record);
  return waits;
}

}  // namespace levity::redis::detail
