#include "levity/base/spin_lock.hpp"

#include <algorithm>

#include "levity/base/clock.hpp"

namespace levity::inline v0::detail {

void spin_lock::lock_slowly() noexcept {
  constexpr std::int64_t unit_ns = 32;
  constexpr std::int64_t patience_ns = 4'000;
  std::int64_t now_ns = kernel_now_ns();
  const std::int64_t yields_from_ns = now_ns + patience_ns;
  for (;;) {
    const unsigned contention = contention_approx();
    const unsigned doublings = contention / 4;
    const std::int64_t looks_at_ns = doublings == 0 ? now_ns : now_ns + (unit_ns << doublings);
    spin_hint();
    while (now_ns < looks_at_ns) {
      spin_hint();
      now_ns = kernel_now_ns();
    }
    const bool locked = try_lock();
    const unsigned next = locked ? std::max(contention, 1U) - 1 : std::min(contention + busy_look, contention_max);
    if (next != contention) contention_.store(static_cast<std::uint8_t>(next), std::memory_order_relaxed);
    if (locked) return;
    now_ns = kernel_now_ns();
    if (now_ns >= yields_from_ns) give_way();
  }
}

}  // namespace levity::detail
