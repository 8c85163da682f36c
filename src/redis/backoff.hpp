#pragma once

// backoff: how long to wait before the next attempt. Full jitter (Brooker 2015): a time drawn evenly from nothing to a bound that
// doubles from failure to failure, so that the clients of one server that comes back do not come all at once.

#include <algorithm>
#include <cstdint>

#include "levity/base/clock.hpp"
#include "levity/base/rng.hpp"

namespace levity::inline v0::redis::detail {

class backoff {
public:
  backoff(duration first, duration most, std::uint64_t seed) noexcept
      : first_(std::max(first, duration(1))), most_(std::max(most, first_)), bound_(first_), random_(seed) {}

  /// Another failure: how long to wait.
  [[nodiscard]] duration next() noexcept {
    const duration wait(static_cast<duration::rep>(random_.below(static_cast<std::uint64_t>(bound_.count()) + 1)));
    bound_ = bound_ < most_ / 2 ? bound_ * 2 : most_;
    return wait;
  }
  /// It went well.
  void reset() noexcept { bound_ = first_; }

private:
  const duration first_;
  const duration most_;
  duration bound_;  // of the next wait
  rng random_;
};

}  // namespace levity::redis::detail
