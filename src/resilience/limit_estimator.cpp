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
constexpr double patience = 8;              // so many times as long as calls take it waits for them
constexpr int slow_windows = 20;            // observing: over how many of the last the slope is known
constexpr int trial_every_recent = 20;      // R between two trials of the baseline, at least

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
  if (++number_ == 0) number_ = 1;
  open_ = true;
  window_from_ = from;
  times_.clear();
  members_ = calls_ = failed_ = 0;
  inflight_max_ = 0;
  spread_ = {};
}

bool limit_estimator::set_limit(double to, time_point now) noexcept {
  const unsigned before = limit();
  limit_ = std::clamp(to, static_cast<double>(options_.limit_min), static_cast<double>(options_.limit_max));
  if (limit() == before) return false;
  // Lowered, nobody begins before fewer are inside; raised, it takes a while until those that begin meet as many.
  begin_window(limit() < before || options_.observes ? now : now + recent());
  return true;
}

limit_estimator::begun limit_estimator::begin(time_point now, unsigned inflight) noexcept {
  if (number_ == 0) begin_window(now);
  begun call{now, 0, inflight};
  if (open_ && now >= window_from_) {
    call.window = number_;
    members_++;
    inflight_max_ = std::max(inflight_max_, inflight);
    close_window(now);
  }
  return call;
}

// Once there are enough.
void limit_estimator::close_window(time_point now) noexcept {
  const duration since = now - window_from_;
  if (since < options_.window_min || members_ < calls_least) return;
  if (members_ < options_.window_calls && since < options_.window_max) return;
  open_ = false;
  window_to_ = judged_from_ = now;
}

bool limit_estimator::end(const begun& call, verdict said, time_point now) noexcept {
  if (call.window != number_ || call.window == 0) return !open_ && knows_times(now) && end_window(now);
  if (said == verdict::neutral) {
    members_--;
    if (members_ < calls_least) open_ = true;
  } else {
    const bool failed = said == verdict::failure;
    (failed ? failed_ : calls_)++;
    const auto took_ns = static_cast<double>(std::max<std::int64_t>((now - call.at).count(), 1));
    // How quickly something fails says nothing of how quickly it would have been done; that it took long does.
    if (!failed || took_ns > baseline_ns_) times_.record(static_cast<std::uint64_t>(took_ns));
    if (options_.observes) note_spread(call, took_ns, failed);
  }
  if (open_) close_window(now);
  return !open_ && knows_times(now) && end_window(now);
}

// Whether R is known: those that are still under way have been for longer, since the window is closed at least.
bool limit_estimator::knows_times(time_point now) noexcept {
  const std::uint64_t left = members_ - calls_ - failed_;
  if (left == 0) {
    window_ns_ = times_.count() == 0 ? 0 : static_cast<double>(times_.value_at(options_.quantile));
    return true;
  }
  if (now < judged_from_) return false;
  const duration since = now - window_to_;
  judged_from_ = now + std::max<duration>(since / 8, 100us);  // to look costs some hundred ns
  const auto ended = static_cast<double>(times_.count());
  const double rank = options_.quantile * (ended + static_cast<double>(left));
  if (rank <= ended) {
    window_ns_ = static_cast<double>(times_.value_at(rank / ended));
    const duration took{static_cast<std::int64_t>(window_ns_)};
    if (took <= since) return true;
    judged_from_ = std::min(judged_from_, window_to_ + took);
  }
  double longest = std::max(baseline_ns_, recent_ns_);
  if (longest == 0 && times_.count() >= left) longest = static_cast<double>(times_.value_at(0.5));
  if (longest == 0 || static_cast<double>(since.count()) < patience * longest) return false;
  window_ns_ = static_cast<double>(since.count());
  return true;
}

bool limit_estimator::end_window(time_point now) noexcept {
  figures_.windows++;
  const unsigned before = limit();
  seen_window seen;
  seen.used = inflight_max_;
  seen.in_use = seen.used >= in_use_from * before;
  seen.failed = calls_ + failed_ == 0 ? 1 : static_cast<double>(failed_) / static_cast<double>(calls_ + failed_);
  const std::uint64_t times = times_.count() + members_ - calls_ - failed_;
  seen.timed = times >= calls_least;
  if (seen.timed) {
    recent_ns_ = window_ns_;
    seen.slack = 1 / std::sqrt(static_cast<double>(times));
  }
  const spread of_window = spread_;
  if (options_.observes && spread_.n > 0) mean_ns_ = times_.mean();
  begin_window(now);
  if (baseline_ns_ == 0) {
    if (!seen.timed) return false;
    baseline_ns_ = recent_ns_;
    baseline_mean_ns_ = mean_ns_;
    next_trial_ = now;
  }
  if (trial_ != trial::none) {
    end_trial(seen, now);
    return limit() != before;
  }
  usual_failures_ = std::min(usual_failures_, seen.failed);
  if (seen.timed) follow(seen.in_use, seen.slack);
  const bool fails = seen.failed > usual_failures_ + options_.failures + seen.slack / 2;
  const bool slow = seen.timed && recent_ns_ > baseline_ns_ * (1 + options_.fall + 3 * seen.slack);
  if (!slow) dev_ = {};
  if (!seen.in_use) return false;

  if (options_.observes && (fails || slow)) {
    settle_unseen(seen, of_window, fails, slow, now);
  } else if (fails || slow || (now >= next_trial_ && !options_.observes)) {
    failed_before_ = seen.failed;
    // A baseline that no trial has measured for long is not to say where waiting begins.
    const trial of_time = now >= next_trial_ ? trial::of_baseline : trial::of_times;
    begin_trial(fails ? trial::of_failures : of_time, seen.used, now);
  } else if (seen.timed && recent_ns_ <= baseline_ns_ * (1 + options_.grow + seen.slack / 2)) {
    const bool grows = set_limit(limit_ + std::max(std::sqrt(limit_), limit_ / 8), now);
    figures_.grown += grows ? 1 : 0;
  }
  return limit() != before;
}

double limit_estimator::spread::x_deviation() const noexcept {
  const double all = n_failed + n_well;
  const double mean = (x_failed + x_well) / all;
  return std::sqrt(std::max(xx_all / all - mean * mean, 0.0));
}

void limit_estimator::note_spread(const begun& call, double took_ns, bool failed) noexcept {
  const double x = std::log(std::max(call.inflight, 1U));
  (failed ? spread_.n_failed : spread_.n_well)++;
  (failed ? spread_.x_failed : spread_.x_well) += x;
  spread_.xx_all += x * x;
  if (failed && took_ns <= baseline_ns_) return;
  const double y = std::log(took_ns);
  spread_.n++;
  spread_.x += x;
  spread_.y += y;
  spread_.xx += x * x;
  spread_.xy += x * y;
  spread_.yy += y * y;
  spread_.inflight += call.inflight;
}

// What a trial would show, from how the calls that nobody held back differ.
void limit_estimator::settle_unseen(const seen_window& seen, const spread& of, bool fails, bool slow, time_point now) noexcept {
  const auto lower = [&](double to) {
    figures_.trials_helped++;
    set_limit(std::min(limit_, to), now);
  };
  if (fails && of.n_failed > 0 && of.n_well > 0) {
    const double beside_failed = of.x_failed / of.n_failed;
    const double beside_well = of.x_well / of.n_well;
    if (beside_failed - beside_well > 3 * of.x_deviation() * std::sqrt(1 / of.n_failed + 1 / of.n_well)) {
      return lower(std::exp(beside_well));
    }
    usual_failures_ = seen.failed;
  }
  if (!slow || of.n < 2) return;
  // Each call against the mean of its own window: what changes from one to the next, the server for one, does not go in. In the
  // first that is slow it may have changed.
  if (dev_.windows++ == 0) return;
  dev_.n += of.n - 1;
  dev_.xx += of.xx - of.x * of.x / of.n;
  dev_.xy += of.xy - of.x * of.y / of.n;
  dev_.yy += of.yy - of.y * of.y / of.n;
  if (dev_.xx <= 0 || dev_.windows < 3) return;
  if (dev_.windows > slow_windows) {  // what was so at first need not be so for ever
    for (double* each : {&dev_.n, &dev_.xx, &dev_.xy, &dev_.yy}) *each /= 2;
    dev_.windows = slow_windows / 2;
  }
  const double slope = dev_.xy / dev_.xx;
  const double error = std::sqrt(std::max(dev_.yy - slope * dev_.xy, 0.0) / dev_.n / dev_.xx);
  if (slope - 2 * error >= helped_from) {
    lower(std::ceil(of.inflight / of.n * baseline_mean_ns_ / mean_ns_ * (1 + options_.grow)));
  } else if (slope + error < helped_from) {
    baseline_ns_ = recent_ns_;
    baseline_mean_ns_ = mean_ns_;
    dev_ = {};
  }
}

// Where calls do not wait for each other, as far as we can tell, what they take is the baseline: it is followed both ways, and more
// willingly downwards. At the least limit nothing else can be learned.
void limit_estimator::follow(bool in_use, double slack) noexcept {
  const double off = recent_ns_ - baseline_ns_;
  double share = 0;
  if (off < -3 * slack * baseline_ns_ || limit() == options_.limit_min) {
    share = 0.5;
  } else if (off < 0 || !in_use) {
    share = 0.1;
  } else if (off < options_.grow * baseline_ns_) {
    share = 0.05;
  }
  baseline_ns_ += share * off;
  baseline_mean_ns_ += share * (mean_ns_ - baseline_mean_ns_);
}

// Seldom enough that what a trial costs, some R at half of the limit, stays a small part.
void limit_estimator::plan_trial(time_point now) noexcept {
  next_trial_ = now + std::max(options_.trial_every, trial_every_recent * recent());
}

void limit_estimator::begin_trial(trial why, double used, time_point now) noexcept {
  if (why == trial::of_baseline) plan_trial(now);
  higher_ = {limit_, std::min(used, std::floor(limit_)), recent_ns_};
  if (!set_limit(std::floor(limit_ / 2), now)) {  // it is the least already
    trial_ = trial::none;
    return;
  }
  trial_ = why;
  figures_.trials++;
}

void limit_estimator::end_trial(const seen_window& seen, time_point now) noexcept {
  const trial why = std::exchange(trial_, trial::none);
  const level lower{limit_, std::min(seen.used, std::floor(limit_)), recent_ns_};
  const level began = std::exchange(began_, level{});
  const double less = std::log(higher_.used / lower.used);
  if (!seen.in_use || less <= 0) {  // nobody wants as much any more: nothing is learned
    set_limit(higher_.limit, now);
    return;
  }
  const bool fewer = why == trial::of_failures && seen.failed < fewer_failures * failed_before_;
  const double elasticity = std::log(higher_.took_ns / lower.took_ns) / less;
  if (fewer || elasticity >= helped_from) {
    figures_.trials_helped++;
    const bool as_it_was = lower.took_ns <= baseline_ns_ * (1 + options_.fall + seen.slack);
    baseline_ns_ = std::min(baseline_ns_, lower.took_ns);
    failed_before_ = seen.failed;
    if (why == trial::of_times && as_it_was) {
      settle_between(lower, higher_, now);
    } else if (!fewer || seen.failed > usual_failures_ + options_.failures) {
      began_ = higher_;
      begin_trial(why, seen.used, now);
    }
    return;
  }
  plan_trial(now);
  // A new time where it is another one, else a second opinion.
  const double ratio = lower.took_ns / baseline_ns_;
  baseline_ns_ = ratio > 1.25 || ratio < 0.8 ? lower.took_ns : (baseline_ns_ + lower.took_ns) / 2;
  usual_failures_ = seen.failed;
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
