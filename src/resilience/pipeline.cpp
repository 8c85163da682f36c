#include "levity/resilience/pipeline.hpp"

#include <cmath>

namespace levity::inline v0 {
namespace detail {

pipeline_counts pipeline_tallies::seen() const noexcept {
  pipeline_counts all;
  all.failed = failed.seen();
  all.timed_out = timed_out.seen();
  all.rejected = rejected.seen();
  all.broken_off = broken_off.seen();
  all.repetitions = repetitions.seen();
  std::uint64_t made = 0;
  for (std::size_t i = 0; i < latency.size(); i++) made += all.latency[i] = latency[i].seen();
  // A call that fails is counted so before its time is.
  const std::uint64_t others = all.failed + all.timed_out;
  all.succeeded = made > others ? made - others : 0;
  all.latency_sum = duration{static_cast<duration::rep>(latency_sum_ns.seen())};
  return all;
}

}  // namespace detail

duration pipeline_counts::latency_quantile(double part) const noexcept {
  std::uint64_t all = 0;
  for (const std::uint64_t each : latency) all += each;
  if (all == 0) return duration::zero();
  const double wanted = std::ceil(std::clamp(part, 0.0, 1.0) * static_cast<double>(all));
  const std::uint64_t rank = std::clamp(static_cast<std::uint64_t>(wanted), std::uint64_t{1}, all);
  std::uint64_t below = 0;
  std::size_t at = 0;
  while (below + latency[at] < rank) below += latency[at++];
  return latency_top(at);
}

}  // namespace levity
