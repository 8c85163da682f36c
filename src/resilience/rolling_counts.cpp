#include "resilience/rolling_counts.hpp"

namespace levity::inline v0::detail {
namespace {

void count_success(breaker_window& into) noexcept {
  into.successes++;
  into.successes_in_a_row++;
  into.failures_in_a_row = 0;
}

void count_failure(breaker_window& into) noexcept {
  into.failures++;
  into.failures_in_a_row++;
  into.successes_in_a_row = 0;
}

void take(std::uint64_t& from, std::uint64_t what) noexcept { from = from > what ? from - what : 0; }

}  // namespace

// The bucket of that number, if it has not left.
breaker_window* rolling_counts::in(std::uint64_t bucket) noexcept {
  return bucket <= newest_ && newest_ - bucket < buckets_.size() ? &at(bucket) : nullptr;
}

void rolling_counts::begun() noexcept {
  sum_.calls++;
  at(newest_).calls++;
}

void rolling_counts::succeeded(std::uint64_t bucket) noexcept {
  breaker_window* const own = in(bucket);
  if (own == nullptr) return;
  count_success(sum_);
  count_success(*own);
}

void rolling_counts::failed(std::uint64_t bucket) noexcept {
  breaker_window* const own = in(bucket);
  if (own == nullptr) return;
  count_failure(sum_);
  count_failure(*own);
}

void rolling_counts::excluded(std::uint64_t bucket) noexcept {
  breaker_window* const own = in(bucket);
  if (own == nullptr) return;
  sum_.neutral++;
  own->neutral++;
}

void rolling_counts::lose_oldest() noexcept {
  breaker_window& oldest = at(newest_ + 1);
  std::uint64_t successes_after = 0;
  std::uint64_t failures_after = 0;
  for (std::uint64_t later = 2; later <= buckets_.size(); later++) {
    successes_after += at(newest_ + later).successes;
    failures_after += at(newest_ + later).failures;
  }
  if (sum_.successes_in_a_row == oldest.successes_in_a_row + successes_after) {
    take(sum_.successes_in_a_row, oldest.successes_in_a_row);
  }
  if (sum_.failures_in_a_row == oldest.failures_in_a_row + failures_after) take(sum_.failures_in_a_row, oldest.failures_in_a_row);
  take(sum_.calls, oldest.calls);
  take(sum_.successes, oldest.successes);
  take(sum_.failures, oldest.failures);
  take(sum_.neutral, oldest.neutral);
  oldest = {};
}

void rolling_counts::roll_to(std::uint64_t bucket) noexcept {
  if (bucket <= newest_) return;
  if (bucket - newest_ >= buckets_.size()) {
    clear();
    newest_ = bucket;
    return;
  }
  for (; newest_ < bucket; newest_++) lose_oldest();
}

void rolling_counts::clear() noexcept {
  sum_ = {};
  newest_ = 0;
  for (breaker_window& each : buckets_) each = {};
}

}  // namespace levity::detail
