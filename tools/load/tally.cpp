#include "load/tally.hpp"

#include <algorithm>

namespace levity::load {

void tally::merge(const tally& other) {
  // The ranges are the same default ones everywhere, so that merging cannot be refused.
  static_cast<void>(corrected_ns.merge(other.corrected_ns));
  static_cast<void>(service_ns.merge(other.service_ns));
  static_cast<void>(lag_ns.merge(other.lag_ns));
  for (std::size_t i = 0; i < ended.size(); ++i) ended[i] += other.ended[i];
  for (std::size_t i = 0; i < status_classes.size(); ++i) status_classes[i] += other.status_classes[i];
  planned += other.planned;
  warmup_ended += other.warmup_ended;
  warmup_failed += other.warmup_failed;
  bytes_sent += other.bytes_sent;
  bytes_received += other.bytes_received;
  connects += other.connects;
  queue_max += other.queue_max;
  begin_ns = begin_ns == 0 ? other.begin_ns : std::min(begin_ns, other.begin_ns);
  finish_ns = std::max(finish_ns, other.finish_ns);
  cpu_ns += other.cpu_ns;
  busy_share = std::max(busy_share, other.busy_share);
  sent += other.sent;
  interrupted = interrupted || other.interrupted;
}

void live_board::add(const interval& part) {
  const std::scoped_lock lock(mutex_);
  static_cast<void>(sum_.corrected_ns.merge(part.corrected_ns));
  sum_.ended += part.ended;
  sum_.failed += part.failed;
  sum_.queued += part.queued;
  sum_.in_flight += part.in_flight;
}

void live_board::take(interval& out) {
  const std::scoped_lock lock(mutex_);
  std::swap(out, sum_);
  sum_.clear();
}

}  // namespace levity::load
