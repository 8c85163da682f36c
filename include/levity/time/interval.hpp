#pragma once

#include "levity/base/assert.hpp"
#include "levity/time/sleep.hpp"

namespace levity::inline v0 {

/// Ticks at a fixed rate: `interval every{100ms}; for (;;) { co_await every.tick(); ... }`. Ticks lie on start + n * period; a
/// late caller gets one tick at once and the missed ones are dropped. One task at a time; not thread-safe.
class interval {
public:
  /// The first tick is one period, which is longer than nothing (asserted), from now.
  explicit interval(duration period) noexcept : next_(detail::time_after(period)), period_(period) {
    LEVITY_ASSERT(period > duration::zero(), "an interval's period is longer than nothing");
  }

  /// Waits for the next tick. Throws `cancelled` on cancellation.
  [[nodiscard("co_await the tick")]] sleep_awaiter tick() noexcept {
    const time_point due = next_;
    next_ += period_;
    if (const time_point now = clock::now(); next_ <= now) {
      const auto missed = (now - next_) / period_ + 1;
      next_ += missed * period_;
    }
    return sleep_until(due);
  }

private:
  time_point next_;
  duration period_;
};

}  // namespace levity
