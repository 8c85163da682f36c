#include "resilience/rate_window.hpp"

namespace levity::inline v0::detail {

void rate_window::add(bool failed, bool slow, time_point now) noexcept {
  roll_to(now.time_since_epoch().count() / bucket_ns_);
  for (breaker_window* each : {&sum_, &counted_[static_cast<std::uint64_t>(newest_) % buckets]}) {
    each->calls++;
    each->successes += failed ? 0 : 1;
    each->failures += failed ? 1 : 0;
    each->slow += slow ? 1 : 0;
  }
}

void rate_window::roll_to(std::int64_t bucket) noexcept {
  if (bucket <= newest_) return;
  if (bucket - newest_ >= buckets) {
    clear();
    newest_ = bucket;
    return;
  }
  while (newest_ < bucket) {
    newest_++;
    breaker_window& leaves = counted_[static_cast<std::uint64_t>(newest_) % buckets];
    sum_.calls -= leaves.calls;
    sum_.successes -= leaves.successes;
    sum_.failures -= leaves.failures;
    sum_.slow -= leaves.slow;
    leaves = {};
  }
}

void rate_window::clear() noexcept {
  sum_ = {};
  counted_.fill({});
}

}  // namespace levity::detail
