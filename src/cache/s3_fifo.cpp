#include "levity/cache/s3_fifo.hpp"

#include <algorithm>

namespace levity::inline v0 {

using detail::oldest_of;

s3_fifo::s3_fifo(std::uint64_t capacity) noexcept
    : small_target_(std::max<std::uint64_t>(capacity / 10, 1)), main_target_(capacity - std::min(capacity, small_target_)) {}

void s3_fifo::insert(hook& entry) noexcept {
  entry.queue = ghost_.take(entry.hash.load(std::memory_order_relaxed)) ? main : small;
  used_of(entry) += entry.weight;
  (entry.queue == small ? small_ : main_).push_front(entry);
}

void s3_fifo::remove(hook& entry) noexcept {
  used_of(entry) -= entry.weight;
  entry.unlink();
}

void s3_fifo::replace(hook& old, hook& fresh) noexcept {
  fresh.queue = old.queue;
  fresh.hits.store(old.hits.load(std::memory_order_relaxed), std::memory_order_relaxed);
  used_of(old) -= old.weight - fresh.weight;
  detail::link_list::insert_before(old, fresh);
  old.unlink();
}

void s3_fifo::evict(detail::eviction_list& out) noexcept {
  unsigned examined = 0;
  if (small_used_ >= small_target_ || main_.empty()) return evict_from_small(out, examined);
  evict_from_main(out, examined);
}

void s3_fifo::evict_from_small(detail::eviction_list& out, unsigned& examined) noexcept {
  for (;; examined++) {
    hook* const oldest = oldest_of(small_);
    if (oldest == nullptr) return;
    remove(*oldest);
    if (oldest->hits.load(std::memory_order_relaxed) <= 1 || examined >= examined_max) {
      ghost_.push(oldest->hash.load(std::memory_order_relaxed), main_target_);
      return out.push_back(*oldest);
    }
    oldest->queue = main;
    oldest->hits.store(0, std::memory_order_relaxed);
    main_.push_front(*oldest);
    main_used_ += oldest->weight;
    while (main_used_ > main_target_) evict_from_main(out, examined);
  }
}

void s3_fifo::evict_from_main(detail::eviction_list& out, unsigned& examined) noexcept {
  for (;; examined++) {
    hook* const oldest = oldest_of(main_);
    if (oldest == nullptr) return;
    const std::uint8_t hits = oldest->hits.load(std::memory_order_relaxed);
    if (hits == 0 || examined >= examined_max) {
      remove(*oldest);
      return out.push_back(*oldest);
    }
    oldest->hits.store(hits - 1, std::memory_order_relaxed);
    oldest->unlink();
    main_.push_front(*oldest);
  }
}

const char* s3_fifo::queue_name(std::uint8_t queue) noexcept { return queue == small ? "the small queue" : "the main queue"; }

}  // namespace levity
