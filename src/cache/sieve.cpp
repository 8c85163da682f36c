#include "levity/cache/sieve.hpp"

namespace levity::inline v0 {

void sieve::insert(hook& entry) noexcept {
  used_ += entry.weight;
  queue_.push_front(entry);
}

void sieve::remove(hook& entry) noexcept {
  if (hand_ == &entry) hand_ = entry.prev == queue_.end() ? nullptr : entry.prev;
  used_ -= entry.weight;
  entry.unlink();
}

void sieve::replace(hook& old, hook& fresh) noexcept {
  if (hand_ == &old) hand_ = &fresh;
  fresh.hits.store(old.hits.load(std::memory_order_relaxed), std::memory_order_relaxed);
  used_ -= old.weight - fresh.weight;
  detail::link_list::insert_before(old, fresh);
  old.unlink();
}

void sieve::evict(detail::eviction_list& out) noexcept {
  if (queue_.empty()) return;
  if (hand_ == nullptr) hand_ = detail::oldest_of(queue_);
  for (unsigned examined = 0; examined < 4096; examined++) {
    auto& asked = static_cast<hook&>(*hand_);
    if (asked.hits.load(std::memory_order_relaxed) == 0) break;
    asked.hits.store(0, std::memory_order_relaxed);
    hand_ = asked.prev == queue_.end() ? detail::oldest_of(queue_) : asked.prev;
  }
  auto& victim = static_cast<hook&>(*hand_);
  remove(victim);
  out.push_back(victim);
}

}  // namespace levity
