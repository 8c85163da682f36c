#include "levity/sync/channel.hpp"

#include <sched.h>

#include <cstdio>

#include "levity/base/assert.hpp"
#include "levity/sync/detail/wait_list.hpp"
#include "sync/attempt.hpp"

namespace levity::inline v0 {

std::string_view to_string(channel_error error) noexcept {
  switch (error) {
    case channel_error::closed: return "channel closed";
    case channel_error::cancelled: return "cancelled";
    case channel_error::timed_out: return "timed out";
    case channel_error::would_block: return "would block";
  }
  return "unknown";
}

namespace detail {

channel_error to_channel_error(channel_status status, cancel_reason why) noexcept {
  switch (status) {
    case channel_status::closed: return channel_error::closed;
    case channel_status::cancelled:
      return why == cancel_reason::deadline ? channel_error::timed_out : channel_error::cancelled;
    case channel_status::fresh:
    case channel_status::waiting:
    case channel_status::done: break;
  }
  return channel_error::would_block;
}

channel_core::~channel_core() {
  for (;;) {
    lock.lock();
    const bool alone = closers_ == 0;
    LEVITY_ASSERT(!alone || (senders_.empty() && receivers_.empty()),
                  "a channel outlives the tasks that wait in it; close it and join them before it goes");
    lock.unlock();
    if (alone) return;
    ::sched_yield();  // a task that saw it closed may be here before close() has returned
  }
}

// The longest waiting task that can still be served; it is out of the queue and ours.
channel_waiter* channel_core::next_of(link_list& queue) noexcept {
  while (list_link* link = queue.pop_front()) {
    auto* wait = static_cast<channel_waiter*>(link);
    if (wait->select == nullptr || wait->select->claim(wait->number)) return wait;
  }
  return nullptr;
}

channel_status channel_core::send(parcel* load, task_record*& woken) noexcept {
  if (closed_) [[unlikely]] return channel_status::closed;
  if (channel_waiter* receiver = next_of(receivers_)) {
    receiver->load = load;
    receiver->status = channel_status::done;
    woken = receiver->record;
    return channel_status::done;
  }
  if (count_ == capacity_) return channel_status::waiting;
  load->next = nullptr;
  (first_ == nullptr ? first_ : last_->next) = load;
  last_ = load;
  count_++;
  return channel_status::done;
}

channel_status channel_core::receive(parcel*& load, task_record*& woken) noexcept {
  channel_waiter* sender = nullptr;
  if (first_ != nullptr) {
    load = first_;
    first_ = load->next;
    sender = next_of(senders_);
    if (sender == nullptr) {
      count_--;
      return channel_status::done;
    }
    parcel* next = std::exchange(sender->load, nullptr);
    next->next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = next;
    last_ = next;
  } else {
    sender = next_of(senders_);
    if (sender == nullptr) return closed_ ? channel_status::closed : channel_status::waiting;
    load = std::exchange(sender->load, nullptr);
  }
  sender->status = channel_status::done;
  woken = sender->record;
  return channel_status::done;
}

channel_status channel_core::try_send(parcel* load) noexcept {
  task_record* woken = nullptr;
  lock.lock();
  const channel_status status = send(load, woken);
  lock.unlock();
  if (woken != nullptr) wake(*woken);
  return status;
}

channel_status channel_core::try_receive(parcel*& load) noexcept {
  task_record* woken = nullptr;
  lock.lock();
  const channel_status status = receive(load, woken);
  lock.unlock();
  if (woken != nullptr) wake(*woken);
  return status;
}

void channel_core::close() noexcept {
  constexpr int slice = 64;
  link_list served;
  lock.lock();
  if (std::exchange(closed_, true)) {
    lock.unlock();
    return;
  }
  closers_++;
  for (int turns = 1;; turns++) {
    channel_waiter* wait = next_of(receivers_);
    if (wait == nullptr) wait = next_of(senders_);
    if (wait == nullptr) break;
    wait->status = channel_status::closed;
    served.push_back(wait->record->queue);
    if (turns % slice == 0) {
      lock.unlock();
      lock.lock();
    }
  }
  closers_--;
  lock.unlock();
  wake_served(served);
}

bool channel_core::closed() noexcept {
  lock.lock();
  const bool closed = closed_;
  lock.unlock();
  return closed;
}

std::size_t channel_core::size() noexcept {
  lock.lock();
  const std::size_t count = count_;
  lock.unlock();
  return count;
}

bool channel_core::withdraw(channel_waiter& wait) noexcept {
  lock.lock();
  const bool linked = wait.linked();
  if (linked) wait.unlink();
  lock.unlock();
  return linked;
}

parcel* channel_core::take_all() noexcept {
  lock.lock();
  parcel* all = std::exchange(first_, nullptr);
  last_ = nullptr;
  count_ = 0;
  lock.unlock();
  return all;
}

void channel_core::check_invariants() noexcept {
  lock.lock();
  auto live = [](link_list& queue) {
    for (list_link* link = queue.front(); link != nullptr && link != queue.end(); link = link->next) {
      const select_word* select = static_cast<channel_waiter*>(link)->select;
      if (select == nullptr || select->winner() == select_word::open) return true;
    }
    return false;
  };
  std::size_t found = 0;
  for (const parcel* each = first_; each != nullptr; each = each->next) found++;
  LEVITY_ASSERT(found == count_ && count_ <= capacity_, "the buffer holds what it counts, and no more than it may");
  LEVITY_ASSERT(!live(receivers_) || count_ == 0, "nobody waits for a value while there is one");
  LEVITY_ASSERT(!live(senders_) || count_ == capacity_, "nobody waits for room while there is some");
  LEVITY_ASSERT(!closed_ || closers_ != 0 || (!live(senders_) && !live(receivers_)), "nobody waits in a closed channel");
  lock.unlock();
}

// ---- plain sends and receives ----------------------------------------------------------------------------------------

const wait_reason channel_operation::send_reason{"channel send", &channel_operation::take_back,
                                                 &channel_operation::settle, &channel_operation::describe};
const wait_reason channel_operation::receive_reason{"channel receive", &channel_operation::take_back,
                                                    &channel_operation::settle, &channel_operation::describe};

bool channel_operation::suspend(std::coroutine_handle<> frame, task_record& task) noexcept {
  return begin_attempt(*this, frame, task);
}

bool channel_operation::attempt(task_record& task) noexcept {
  why_ = pending_cancel(task);
  if (why_ != cancel_reason::none) [[unlikely]] {
    status = channel_status::cancelled;
    return true;
  }
  const bool sends = reason == &send_reason;
  task_record* woken = nullptr;
  core_.lock.lock();
  const channel_status outcome = sends ? core_.send(load, woken) : core_.receive(load, woken);
  if (outcome != channel_status::waiting) {
    core_.lock.unlock();
    status = outcome;
    if (sends && outcome == channel_status::done) load = nullptr;
    if (woken != nullptr) wake(*woken);
    return true;
  }
  prepare_wait(task, task.leaf, *this);
  channel_waiter::record = &task;
  status = channel_status::waiting;
  core_.enqueue(*this, sends);
  core_.lock.unlock();
  return !commit_wait(task);
}

bool channel_operation::settle(waiter& self, task_record& task) noexcept {
  auto& operation = static_cast<channel_operation&>(self);
  return operation.status != channel_status::fresh || operation.attempt(task);
}

bool channel_operation::take_back(waiter& self, task_record& task) noexcept {
  auto& operation = static_cast<channel_operation&>(self);
  if (!operation.core_.withdraw(operation)) return false;
  operation.status = channel_status::cancelled;
  operation.why_ = effective_cancel(task);
  return true;
}

void channel_operation::describe(const waiter& self, char* text, std::size_t size) noexcept {
  channel_core& core = static_cast<const channel_operation&>(self).core_;
  std::snprintf(text, size, "channel %p, %zu of %zu full", static_cast<void*>(&core), core.size(), core.capacity());
}

}  // namespace detail
}  // namespace levity
