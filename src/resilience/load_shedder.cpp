#include "levity/resilience/load_shedder.hpp"

#include <algorithm>
#include <cstdio>

#include "base/spin_guard.hpp"
#include "levity/base/assert.hpp"
#include "levity/sync/detail/wait_list.hpp"

namespace levity::inline v0 {

const wait_reason load_shedder::admit_awaiter::reason_{"load shedder", &admission_wait::take_back, &admission_wait::settle,
                                                       &admit_awaiter::describe};

load_shedder::~load_shedder() {
  const detail::spin_guard locked(lock_);
  const figures left = queue_.look();
  LEVITY_ASSERT(left.inside == 0 && left.waiting == 0,
                "a load shedder outlives its permits and who waits for one; join them first");
}

// Under the lock: from here on neither a canceller nor a timer takes them.
void load_shedder::mark(detail::link_list& settled, detail::link_list& served) noexcept {
  while (detail::list_link* const first = settled.pop_front()) {
    auto& waited = static_cast<admit_awaiter&>(detail::shed_entry::from_age(*first));
    waited.take_fate();
    served.push_back(waited.record_->queue);
  }
}

std::expected<load_shedder::permit, rejection> load_shedder::try_admit(call_class call, time_point now) noexcept {
  detail::shed_entry entry;
  detail::shed_queue::describe(entry, call, now);
  detail::link_list settled;
  detail::link_list served;
  lock_.lock();
  queue_.ask(entry, now, settled);
  if (entry.what == detail::shed_entry::fate::asks) queue_.refuse(entry, rejection_cause::overloaded);
  const bool admitted = entry.what == detail::shed_entry::fate::admitted;
  const rejection refusal = admitted ? rejection{} : queue_.refusal(entry);
  mark(settled, served);
  lock_.unlock();
  detail::wake_served(served);
  if (admitted) return permit{*this, now};
  return std::unexpected(refusal);
}

void load_shedder::end(time_point began, verdict said, time_point now) noexcept {
  detail::link_list settled;
  detail::link_list served;
  lock_.lock();
  queue_.end(began, said, now, settled);
  mark(settled, served);
  lock_.unlock();
  detail::wake_served(served);
}

void load_shedder::drop() noexcept {
  detail::link_list settled;
  detail::link_list served;
  lock_.lock();
  queue_.end(time_point{}, verdict::neutral, queue_.last_now(), settled);
  mark(settled, served);
  lock_.unlock();
  detail::wake_served(served);
}

void load_shedder::set_concurrent_max(std::uint32_t most, time_point now) noexcept {
  detail::link_list settled;
  detail::link_list served;
  lock_.lock();
  queue_.set_concurrent_max(most, now, settled);
  mark(settled, served);
  lock_.unlock();
  detail::wake_served(served);
}

load_shedder::figures load_shedder::look() noexcept {
  const detail::spin_guard locked(lock_);
  return queue_.look();
}

void load_shedder::admit_awaiter::take_fate() noexcept {
  if (what == fate::admitted) {
    status_ = status::admitted;
    return;
  }
  status_ = status::refused;
  refused_ = to_.queue_.refusal(*this);
}

bool load_shedder::admit_awaiter::decide(detail::link_list& served) noexcept {
  detail::link_list settled;
  detail::shed_queue::describe(*this, call_, now_);
  to_.queue_.ask(*this, now_, settled);
  mark(settled, served);
  if (what == fate::asks) {
    until_ = to_.queue_.until(*this);
    return false;
  }
  take_fate();
  return true;
}

bool load_shedder::admit_awaiter::enqueue(detail::link_list& served) noexcept {
  detail::link_list settled;
  to_.queue_.wait(*this, now_, settled);
  mark(settled, served);
  if (what == fate::waits) return true;
  take_fate();
  return false;
}

void load_shedder::admit_awaiter::dequeue() noexcept { to_.queue_.remove(*this); }

void load_shedder::admit_awaiter::give_up() noexcept {
  to_.queue_.give_up(*this);
  take_fate();
}

void load_shedder::admit_awaiter::leave() noexcept { to_.queue_.count_left(); }

time_point load_shedder::admit_awaiter::until() const noexcept { return until_; }

// Work begins when the task runs, not when it was woken: how long it takes should not depend on how busy the workers are.
time_point load_shedder::admit_awaiter::began() const noexcept { return waited_ ? clock::now() : now_; }

void load_shedder::admit_awaiter::describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
  const auto& wait = static_cast<const admit_awaiter&>(self);
  const figures now = wait.to_.look();
  std::snprintf(text, size, "load shedder %p, priority %u, %u inside, %u wait%s", static_cast<const void*>(&wait.to_),
                unsigned{wait.priority}, now.inside, now.waiting, now.overloaded ? ", overloaded" : "");
}

}  // namespace levity
