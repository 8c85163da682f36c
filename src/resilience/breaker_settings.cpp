#include "levity/resilience/breaker_settings.hpp"

#include "resilience/breaker_word.hpp"

namespace levity::inline v0 {
namespace {

constexpr duration year = std::chrono::hours(24) * 365;
constexpr duration month = std::chrono::hours(24) * 30;

bool is_share(double of) noexcept { return of >= 0.0 && of <= 1.0; }

struct find_problem {
  const char* operator()(const breaker_settings::last_calls& rule) const noexcept {
    if (rule.calls < 1 || rule.calls > 1024) return "last_calls::calls is from 1 to 1,024";
    if (rule.calls_min < 1 || rule.calls_min > rule.calls) return "last_calls::calls_min is from 1 to last_calls::calls";
    if (!is_share(rule.failures_over) || rule.failures_over == 1.0) return "last_calls::failures_over is a share from 0, below 1";
    return nullptr;
  }
  const char* operator()(const breaker_settings::in_a_row& rule) const noexcept {
    return rule.failures < 1 ? "in_a_row::failures is 1 at least" : nullptr;
  }
  const char* operator()(const breaker_settings::call_rate& rule) const noexcept {
    if (rule.window < duration(10) || rule.window > year) return "call_rate::window is from 10 ns to a year";
    if (rule.calls_min < 1) return "call_rate::calls_min is 1 at least";
    if (!is_share(rule.failures_over) || !is_share(rule.slow_over)) {
      return "call_rate::failures_over and slow_over are shares from 0 to 1";
    }
    if (rule.slow_over < 1.0 && rule.slow_from <= duration::zero()) return "call_rate::slow_from is positive where it is looked at";
    return nullptr;
  }
  const char* operator()(const breaker_settings::as_gobreaker& rule) const noexcept {
    if (rule.interval > year || rule.timeout > 100 * year) return "as_gobreaker::interval is a year at most, timeout a hundred";
    if (rule.interval > duration::zero() && rule.bucket_period > duration::zero() && rule.interval / rule.bucket_period > 10'000) {
      return "as_gobreaker::interval has 10,000 bucket_periods at most";
    }
    return nullptr;
  }
};

}  // namespace

breaker_settings breaker_settings::article() { return {}; }

breaker_settings breaker_settings::gobreaker() {
  breaker_settings made;
  made.rule = as_gobreaker{};
  return made;
}

breaker_settings breaker_settings::gobreaker(std::uint32_t requests_min, double failures_over, duration interval) {
  breaker_settings made;
  made.rule = as_gobreaker{.interval = interval, .trips = [=](const breaker_window& counts) {
                             return counts.calls >= requests_min &&
                                    static_cast<double>(counts.failures) / static_cast<double>(counts.calls) > failures_over;
                           }};
  return made;
}

breaker_settings breaker_settings::consecutive(unsigned failures) {
  breaker_settings made;
  made.rule = in_a_row{.failures = failures};
  return made;
}

breaker_settings breaker_settings::rate(duration window, double failures_over, double slow_over, duration slow_from) {
  breaker_settings made;
  made.rule = call_rate{.window = window, .failures_over = failures_over, .slow_over = slow_over, .slow_from = slow_from};
  return made;
}

const char* breaker_settings::problem() const noexcept {
  if (open_min <= duration::zero() || open_min > open_max || open_max > year) {
    return "open_min is positive, and at most open_max, which is a year at most";
  }
  if (!(jitter >= 0.0 && jitter <= 0.9)) return "jitter is a share from 0 to 0.9";
  if (probes_max < 1 || probes_max > detail::breaker_word::probes_max) return "probes_max is from 1 to 63";
  if (successes_needed < 1 || successes_needed > detail::breaker_word::probes_max) return "successes_needed is from 1 to 63";
  if (unanswered_max < duration::zero() || unanswered_max > month) return "unanswered_max is from 0, which is for ever, to 30 days";
  return std::visit(find_problem{}, rule);
}

}  // namespace levity
