#include "levity/service/health.hpp"

#include <bit>
#include <utility>

#include "levity/base/assert.hpp"

namespace levity::inline v0::service {

health::health(time_point now, std::vector<std::string> checks, health_options options)
    : options_(options), checks_(std::move(checks)), made_(now), beat_ns_(now.time_since_epoch().count()) {
  LEVITY_ASSERT(checks_.size() <= checks_max, "a service has at most 64 checks: let one stand for several");
}

void health::started(time_point now) noexcept {
  phase expected = phase::starting;
  beat(now);
  phase_.compare_exchange_strong(expected, phase::serving, std::memory_order_relaxed);
}

void health::begin_drain() noexcept { phase_.store(phase::draining, std::memory_order_relaxed); }

void health::beat(time_point now) noexcept { beat_ns_.store(now.time_since_epoch().count(), std::memory_order_relaxed); }

void health::set(std::size_t check, bool good) noexcept {
  if (check >= checks_.size()) return;
  const std::uint64_t bit = std::uint64_t{1} << check;
  if (good) {
    good_.fetch_or(bit, std::memory_order_relaxed);
  } else {
    good_.fetch_and(~bit, std::memory_order_relaxed);
  }
}

health_answer health::live(time_point now) const noexcept {
  if (phase_.load(std::memory_order_relaxed) == phase::starting) {
    if (options_.startup_max > duration::zero() && now - made_ > options_.startup_max) return {false, "the start takes too long"};
    return {true, "starting"};
  }
  const time_point beat{duration(beat_ns_.load(std::memory_order_relaxed))};
  if (options_.beat_max > duration::zero() && now - beat > options_.beat_max) return {false, "no task has beaten for too long"};
  return {true, "alive"};
}

health_answer health::ready(time_point now) const noexcept {
  switch (phase_.load(std::memory_order_relaxed)) {
    case phase::starting: return {false, "starting"};
    case phase::draining: return {false, "draining"};
    case phase::serving: break;
  }
  const std::uint64_t all = checks_.size() == checks_max ? ~std::uint64_t{0} : (std::uint64_t{1} << checks_.size()) - 1;
  if (const std::uint64_t bad = all & ~good_.load(std::memory_order_relaxed); bad != 0) {
    return {false, checks_[static_cast<std::size_t>(std::countr_zero(bad))]};
  }
  const health_answer alive = live(now);
  return alive.good ? health_answer{true, "ready"} : alive;
}

health_answer health::startup() const noexcept {
  const bool over = phase_.load(std::memory_order_relaxed) != phase::starting;
  return {over, over ? "started" : "starting"};
}

}  // namespace levity::service
