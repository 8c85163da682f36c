// schedule.hpp -- when request number i is meant to be sent.
//
// The times are fixed before the run and never move: a slow answer does not delay the requests after it (no coordinated
// omission). They are computed from the number, not added up, so that no rounding error grows.
#pragma once

#include <cmath>
#include <cstdint>

namespace levity::load {

class schedule {
public:
  schedule() = default;

  /// `per_second` requests from `start_ns` for `duration_ns`. This one takes every `stride`-th, beginning with `first`.
  /// `tick_ns` 0 spaces them evenly.
  schedule(std::int64_t start_ns, double per_second, std::int64_t duration_ns, std::uint64_t first, std::uint64_t stride,
           std::int64_t tick_ns = 0)
      : start_ns_(start_ns), tick_ns_(tick_ns), period_ns_(1e9 / per_second), first_(first), stride_(stride) {
    const auto all = static_cast<std::uint64_t>(std::floor(per_second * static_cast<double>(duration_ns) / 1e9 + 1e-6));
    size_ = all > first ? (all - first + stride - 1) / stride : 0;
  }

  /// How many requests are on it.
  [[nodiscard]] std::uint64_t size() const { return size_; }

  /// The intended time of its `index`-th request; exact to a nanosecond for runs of many days.
  [[nodiscard]] std::int64_t at_ns(std::uint64_t index) const {
    const auto after = static_cast<std::int64_t>(static_cast<double>(first_ + index * stride_) * period_ns_);
    return start_ns_ + (tick_ns_ > 0 ? after / tick_ns_ * tick_ns_ : after);
  }

private:
  std::int64_t start_ns_ = 0;
  std::int64_t tick_ns_ = 0;
  double period_ns_ = 1.0;
  std::uint64_t first_ = 0;
  std::uint64_t stride_ = 1;
  std::uint64_t size_ = 0;
};

}  // namespace levity::load
