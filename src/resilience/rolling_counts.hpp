#pragma once

// rolling_counts: the counts by which the rule of gobreaker judges, with those of each of the latest buckets of time beside the
// sum.
//
// It does what gobreaker's own counts do, their corners too, for whoever compares must not find a difference:
//   - a verdict goes into the bucket in which its call began, and is dropped when that bucket has left;
//   - a row of successes (failures) that fills all buckets loses those of the bucket that leaves; one that began later stays whole,
//     though a call of it may have left;
//   - no count falls below zero.
//
// With one bucket nothing ever leaves; who owns it clears it. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "levity/resilience/breaker_window.hpp"

namespace levity::inline v0::detail {

class rolling_counts {
public:
  explicit rolling_counts(std::size_t buckets) : buckets_(buckets) {}

  [[nodiscard]] const breaker_window& sum() const noexcept { return sum_; }
  /// The newest bucket, counted from the last clear().
  [[nodiscard]] std::uint64_t bucket() const noexcept { return newest_; }
  [[nodiscard]] bool rolls() const noexcept { return buckets_.size() > 1; }

  void begun() noexcept;
  void succeeded(std::uint64_t bucket) noexcept;
  void failed(std::uint64_t bucket) noexcept;
  void excluded(std::uint64_t bucket) noexcept;
  /// Until `bucket` is the newest; nothing, if it is not newer.
  void roll_to(std::uint64_t bucket) noexcept;
  void clear() noexcept;

private:
  [[nodiscard]] breaker_window* in(std::uint64_t bucket) noexcept;
  [[nodiscard]] breaker_window& at(std::uint64_t bucket) noexcept { return buckets_[bucket % buckets_.size()]; }
  void lose_oldest() noexcept;

  breaker_window sum_;
  std::uint64_t newest_ = 0;
  std::vector<breaker_window> buckets_;
};

}  // namespace levity::detail
