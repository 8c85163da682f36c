#include "reactor/timer_wheel.hpp"

#include <algorithm>
#include <bit>

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {

std::uint64_t timer_wheel::tick_after(std::int64_t ns) noexcept {
  constexpr std::uint64_t round_up = (std::uint64_t{1} << tick_shift) - 1;
  return (static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0)) + round_up) >> tick_shift;
}

timer_wheel::slot& timer_wheel::place(std::uint64_t tick) noexcept {
  if (tick <= now_tick_) return due_;
  // The highest bit in which the tick differs from now tells the level. The top level goes round: the next 63 of its slots
  // lie ahead, beyond the end of its range too. Ticks beyond those wait in the last one and are placed again from there.
  constexpr int top = levels - 1;
  constexpr std::uint64_t horizon = (std::uint64_t{1} << (levels * slot_bits)) - 1;
  int level = top;
  if ((tick ^ now_tick_) <= horizon) {
    level = (63 - std::countl_zero(tick ^ now_tick_)) / slot_bits;
  } else if ((tick >> (top * slot_bits)) - (now_tick_ >> (top * slot_bits)) >= slots) {
    tick = now_tick_ + (std::uint64_t{slots - 1} << (top * slot_bits));
  }
  const auto index = static_cast<int>((tick >> (level * slot_bits)) & (slots - 1));
  occupied_[level] |= std::uint64_t{1} << index;
  return slots_[level][index];
}

// Does the waiter have to hear of an entry at `tick`?
bool timer_wheel::inserted(std::uint64_t tick) noexcept {
  entries_.store(entries_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return waiting_until_ns_ != 0 && static_cast<std::int64_t>(tick << tick_shift) < waiting_until_ns_;
}

// An entry left the list around `place`; was it the last of its slot? The sentinel's address tells which slot that is.
void timer_wheel::removed(list_link* place) noexcept {
  entries_.store(entries_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  const auto address = reinterpret_cast<std::uintptr_t>(place);
  const auto first = reinterpret_cast<std::uintptr_t>(&slots_[0][0]);
  if (address < first || address >= first + sizeof slots_) return;  // not a sentinel, or the due list's
  const std::size_t number = (address - first) / sizeof(slot);
  const auto level = static_cast<int>(number / slots);
  const auto index = static_cast<int>(number % slots);
  if (slots_[level][index].empty()) occupied_[level] &= ~(std::uint64_t{1} << index);
}

bool timer_wheel::arm(timer_node& node) noexcept {
  node.wheel = this;
  const std::uint64_t tick = tick_after(node.due_ns);
  lock_.lock();
  place(tick).nodes.push_back(node);
  const bool ring = inserted(tick);
  lock_.unlock();
  return ring;
}

void timer_wheel::disarm(timer_node& node) noexcept {
  for (;;) {
    lock_.lock();
    if (node.linked()) {
      list_link* neighbour = node.next;
      node.unlink();
      removed(neighbour);
    }
    // Read under the lock: a callback that comes again links the node and ends its firing in one step under it, and who looked for
    // the node before that step and for the firing after it would find neither.
    const bool firing = node.firing.load(std::memory_order_acquire);  // E7 acquire: the callback is over.
    lock_.unlock();
    if (!firing) return;
    // It may arm the node again, so there is another look after it, which also has the edge.
    while (node.firing.load(std::memory_order_relaxed)) give_way();
  }
}

bool timer_wheel::sleep(task_record& record, sleep_waiter& waiter) noexcept {
  waiter.wheel = this;
  const std::uint64_t tick = tick_after(waiter.due_ns);
  lock_.lock();
  place(tick).sleepers.push_back(record.queue);
  const bool ring = inserted(tick);
  lock_.unlock();
  return ring;
}

bool timer_wheel::unsleep(task_record& record) noexcept {
  lock_.lock();
  const bool queued = record.queue.linked();
  if (queued) {
    list_link* neighbour = record.queue.next;
    record.queue.unlink();
    removed(neighbour);
  }
  lock_.unlock();
  return queued;
}

bool timer_wheel::next_expiry(expiry& next) const noexcept {
  for (int level = 0; level < levels; level++) {
    if (occupied_[level] == 0) continue;
    const int shift = level * slot_bits;
    const auto now_slot = static_cast<int>((now_tick_ >> shift) & (slots - 1));
    const int ahead = std::countr_zero(std::rotr(occupied_[level], now_slot));
    const int index = (now_slot + ahead) & (slots - 1);
    const std::uint64_t range = std::uint64_t{1} << (shift + slot_bits);
    std::uint64_t tick = (now_tick_ & ~(range - 1)) + (static_cast<std::uint64_t>(index) << shift);
    if (tick <= now_tick_) tick += range;
    next = {tick, level, index};
    return true;
  }
  return false;
}

// Moves every entry whose tick has come to the due lists.
void timer_wheel::advance_to(std::uint64_t tick) noexcept {
  if (tick <= now_tick_) return;  // most looks are within the tick of the one before
  expiry next;
  while (next_expiry(next) && next.tick <= tick) {
    now_tick_ = next.tick;
    slot& from = slots_[next.level][next.index];
    occupied_[next.level] &= ~(std::uint64_t{1} << next.index);
    if (next.level == 0) {
      due_.sleepers.splice_back(from.sleepers);
      due_.nodes.splice_back(from.nodes);
      continue;
    }
    link_list sleepers;
    link_list nodes;
    sleepers.splice_back(from.sleepers);
    nodes.splice_back(from.nodes);
    while (list_link* link = sleepers.pop_front()) {
      const auto& waiter = *static_cast<sleep_waiter*>(task_record::from_queue(*link).waits_on);
      place(tick_after(waiter.due_ns)).sleepers.push_back(*link);
    }
    while (list_link* link = nodes.pop_front()) {
      place(tick_after(static_cast<timer_node*>(link)->due_ns)).nodes.push_back(*link);
    }
  }
  now_tick_ = tick;
}

// `firing` goes under the lock, so that who disarms finds the node in the wheel, or waits; and what the callback wrote is there for
// whoever has the lock next.
void timer_wheel::again(timer_node& node, std::int64_t due_ns) noexcept {
  lock_.lock();
  moved_sum_ = moved_sum_ * 0x9e3779b97f4a7c15 + static_cast<std::uint64_t>(due_ns);
  node.due_ns = due_ns;
  place(tick_after(due_ns)).nodes.push_back(node);
  inserted(tick_after(due_ns));
  node.firing.store(false, std::memory_order_relaxed);
  lock_.unlock();
}

bool timer_wheel::expire(std::int64_t now_ns, ready_batch& ready) noexcept {
  if (entries_.load(std::memory_order_relaxed) == 0) return false;
  constexpr std::size_t slice = 64;
  std::array<task_record*, slice> woken;
  lock_.lock();
  advance_to(tick_before(now_ns));
  if (due_.empty()) {
    lock_.unlock();
    return false;
  }
  for (;;) {
    std::size_t count = 0;
    const std::size_t wanted = std::min(slice, ready.room());
    while (count < wanted) {
      list_link* link = due_.sleepers.pop_front();
      if (link == nullptr) break;
      woken[count++] = &task_record::from_queue(*link);
    }
    auto* node = static_cast<timer_node*>(due_.nodes.pop_front());
    if (node != nullptr) node->firing.store(true, std::memory_order_relaxed);
    entries_.store(entries_.load(std::memory_order_relaxed) - count - (node != nullptr ? 1 : 0),
                   std::memory_order_relaxed);
    const bool more = !due_.sleepers.empty() || !due_.nodes.empty();
    lock_.unlock();
    for (std::size_t i = 0; i < count; i++) {
      if (wake_deferred(*woken[i])) ready.add(*woken[i]);
    }
    if (node != nullptr) {
      const std::int64_t again_ns = node->fire(*node);
      if (again_ns != timer_node::done) {
        again(*node, again_ns);
      } else {
        node->firing.store(false, std::memory_order_release);  // E7 release.
      }
    }
    if (!more) return false;
    if (ready.room() == 0) return true;
    lock_.lock();
  }
}

std::int64_t timer_wheel::begin_wait() noexcept {
  lock_.lock();
  std::int64_t due_ns = never_ns;
  expiry next;
  if (!due_.empty()) {
    due_ns = 1;
  } else if (next_expiry(next)) {
    due_ns = static_cast<std::int64_t>(next.tick << tick_shift);
  }
  waiting_until_ns_ = due_ns;
  lock_.unlock();
  return due_ns;
}

void timer_wheel::end_wait() noexcept {
  lock_.lock();
  waiting_until_ns_ = 0;
  lock_.unlock();
}

void timer_wheel::check_invariants() noexcept {
  lock_.lock();
  std::uint64_t found = 0;
  auto count = [&found](link_list& list) {
    for (list_link* link = list.front(); link != nullptr && link != list.end(); link = link->next) found++;
  };
  for (int level = 0; level < levels; level++) {
    for (int index = 0; index < slots; index++) {
      slot& each = slots_[level][index];
      const bool marked = (occupied_[level] >> index & 1) != 0;
      LEVITY_ASSERT(marked == !each.empty(), "a slot's bit says whether it has entries");
      count(each.sleepers);
      count(each.nodes);
    }
  }
  count(due_.sleepers);
  count(due_.nodes);
  LEVITY_ASSERT(found == entries_.load(std::memory_order_relaxed), "every entry is counted once");
  lock_.unlock();
}

}  // namespace levity::detail
