#include "levity/service/canary_judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "levity/service/significance.hpp"

namespace levity::inline v0::service {
namespace {

canary_counts since(const canary_counts& now, const canary_counts& then) noexcept {
  // Counters of many threads are read one by one: where one seems to go back it has not moved.
  const auto grown = [](std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; };
  canary_counts grew;
  grew.requests = grown(now.requests, then.requests);
  grew.errors = std::min(grown(now.errors, then.errors), grew.requests);
  for (std::size_t bin = 0; bin < latency_bins::size; bin++) {
    grew.latency.counts[bin] = grown(now.latency.counts[bin], then.latency.counts[bin]);
  }
  return grew;
}

double share(std::uint64_t part, std::uint64_t whole) noexcept {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// How many of each side are among the slowest of both together: those above the bin in which the 99 % end; with that bin where
// there would be less than half of a hundredth without it, as when all that hang are in one.
std::pair<std::uint64_t, std::uint64_t> slowest_of(const latency_bins& a, const latency_bins& b) noexcept {
  const double all = static_cast<double>(a.total() + b.total());
  std::uint64_t above_a = 0, above_b = 0;
  for (std::size_t bin = latency_bins::size; bin-- > 0;) {
    const auto without = static_cast<double>(above_a + above_b);
    const bool is_last = without + static_cast<double>(a.counts[bin] + b.counts[bin]) > all / 100;
    if (is_last && without >= all / 200) break;
    above_a += a.counts[bin];
    above_b += b.counts[bin];
    if (is_last) break;
  }
  return {above_a, above_b};
}

}  // namespace

std::string_view to_string(judged what) noexcept {
  switch (what) {
    case judged::too_few: return "too_few";
    case judged::healthy: return "healthy";
    case judged::advanced: return "advanced";
    case judged::finished: return "finished";
    case judged::rolled_back: return "rolled_back";
    case judged::ended: return "ended";
  }
  return "unknown";
}

std::string_view to_string(canary_fault which) noexcept {
  switch (which) {
    case canary_fault::none: return "none";
    case canary_fault::errors: return "errors";
    case canary_fault::latency: return "latency";
    case canary_fault::tail: return "tail";
  }
  return "unknown";
}

std::string canary_ruling::message() const {
  switch (what) {
    case judged::too_few: return "too few calls of the canary or of stable have ended to compare them";
    case judged::healthy: return fmt::format("the canary is no worse than stable (p = {:.2g}, bound {:.2g})", p, p_bound);
    case judged::advanced: return fmt::format("the canary is no worse than stable and gets {:g} % from now on", percent);
    case judged::finished: return "the canary is no worse than stable and gets everything: make it the stable version";
    case judged::ended: return "the canary has been judged already; restart() judges anew";
    case judged::rolled_back: break;
  }
  const std::string chance = fmt::format("by chance with p = {:.2g}, bound {:.2g}", p, p_bound);
  if (fault == canary_fault::errors) {
    return fmt::format("the canary is rolled back: {} of its {} calls failed, {} of {} of stable's ({})", canary.errors,
                       canary.requests, stable.errors, stable.requests, chance);
  }
  const double quantile = fault == canary_fault::tail ? 0.99 : 0.5;
  const auto ms = [&](const canary_counts& of) {
    return std::chrono::duration<double, std::milli>(of.latency.value_at(quantile)).count();
  };
  return fmt::format("the canary is rolled back: it is slower, {} {:.3g} ms, stable's {:.3g} ms ({})",
                     fault == canary_fault::tail ? "p99" : "median", ms(canary), ms(stable), chance);
}

canary_judge::canary_judge(judge_options options, time_point now) : options_(std::move(options)) {
  options_.p_max = std::clamp(options_.p_max, 0.0, 1.0);
  options_.samples_min = std::max<std::uint64_t>(options_.samples_min, 1);
  double least = 0;
  std::erase_if(options_.ramp_percent, [&](double& percent) {
    percent = std::min(percent, 100.0);
    const bool rises = percent > least;
    least = std::max(least, percent);
    return !rises;
  });
  restart(now);
}

void canary_judge::restart(time_point now) noexcept {
  state_ = state::watching;
  begun_ = false;
  step_ = 0;
  step_began_ = window_began_ = now;
}

double canary_judge::percent() const noexcept {
  if (state_ == state::rolled_back) return 0;
  if (options_.ramp_percent.empty()) return -1;
  return options_.ramp_percent[step_];
}

void canary_judge::begin_step(const both& so_far, time_point now) noexcept {
  step_base_ = window_base_ = so_far;
  step_began_ = window_began_ = now;
  windows_ = doublings_ = 0;
  next_cumulative_ = options_.samples_min * 2;
}

// True: the canary is worse. Keeps in `ruling` the test that came nearest to `bound`, which is that of the whole look.
bool canary_judge::test(const both& counts, double bound, canary_ruling& ruling) const noexcept {
  const canary_counts& mine = counts.canary;
  const canary_counts& theirs = counts.stable;
  const double each = bound / 3;
  const auto saw = [&](canary_fault which, double p, bool matters) {
    if (ruling.p_bound == 0 || p / each < ruling.p / ruling.p_bound) {
      ruling.p = p;
      ruling.p_bound = each;
      ruling.canary = mine;
      ruling.stable = theirs;
    }
    if (p >= each || !matters) return false;
    ruling.fault = which;
    ruling.p = p;
    ruling.p_bound = each;
    ruling.canary = mine;
    ruling.stable = theirs;
    return true;
  };
  const double margin = share(mine.errors, mine.requests) - share(theirs.errors, theirs.requests);
  if (saw(canary_fault::errors, fisher_greater(mine.errors, mine.requests, theirs.errors, theirs.requests),
          margin >= options_.error_rate_margin)) {
    return true;
  }
  const rank_comparison ranks = mann_whitney_greater(mine.latency.counts, theirs.latency.counts);
  if (saw(canary_fault::latency, ranks.p, ranks.greater >= options_.slower_min)) return true;
  const std::uint64_t timed = mine.latency.total(), others_timed = theirs.latency.total();
  const auto [slow, others_slow] = slowest_of(mine.latency, theirs.latency);
  return saw(canary_fault::tail, fisher_greater(slow, timed, others_slow, others_timed),
             share(slow, timed) >= options_.tail_factor_min * share(slow + others_slow, timed + others_timed));
}

canary_ruling canary_judge::look(const canary_counts& canary, const canary_counts& stable, time_point now) {
  canary_ruling ruling;
  ruling.percent = std::max(percent(), 0.0);
  if (state_ != state::watching) {
    ruling.what = judged::ended;
    return ruling;
  }
  const both so_far{canary, stable};
  if (!begun_) {
    begun_ = true;
    begin_step(so_far, now);
    return ruling;
  }
  const double steps = static_cast<double>(std::max<std::size_t>(options_.ramp_percent.size(), 1));
  const double half = options_.p_max / steps / 2;
  const auto enough = [&](const both& counts, std::uint64_t least) {
    return counts.canary.requests >= least && counts.stable.requests >= options_.samples_min;
  };
  bool worse = false;
  const both window{since(canary, window_base_.canary), since(stable, window_base_.stable)};
  if (now - window_began_ >= options_.window_min && enough(window, options_.samples_min)) {
    windows_++;
    const double k = static_cast<double>(windows_);
    ruling.what = judged::healthy;
    worse = test(window, half * 6 / (9.869604401089358 * k * k), ruling);
    window_base_ = so_far;
    window_began_ = now;
  }
  const both step{since(canary, step_base_.canary), since(stable, step_base_.stable)};
  if (!worse && enough(step, next_cumulative_)) {
    doublings_++;
    next_cumulative_ = step.canary.requests * 2;
    ruling.what = judged::healthy;
    double bound = half;
    for (std::uint64_t j = 0; j < doublings_; j++) bound /= 2;
    worse = test(step, bound, ruling);
  }
  if (worse) {
    state_ = state::rolled_back;
    ruling.what = judged::rolled_back;
    ruling.percent = 0;
    return ruling;
  }
  const bool more = step_ + 1 < options_.ramp_percent.size();
  if (more && windows_ > 0 && now - step_began_ >= options_.step_min) {
    step_++;
    begin_step(so_far, now);
    ruling.percent = percent();
    ruling.what = judged::advanced;
    if (ruling.percent >= 100) {  // nobody is left to compare it with
      ruling.what = judged::finished;
      state_ = state::finished;
    }
  }
  return ruling;
}

}  // namespace levity::service
