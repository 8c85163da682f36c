#include "levity/resilience/adaptive_limit.hpp"

#include "base/spin_guard.hpp"
#include "levity/base/assert.hpp"

namespace levity::inline v0 {

adaptive_limit::adaptive_limit(adaptive_limit_options options)
    : mode_(options.mode), limit_(0), estimator_(options.estimator) {
  limit_ = estimator_.limit();
}

adaptive_limit::~adaptive_limit() {
  const detail::spin_guard locked(lock_);
  LEVITY_ASSERT(inside_ == 0, "an adaptive limit outlives its permits; join the calls first");
}

std::expected<adaptive_limit::permit, rejection> adaptive_limit::try_admit(time_point now) noexcept {
  const detail::spin_guard locked(lock_);
  if (inside_ >= limit_) {
    if (mode_ == policy_mode::enforce) {
      refused_++;
      return std::unexpected(rejection{rejection_cause::limit_reached, estimator_.baseline() / limit_});
    }
    would_have_refused_++;
  }
  inside_++;
  admitted_++;
  return permit{*this, inside_, now};
}

void adaptive_limit::end(time_point began, std::uint32_t inside, verdict said, time_point now) noexcept {
  const detail::spin_guard locked(lock_);
  inside_--;
  if (said != verdict::neutral && estimator_.observe(began, now, said, inside)) limit_ = estimator_.limit();
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
