#include "levity/resilience/retry_policy.hpp"

#include <algorithm>
#include <utility>

#include "levity/base/random_seed.hpp"
#include "levity/base/rng.hpp"

namespace levity::inline v0 {
namespace {

retry_policy::options clamped(retry_policy::options how) noexcept {
  how.repetitions_max = std::max(how.repetitions_max, 0);
  how.base = std::max(how.base, duration::zero());
  how.cap = std::max(how.cap, duration::zero());
  how.retry_after_max = std::max(how.retry_after_max, duration::zero());
  return how;
}

void count(atomic<std::uint64_t>& in) noexcept { in.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

retry_policy::retry_policy(const options& how) : how_(clamped(how)), seed_(how.seed ? *how.seed : random_seed()) {}

duration retry_policy::backoff_max(int number) const noexcept {
  duration most = std::min(how_.base, how_.cap);
  for (; number > 0 && most < how_.cap && most > duration::zero(); number--) {
    most = most > how_.cap / 2 ? how_.cap : most * 2;
  }
  return most;
}

duration retry_policy::draw_backoff(int number) noexcept {
  // A generator for each draw: threads share no state but the number.
  rng chance{seed_ + draws_.fetch_add(1, std::memory_order_relaxed) * 0x9e37'79b9'7f4a'7c15};
  return duration{static_cast<duration::rep>(chance.below(static_cast<std::uint64_t>(backoff_max(number).count()) + 1))};
}

std::expected<duration, retry_stop> retry_policy::decide(int number, const judgement& of, time_point now,
                                                         std::optional<time_point> due, retry_budget& budget) noexcept {
  if (!of.may_repeat) return std::unexpected(retry_stop::final);
  if (number >= how_.repetitions_max) {
    count(repetitions_used_);
    return std::unexpected(retry_stop::repetitions_used);
  }
  if (of.retry_after > how_.retry_after_max) {
    count(asked_to_wait_);
    return std::unexpected(retry_stop::asked_to_wait);
  }
  // On top of what was asked for: all who were told the same would come back at the same moment.
  const duration wait = std::max(of.retry_after, duration::zero()) + draw_backoff(number);
  if (due && wait >= *due - now) {
    count(past_deadline_);
    return std::unexpected(retry_stop::past_deadline);
  }
  if (!budget.try_spend(now)) {
    count(budget_spent_);
    return std::unexpected(retry_stop::budget_spent);
  }
  count(repeated_);
  return wait;
}

retry_policy::counts retry_policy::counted() const noexcept {
  return {repeated_.load(std::memory_order_relaxed), repetitions_used_.load(std::memory_order_relaxed),
          past_deadline_.load(std::memory_order_relaxed), asked_to_wait_.load(std::memory_order_relaxed),
          budget_spent_.load(std::memory_order_relaxed)};
}

}  // namespace levity
