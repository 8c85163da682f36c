#include "resilience/call_ring.hpp"

namespace levity::inline v0::detail {

void call_ring::add(bool failed) noexcept {
  if (calls_ == calls_max_) {
    failures_ -= has_failed(next_) ? 1 : 0;
  } else {
    calls_++;
  }
  failures_ += failed ? 1 : 0;
  const std::uint64_t bit = std::uint64_t{1} << next_ % 64;
  failed_[next_ / 64] = (failed_[next_ / 64] & ~bit) | (failed ? bit : 0);
  next_ = next_ + 1 == calls_max_ ? 0 : next_ + 1;
}

breaker_window call_ring::sum() const noexcept {
  breaker_window seen{.calls = calls_, .successes = calls_ - failures_, .failures = failures_};
  for (unsigned back = 1; back <= 32 && back <= calls_; back++) {
    const unsigned at = next_ >= back ? next_ - back : next_ + calls_max_ - back;
    if (has_failed(at)) seen.last |= std::uint32_t{1} << (back - 1);
  }
  return seen;
}

void call_ring::clear() noexcept {
  calls_ = failures_ = next_ = 0;
  for (std::uint64_t& each : failed_) each = 0;
}

}  // namespace levity::detail
