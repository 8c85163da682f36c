#include "levity/cache/detail/read_counts.hpp"

namespace levity::inline v0::detail {

unsigned read_counts::thread_number() noexcept {
  static constinit atomic<unsigned> numbers{0};
  static constinit thread_local unsigned own = 0;
  if (own == 0) [[unlikely]] own = numbers.fetch_add(1, std::memory_order_relaxed) + 1;
  return own - 1;
}

read_counts::sums read_counts::sum() const noexcept {
  sums all;
  for (const stripe& each : stripes_) {
    all.hits += each.hits.load(std::memory_order_relaxed);
    all.misses += each.misses.load(std::memory_order_relaxed);
    all.stale_hits += each.stale_hits.load(std::memory_order_relaxed);
  }
  return all;
}

}  // namespace levity::detail
