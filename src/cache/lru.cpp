#include "levity/cache/lru.hpp"

namespace levity::inline v0 {

void lru::insert(hook& entry) noexcept {
  hit(entry);
  entry.placed = entry.used.load(std::memory_order_relaxed);
  used_ += entry.weight;
  heap_.push_back(&entry);  // within the room that was made
  entry.place = heap_.size() - 1;
  rise(entry);
}

void lru::remove(hook& entry) noexcept {
  used_ -= entry.weight;
  hook& last = *heap_.back();
  heap_.pop_back();
  if (&last == &entry) return;
  put(last, entry.place);
  rise(last);
  sink(last);
}

void lru::replace(hook& old, hook& fresh) noexcept {
  hit(fresh);
  used_ -= old.weight - fresh.weight;
  fresh.placed = old.placed;  // not later than it was used
  put(fresh, old.place);
}

void lru::evict(detail::eviction_list& out) noexcept {
  while (!heap_.empty()) {
    hook& least = *heap_.front();
    const std::uint64_t used = least.used.load(std::memory_order_relaxed);
    if (used == least.placed) {
      remove(least);
      return out.push_back(least);
    }
    least.placed = used;
    sink(least);
  }
}

void lru::rise(hook& entry) noexcept {
  std::size_t at = entry.place;
  while (at > 0 && entry.placed < heap_[(at - 1) / 2]->placed) {
    put(*heap_[(at - 1) / 2], at);
    at = (at - 1) / 2;
  }
  put(entry, at);
}

void lru::sink(hook& entry) noexcept {
  std::size_t at = entry.place;
  for (;;) {
    std::size_t child = 2 * at + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->placed < heap_[child]->placed) child++;
    if (heap_[child]->placed >= entry.placed) break;
    put(*heap_[child], at);
    at = child;
  }
  put(entry, at);
}

}  // namespace levity
