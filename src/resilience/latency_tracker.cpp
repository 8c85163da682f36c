#include "levity/resilience/latency_tracker.hpp"

#include <algorithm>
#include <cmath>

namespace levity::inline v0 {
namespace {

latency_tracker::options clamped(latency_tracker::options how) noexcept {
  how.window = std::clamp<duration>(how.window, std::chrono::milliseconds(80), std::chrono::hours(1));
  how.samples_min = std::max(how.samples_min, 1u);
  return how;
}

}  // namespace

latency_tracker::latency_tracker(const options& how) noexcept
    : how_(clamped(how)), cell_ns_(static_cast<std::uint64_t>(how_.window.count()) / cells) {}

std::uint64_t latency_tracker::number_of(time_point now) const noexcept {
  return static_cast<std::uint64_t>(now.time_since_epoch().count()) / cell_ns_ + 1;
}

void latency_tracker::begin(cell& of, std::uint64_t number) noexcept {
  lock_.lock();
  if (of.number.load(std::memory_order_relaxed) < number) {
    for (auto& each : of.counts) each.store(0, std::memory_order_relaxed);
    of.number.store(number, std::memory_order_relaxed);
  }
  lock_.unlock();
}

bool latency_tracker::is_within(const cell& of, std::uint64_t now) const noexcept {
  const std::uint64_t number = of.number.load(std::memory_order_relaxed);
  return number != 0 && number + cells > now;
}

void latency_tracker::record(duration took, time_point now) noexcept {
  const std::uint64_t number = number_of(now);
  cell& here = cells_[number % cells];
  if (here.number.load(std::memory_order_relaxed) < number) [[unlikely]] begin(here, number);
  here.counts[detail::latency_buckets::index_of(took)].fetch_add(1, std::memory_order_relaxed);
}

std::optional<duration> latency_tracker::quantile(double part, time_point now) const noexcept {
  const std::uint64_t newest = number_of(now);
  std::array<std::uint64_t, detail::latency_buckets::count> sums{};
  std::uint64_t all = 0;
  for (const cell& each : cells_) {
    if (!is_within(each, newest)) continue;
    for (std::size_t i = 0; i < sums.size(); i++) {
      const std::uint64_t seen = each.counts[i].load(std::memory_order_relaxed);
      sums[i] += seen;
      all += seen;
    }
  }
  if (all < how_.samples_min) return std::nullopt;
  const double wanted = std::ceil(std::clamp(part, 0.0, 1.0) * static_cast<double>(all));
  const std::uint64_t rank = std::clamp(static_cast<std::uint64_t>(wanted), std::uint64_t{1}, all);
  std::uint64_t below = 0;
  std::size_t at = 0;
  while (below + sums[at] < rank) below += sums[at++];
  return detail::latency_buckets::top_of(at);
}

std::uint64_t latency_tracker::samples(time_point now) const noexcept {
  const std::uint64_t newest = number_of(now);
  std::uint64_t all = 0;
  for (const cell& each : cells_) {
    if (!is_within(each, newest)) continue;
    for (const auto& count : each.counts) all += count.load(std::memory_order_relaxed);
  }
  return all;
}

}  // namespace levity
