#include "levity/resilience/adaptive_limit.hpp"

#include <algorithm>

#include "base/spin_guard.hpp"
#include "levity/base/assert.hpp"

namespace levity::inline v0 {

namespace {

limit_estimator_options of_mode(limit_estimator_options given, policy_mode mode) noexcept {
  given.observes = mode == policy_mode::observe;
  return given;
}

}  // namespace

adaptive_limit::adaptive_limit(adaptive_limit_options options)
    : mode_(options.mode), limit_(0), estimator_(of_mode(options.estimator, options.mode)) {
  limit_ = estimator_.limit();
}

adaptive_limit::~adaptive_limit() {
  const detail::spin_guard locked(lock_);
  LEVITY_ASSERT(inside_ == 0, "an adaptive limit outlives its permits; join the calls first");
}

std::expected<adaptive_limit::permit, rejection> adaptive_limit::try_admit(time_point now) noexcept {
  const detail::spin_guard locked(lock_);
  last_now_ = std::max(last_now_, now);
  if (within_ < limit_) {
    within_++;
  } else if (mode_ == policy_mode::enforce) {
    refused_++;
    return std::unexpected(rejection{rejection_cause::limit_reached, estimator_.baseline() / limit_});
  } else {
    would_have_refused_++;
  }
  inside_++;
  admitted_++;
  return permit{*this, estimator_.begin(now, inside_)};
}

void adaptive_limit::leave(const limit_estimator::begun& call, verdict said, time_point now) noexcept {
  inside_--;
  if (within_ > 0) within_--;
  if (estimator_.end(call, said, now)) limit_ = estimator_.limit();
}

void adaptive_limit::end(const limit_estimator::begun& call, verdict said, time_point now) noexcept {
  const detail::spin_guard locked(lock_);
  last_now_ = std::max(last_now_, now);
  leave(call, said, now);
}

void adaptive_limit::drop(const limit_estimator::begun& call) noexcept {
  const detail::spin_guard locked(lock_);
  leave(call, verdict::neutral, last_now_);
}

std::uint32_t adaptive_limit::limit() noexcept {
  const detail::spin_guard locked(lock_);
  return limit_;
}

adaptive_limit::figures adaptive_limit::look() noexcept {
  const detail::spin_guard locked(lock_);
  return {.admitted = admitted_,
          .refused = refused_,
          .would_have_refused = would_have_refused_,
          .inside = inside_,
          .limit = limit_,
          .baseline = estimator_.baseline(),
          .recent = estimator_.recent(),
          .moves = estimator_.look()};
}

}  // namespace levity
