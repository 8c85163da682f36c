#pragma once

// rate_window: the calls of the last stretch of time, in ten buckets; the oldest leaves as a whole when an eleventh begins, so what
// is counted reaches back between nine and ten tenths of the window. Not thread-safe.

#include <array>
#include <cstdint>

#include "levity/base/clock.hpp"
#include "levity/resilience/breaker_window.hpp"

namespace levity::inline v0::detail {

class rate_window {
public:
  /// `window` is ten nanoseconds at least.
  explicit rate_window(duration window) noexcept : bucket_ns_((window.count() + buckets - 1) / buckets) {}

  /// Counts a call that has ended at `now`. One that is told late, by a thread that was interrupted, counts as of the newest
  /// bucket.
  void add(bool failed, bool slow, time_point now) noexcept;
  [[nodiscard]] const breaker_window& sum() const noexcept { return sum_; }
  void clear() noexcept;

private:
  static constexpr int buckets = 10;

  void roll_to(std::int64_t bucket) noexcept;

  std::int64_t bucket_ns_;
  std::int64_t newest_ = 0;  // of all buckets since the clock's zero
  breaker_window sum_;
  std::array<breaker_window, buckets> counted_{};
};

}  // namespace levity::detail
