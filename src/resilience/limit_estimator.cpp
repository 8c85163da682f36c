#include "levity/resilience/limit_estimator.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace levity::inline v0 {
namespace {

constexpr double helped_from = 0.3;         // elasticity
constexpr double fewer_failures = 0.7;      // of the share before: that helped, too
constexpr double in_use_from = 0.75;        // of the limit
constexpr std::uint64_t calls_least = 20;   // below, a window says nothing

double within(double least, double value, double most) noexcept { return value >= least ? std::min(value, most) : least; }

limit_estimator_options clamped(limit_estimator_options given) noexcept {
  given.limit_min = std::max(given.limit_min, 1U);
  given.limit_max = std::max(given.limit_max, given.limit_min);
  given.initial = std::clamp(given.initial, given.limit_min, given.limit_max);
  given.quantile = within(0.01, given.quantile, 0.999);
  given.grow = within(0, given.grow, 100);
  given.fall = within(given.grow, given.fall, 1000);
  given.failures = within(0, given.failures, 1);
  given.window_min = std::max(given.window_min, duration{1});
  given.window_max = std::max(given.window_max, given.window_min);
  given.trial_every = std::max(given.trial_every, given.window_max);
  return given;
}

}  // namespace

// Of times from a microsecond to ten minutes, to 1 %.
limit_estimator::limit_estimator(limit_estimator_options options)
    : options_(clamped(options)),
      limit_(options_.initial),
      times_(histogram_range{.lowest = 1024, .highest = 600'000'000'000, .digits = 2}) {}

void limit_estimator::begin_window(time_point from) noexcept {
  window_from_ = from;
  times_.clear();
  calls_ = failed_ = 0;
  inflight_max_ = 0;
}

bool limit_estimator::set_limit(double to, time_point now) noexcept {
  const unsigned before = limit();
  limit_ = std::clamp(to, static_cast<double>(options_.limit_min), static_cast<double>(options_.limit_max));
  if (limit() == before) return false;
  changed_at_ = now;
  window_from_ = now + std::min(recent(), options_.window_max);
  return true;
}

bool limit_estimator::observe(time_point start, time_point end, verdict said, unsigned inflight) noexcept {
  if (said == verdict::neutral) return false;
  if (!std::exchange(begun_, true)) begin_window(start);
  if (start < changed_at_ || end < window_from_) return false;
  const auto took_ns = static_cast<double>(std::max<std::int64_t>((end - start).count(), 1));
  inflight_max_ = std::max(inflight_max_, inflight);
  if (said == verdict::success) {
    calls_++;
  } else {
    failed_++;
  }
  // How quickly something fails says nothing of how quickly it would have been done; that it took long does.
  if (said == verdict::success || took_ns > baseline_ns_) times_.record(static_cast<std::uint64_t>(took_ns));
  const duration since = end - window_from_;
  const std::uint64_t seen = calls_ + failed_;
  if (since < options_.window_min || seen < calls_least) return false;
  if (seen < options_.window_calls && since < options_.window_max) return false;
  return end_window(end);
}

bool limit_estimator::end_window(time_point now) noexcept {
  figures_.windows++;
  const unsigned before = limit();
  const double used = inflight_max_;
  const bool in_use = used >= in_use_from * before;
  const double failed = static_cast<double>(failed_) / static_cast<double>(calls_ + failed_);
  const bool timed = times_.count() >= calls_least;
  if (timed) recent_ns_ = static_cast<double>(times_.value_at(options_.quantile));
  const double slack = timed ? 1 / std::sqrt(static_cast<double>(times_.count())) : 1;
  begin_window(now);
  if (baseline_ns_ == 0) {
    if (!timed) return false;
    baseline_ns_ = recent_ns_;
    next_trial_ = now;
  }
  if (trial_ != trial::none) {
    end_trial(used, in_use, failed, slack, now);
    return limit() != before;
  }
  usual_failures_ = std::min(usual_failures_, failed);
  if (timed) follow(in_use, slack);
  if (!in_use) return false;

  const bool fails = failed > usual_failures_ + options_.failures + slack / 2;
  const bool slow = timed && recent_ns_ > baseline_ns_ * (1 + options_.fall + 3 * slack);
  if (fails || slow || now >= next_trial_) {
    failed_before_ = failed;
    // A baseline that no trial has measured for long is not to say where waiting begins.
    const trial of_time = now >= next_trial_ ? trial::of_baseline : trial::of_times;
    begin_trial(fails ? trial::of_failures : of_time, used, now);
  } else if (timed && recent_ns_ <= baseline_ns_ * (1 + options_.grow + slack / 2)) {
    const bool grows = set_limit(limit_ + std::max(std::sqrt(limit_), limit_ / 8), now);
    figures_.grown += grows ? 1 : 0;
  }
  return limit() != before;
}

// Where calls do not wait for each other, as far as we can tell, what they take is the baseline: it is followed both ways, and more
// willingly downwards. At the least limit nothing else can be learned.
void limit_estimator::follow(bool in_use, double slack) noexcept {
  const double off = recent_ns_ - baseline_ns_;
  if (off < -3 * slack * baseline_ns_ || limit() == options_.limit_min) {
    baseline_ns_ += 0.5 * off;
  } else if (off < 0 || !in_use) {
    baseline_ns_ += 0.1 * off;
  } else if (off < options_.grow * baseline_ns_) {
    baseline_ns_ += 0.05 * off;
  }
}

void limit_estimator::begin_trial(trial why, double used, time_point now) noexcept {
  if (why == trial::of_baseline) next_trial_ = now + options_.trial_every;
  higher_ = {limit_, std::min(used, std::floor(limit_)), recent_ns_};
  if (!set_limit(std::floor(limit_ / 2), now)) {  // it is the least already
    trial_ = trial::none;
    return;
  }
  trial_ = why;
  figures_.trials++;
}

void limit_estimator::end_trial(double used, bool in_use, double failed, double slack, time_point now) noexcept {
  const trial why = std::exchange(trial_, trial::none);
  const level lower{limit_, std::min(used, std::floor(limit_)), recent_ns_};
  const level began = std::exchange(began_, level{});
  const double less = std::log(higher_.used / lower.used);
  if (!in_use || less <= 0) {  // nobody wants as much any more: nothing is learned
    set_limit(higher_.limit, now);
    return;
  }
  const bool fewer = why == trial::of_failures && failed < fewer_failures * failed_before_;
  const double elasticity = std::log(higher_.took_ns / lower.took_ns) / less;
  if (fewer || elasticity >= helped_from) {
    figures_.trials_helped++;
    const bool as_it_was = lower.took_ns <= baseline_ns_ * (1 + options_.fall + slack);
    baseline_ns_ = std::min(baseline_ns_, lower.took_ns);
    failed_before_ = failed;
    if (why == trial::of_times && as_it_was) {
      settle_between(lower, higher_, now);
    } else if (!fewer || failed > usual_failures_ + options_.failures) {
      began_ = higher_;
      begin_trial(why, used, now);
    }
    return;
  }
  next_trial_ = now + options_.trial_every;
  // A new time where it is another one, else a second opinion.
  const double ratio = lower.took_ns / baseline_ns_;
  baseline_ns_ = ratio > 1.25 || ratio < 0.8 ? lower.took_ns : (baseline_ns_ + lower.took_ns) / 2;
  usual_failures_ = failed;
  if (began.limit > 0) {
    settle_between(higher_, began, now);
  } else {
    set_limit(higher_.limit, now);
  }
}

// Where calls wait for each other their number by their time is what the server does (Little), whatever the number; where they
// do not, their time is the baseline. The limit belongs where one turns into the other.
void limit_estimator::settle_between(const level& lower, const level& higher, time_point now) noexcept {
  const double knee = higher.used * baseline_ns_ / higher.took_ns;
  set_limit(std::clamp(std::floor(knee * (1 + options_.grow)), lower.limit, std::max(higher.limit, lower.limit)), now);
}

}  // namespace levity
