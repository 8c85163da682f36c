#include "levity/sync/channel.hpp"

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
    give_way();  // a task that saw it closed may be here before close() has returned
  }
}

// The longest waiting one that can still be served; it is out of its queue and ours.
inline channel_party* channel_core::first_of(channel_queue& queue, task_record*& record) noexcept {
  auto operation_of = [](list_link& link) -> channel_operation& {
    return static_cast<channel_operation&>(*task_record::from_queue(link).waits_on);
  };
  while (!queue.cases.empty()) {
    auto& oldest = static_cast<channel_case&>(*queue.cases.front());
    if (!queue.tasks.empty()) {
      const std::uint32_t before = oldest.ticket - operation_of(*queue.tasks.front()).ticket;
      if (static_cast<std::int32_t>(before) > 0) break;
    }
    oldest.unlink();
    if (!oldest.select->claim(oldest.number)) continue;
    record = oldest.record;
    return &oldest;
  }
  list_link* const link = queue.tasks.pop_front();
  if (link == nullptr) return nullptr;
  record = &task_record::from_queue(*link);
  return &operation_of(*link);
}

inline void channel_core::enqueue(channel_operation& wait, task_record& record, bool sends) noexcept {
  wait.status = channel_status::waiting;
  wait.ticket = tickets_++;
  (sends ? senders_ : receivers_).tasks.push_back(record.queue);
}

void channel_core::enqueue(channel_case& wait, bool sends) noexcept {
  wait.status = channel_status::waiting;
  wait.ticket = tickets_++;
  (sends ? senders_ : receivers_).cases.push_back(wait);
}

inline void channel_core::buffer(channel_load load) noexcept {
  if (linked_) {
    auto* const link = reinterpret_cast<channel_link*>(load);
    (count_++ == 0 ? oldest_ : newest_->next) = link;
    newest_ = link;
    return;
  }
  const std::size_t place = first_ + count_++;
  ring_[place < capacity_ ? place : place - capacity_] = load;
}

inline channel_load channel_core::unbuffer() noexcept {
  if (linked_) {
    count_--;
    return reinterpret_cast<channel_load>(std::exchange(oldest_, oldest_->next));
  }
  const channel_load load = ring_[first_];
  if (++first_ == capacity_) first_ = 0;
  count_--;
  return load;
}

namespace {

// Whether the running task may go on without a look at anything else.
inline bool unhindered(const run_state& run) noexcept {
  const task_record& task = *run.current;
  if (run.budget <= 0 || (task.word.load(std::memory_order_relaxed) & task_record::cancel_bit) != 0) return false;
  return task.entered || task.scope->cancelled.load(std::memory_order_relaxed) == cancel_reason::none;
}

}  // namespace

bool channel_core::send_at_once(channel_load load) noexcept {
  run_state& run = this_run;
  if (capacity_ == 0 || !unhindered(run)) return false;
  lock.lock();
  const bool fits = count_ < capacity_ && receivers_.empty() && !closed_;
  if (fits) buffer(load);
  lock.unlock();
  run.budget -= fits ? 1 : 0;
  return fits;
}

bool channel_core::receive_at_once(channel_load& load) noexcept {
  run_state& run = this_run;
  if (capacity_ == 0 || !unhindered(run)) return false;
  lock.lock();
  const bool there = count_ != 0 && senders_.empty();
  if (there) load = unbuffer();
  lock.unlock();
  run.budget -= there ? 1 : 0;
  return there;
}

channel_status channel_core::send(channel_load load, task_record*& woken) noexcept {
  if (closed_) [[unlikely]] return channel_status::closed;
  if (channel_party* receiver = first_of(receivers_, woken)) {
    receiver->load = load;
    receiver->status = channel_status::done;
    return channel_status::done;
  }
  if (count_ == capacity_) return channel_status::waiting;
  buffer(load);
  return channel_status::done;
}

channel_status channel_core::receive(channel_load& load, task_record*& woken) noexcept {
  const bool buffered = count_ != 0;
  if (buffered) load = unbuffer();
  channel_party* const sender = first_of(senders_, woken);
  if (sender == nullptr) {
    if (buffered) return channel_status::done;
    return closed_ ? channel_status::closed : channel_status::waiting;
  }
  const channel_load next = std::exchange(sender->load, 0);
  if (buffered) {
    buffer(next);
  } else {
    load = next;
  }
  sender->status = channel_status::done;
  return channel_status::done;
}

channel_status channel_core::try_send(channel_load load) noexcept {
  task_record* woken = nullptr;
  lock.lock();
  const channel_status status = send(load, woken);
  lock.unlock();
  if (woken != nullptr) wake(*woken);
  return status;
}

channel_status channel_core::try_receive(channel_load& load) noexcept {
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
    task_record* record = nullptr;
    channel_party* wait = first_of(receivers_, record);
    if (wait == nullptr) wait = first_of(senders_, record);
    if (wait == nullptr) break;
    wait->status = channel_status::closed;
    served.push_back(record->queue);
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

bool channel_core::withdraw(channel_operation& wait, task_record& record) noexcept {
  lock.lock();
  const bool waits = wait.status == channel_status::waiting;
  if (waits) record.queue.unlink();
  lock.unlock();
  return waits;
}

bool channel_core::withdraw(channel_case& wait) noexcept {
  lock.lock();
  const bool linked = wait.linked();
  if (linked) wait.unlink();
  lock.unlock();
  return linked;
}

bool channel_core::take_left(channel_load& load) noexcept {
  lock.lock();
  const bool there = count_ != 0;
  if (there) load = unbuffer();
  lock.unlock();
  return there;
}

void channel_core::check_invariants() noexcept {
  lock.lock();
  auto live = [](channel_queue& queue) {
    for (list_link* link = queue.cases.front(); link != nullptr && link != queue.cases.end(); link = link->next) {
      if (static_cast<channel_case*>(link)->select->winner() == select_word::open) return true;
    }
    return !queue.tasks.empty();
  };
  LEVITY_ASSERT(count_ <= capacity_ && (capacity_ == 0 || first_ < capacity_), "the buffer holds no more than it may");
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
const wait_reason channel_operation::oneshot_reason{"oneshot", &channel_operation::take_back, &channel_operation::settle,
                                                    &channel_operation::describe_oneshot};

// Flattened: it is half of what a hop costs.
[[gnu::flatten]] bool channel_operation::suspend(std::coroutine_handle<> frame, task_record& task) noexcept {
  return begin_attempt(*this, frame, task);
}

bool channel_operation::attempt(task_record& task) noexcept {
  why = pending_cancel(task);
  if (why != cancel_reason::none) [[unlikely]] {
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
    if (sends && outcome == channel_status::done) load = 0;
    if (woken != nullptr) wake(*woken);
    return true;
  }
  prepare_wait(task, task.leaf, *this);
  core_.enqueue(*this, task, sends);
  core_.lock.unlock();
  return !commit_wait(task);
}

bool channel_operation::settle(waiter& self, task_record& task) noexcept {
  auto& operation = static_cast<channel_operation&>(self);
  return operation.status != channel_status::fresh || operation.attempt(task);
}

bool channel_operation::take_back(waiter& self, task_record& task) noexcept {
  auto& operation = static_cast<channel_operation&>(self);
  if (!operation.core_.withdraw(operation, task)) return false;
  operation.status = channel_status::cancelled;
  operation.why = effective_cancel(task);
  return true;
}

void channel_operation::describe(const waiter& self, char* text, std::size_t size) noexcept {
  channel_core& core = static_cast<const channel_operation&>(self).core_;
  std::snprintf(text, size, "channel %p, %zu of %zu full", static_cast<void*>(&core), core.size(), core.capacity());
}

void channel_operation::describe_oneshot(const waiter& self, char* text, std::size_t size) noexcept {
  std::snprintf(text, size, "value %p", static_cast<void*>(&static_cast<const channel_operation&>(self).core_));
}

}  // namespace detail
}  // namespace levity
