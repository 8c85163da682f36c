#include "levity/resilience/hedge.hpp"

namespace levity::inline v0 {
namespace {

constexpr int time_shift = 26;   // 67 ms
constexpr int delay_shift = 10;  // 1,024 ns
constexpr std::uint64_t low_half = 0xffff'ffff;

retry_budget::options of_route(double share_max) noexcept {
  retry_budget::options how;
  how.share_max = share_max;
  how.per_second_min = 0;
  return how;
}

}  // namespace

hedged_route::hedged_route(const options& how) noexcept : hedged_route(nullptr, how) {}
hedged_route::hedged_route(retry_budget& shared, const options& how) noexcept : hedged_route(&shared, how) {}

hedged_route::hedged_route(retry_budget* shared, const options& how) noexcept
    : how_(how), shared_(shared), own_(of_route(how.share_max)), latency_(how.latency) {
  how_.quantile = std::clamp(how_.quantile, 0.0, 1.0);
  // What the word has room for: an hour.
  how_.delay_min = std::clamp<duration>(how_.delay_min, duration::zero(), std::chrono::hours(1));
  how_.delay_max = std::clamp<duration>(how_.delay_max, how_.delay_min, std::chrono::hours(1));
}

std::optional<duration> hedged_route::begin_call(time_point now) noexcept {
  calls_.fetch_add(1, std::memory_order_relaxed);
  own_.count_request(now);
  const std::uint64_t time = (static_cast<std::uint64_t>(now.time_since_epoch().count()) >> time_shift) & low_half;
  std::uint64_t seen = delay_.load(std::memory_order_relaxed);
  if (seen == 0 || seen >> 32 != time) {
    const std::optional<duration> live = latency_.quantile(how_.quantile, now);
    const std::uint64_t units =
        live ? (static_cast<std::uint64_t>(std::clamp(*live, how_.delay_min, how_.delay_max).count()) >> delay_shift) + 1 : 0;
    seen = time << 32 | units;
    delay_.store(seen, std::memory_order_relaxed);
  }
  const std::uint64_t units = seen & low_half;
  if (units == 0) return std::nullopt;
  return duration{static_cast<duration::rep>(units << delay_shift)};
}

bool hedged_route::try_hedge(time_point now) noexcept {
  bool granted = own_.try_spend(now);
  if (granted && shared_ != nullptr && !shared_->try_spend(now)) {
    own_.take_back(now);
    granted = false;
  }
  (granted ? hedged_ : refused_).fetch_add(1, std::memory_order_relaxed);
  return granted;
}

void hedged_route::take_back(time_point granted_at) noexcept {
  own_.take_back(granted_at);
  if (shared_ != nullptr) shared_->take_back(granted_at);
  hedged_.fetch_sub(1, std::memory_order_relaxed);
}

hedged_route::counts hedged_route::counted() const noexcept {
  return {calls_.load(std::memory_order_relaxed), hedged_.load(std::memory_order_relaxed), won_.load(std::memory_order_relaxed),
          refused_.load(std::memory_order_relaxed)};
}

}  // namespace levity
