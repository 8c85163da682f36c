#include "levity/sync/select.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <utility>

#include "levity/base/rng.hpp"
#include "levity/time/sleep.hpp"
#include "sync/attempt.hpp"

namespace levity::inline v0::detail {
namespace {

// The distinct channels of a select, locked in the order of their addresses.
class locked_channels {
public:
  explicit locked_channels(std::span<select_case*> cases) noexcept {
    for (const select_case* each : cases) {
      if (each->core == nullptr) continue;
      channel_core** const end = cores_.data() + count_;
      channel_core** const place = std::lower_bound(cores_.data(), end, each->core, std::less<>{});
      if (place != end && *place == each->core) continue;
      std::move_backward(place, end, end + 1);
      *place = each->core;
      count_++;
    }
    for (std::size_t i = 0; i < count_; i++) cores_[i]->lock.lock();
  }
  locked_channels(const locked_channels&) = delete;
  locked_channels& operator=(const locked_channels&) = delete;

  void unlock() noexcept {
    for (std::size_t i = count_; i-- > 0;) cores_[i]->lock.unlock();
  }

private:
  std::array<channel_core*, select_core::cases_max> cores_;
  std::size_t count_ = 0;
};

// A random order of the cases that have a channel.
class shuffled {
public:
  shuffled(std::span<select_case*> cases, std::uint32_t task_id) noexcept {
    for (std::size_t i = 0; i < cases.size(); i++) {
      if (cases[i]->core != nullptr) index_[count_++] = static_cast<std::uint8_t>(i);
    }
    if (count_ < 2) return;
    rng random{std::uint64_t{task_id} << 32 ^ cases[index_[0]]->core->next_draw()};
    for (std::size_t i = count_ - 1; i > 0; i--) std::swap(index_[i], index_[random.below(i + 1)]);
  }

  [[nodiscard]] std::span<const std::uint8_t> order() const noexcept { return {index_.data(), count_}; }

private:
  std::array<std::uint8_t, select_core::cases_max> index_;
  std::size_t count_ = 0;
};

}  // namespace

const wait_reason select_core::reason_{"select", &select_core::take_back, &select_core::settle, &select_core::describe};

bool select_core::suspend(std::coroutine_handle<> frame, task_record& record) noexcept {
  return begin_attempt(*this, frame, record);
}

bool select_core::attempt(task_record& record) noexcept {
  decided_ = true;
  why_ = pending_cancel(record);
  if (why_ != cancel_reason::none) [[unlikely]] return word_.claim(select_word::cancelled);

  locked_channels channels(cases_);
  const shuffled turns(cases_, record.id);
  for (const std::uint8_t index : turns.order()) {
    select_case& each = *cases_[index];
    const bool sends = each.what == select_case::kind::send;
    task_record* woken = nullptr;
    const channel_status outcome = sends ? each.core->send(each.load, woken) : each.core->receive(each.load, woken);
    if (outcome == channel_status::waiting) continue;
    channels.unlock();
    if (sends && outcome == channel_status::done) each.load = 0;
    each.status = outcome;
    if (woken != nullptr) wake(*woken);
    return word_.claim(index);
  }

  for (std::size_t i = 0; i < cases_.size(); i++) {
    if (cases_[i]->what != select_case::kind::otherwise) continue;
    channels.unlock();
    return word_.claim(static_cast<int>(i));
  }

  prepare_wait(record, record.leaf, *this);
  record_ = &record;
  queued_ = true;
  for (std::size_t i = 0; i < cases_.size(); i++) {
    select_case& each = *cases_[i];
    each.number = static_cast<int>(i);
    if (each.core == nullptr) continue;
    each.record = &record;
    each.select = &word_;
    each.core->enqueue(each, each.what == select_case::kind::send);
  }
  channels.unlock();
  // From here on any case, or a canceller, may win; but nobody resumes us before commit_wait() has parked us.
  for (select_case* each : cases_) {
    if (each->core != nullptr) continue;
    auto& timer = static_cast<select_timer&>(*each);
    timer.owner = this;
    timer.timer.of = &timer;
    timer.timer.fire = &select_core::passed;
    timer.timer.due_ns = timer.absolute ? timer.ns : time_after(duration{timer.ns}).time_since_epoch().count();
    record.scope->exec->arm(timer.timer);
  }
  return !commit_wait(record);
}

int select_core::finish() noexcept {
  if (queued_) {
    for (select_case* each : cases_) {
      if (each->core != nullptr) {
        each->core->withdraw(*each);
      } else {
        record_->scope->exec->disarm(static_cast<select_timer*>(each)->timer);
      }
    }
  }
  return word_.winner();
}

// On whatever thread found the timer due. The select cannot go meanwhile: finish() waits in disarm().
std::int64_t select_core::passed(timer_node& node) noexcept {
  const select_timer& timer = *static_cast<select_timer::node&>(node).of;
  task_record& record = *timer.owner->record_;
  if (timer.owner->word_.claim(timer.number)) wake(record);
  return timer_node::done;
}

bool select_core::settle(waiter& self, task_record& record) noexcept {
  auto& select = static_cast<select_core&>(self);
  return select.decided_ || select.attempt(record);
}

bool select_core::take_back(waiter& self, task_record& record) noexcept {
  auto& select = static_cast<select_core&>(self);
  if (!select.word_.claim(select_word::cancelled)) return false;
  select.why_ = effective_cancel(record);
  return true;
}

void select_core::describe(const waiter& self, char* text, std::size_t size) noexcept {
  std::size_t used = 0;
  const char* gap = "";
  for (const select_case* each : static_cast<const select_core&>(self).cases_) {
    if (used >= size) return;
    int written = 0;
    if (each->core == nullptr) {
      written = std::snprintf(text + used, size - used, "%stimer", gap);
    } else {
      written = std::snprintf(text + used, size - used, "%s%s channel %p", gap,
                              each->what == select_case::kind::send ? "send" : "receive",
                              static_cast<const void*>(each->core));
    }
    used += static_cast<std::size_t>(written);
    gap = ", ";
  }
}

}  // namespace levity::detail
