#include "resilience/gobreaker_machine.hpp"

#include <limits>
#include <utility>

#include "base/spin_guard.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::int64_t before_all = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t for_ever = std::numeric_limits<std::int64_t>::max();
constexpr std::uint32_t failures_in_a_row_by_default = 5;

const breaker_settings::as_gobreaker& rule_of(const breaker_settings& settings) noexcept {
  return *std::get_if<breaker_settings::as_gobreaker>(&settings.rule);
}

// The interval that is kept: a whole number of buckets, if there are any; zero where nothing is forgotten.
duration interval_of(const breaker_settings::as_gobreaker& rule) noexcept {
  if (rule.interval <= duration::zero()) return {};
  if (rule.bucket_period <= duration::zero()) return rule.interval;
  return (rule.interval + rule.bucket_period - duration(1)) / rule.bucket_period * rule.bucket_period;
}

duration bucket_period_of(const breaker_settings::as_gobreaker& rule) noexcept {
  return rule.interval <= duration::zero() || rule.bucket_period <= duration::zero() ? interval_of(rule) : rule.bucket_period;
}

std::size_t buckets_of(const breaker_settings::as_gobreaker& rule) noexcept {
  const duration interval = interval_of(rule);
  return interval == duration::zero() ? 1 : static_cast<std::size_t>(interval / bucket_period_of(rule));
}

bool trips(const breaker_settings::as_gobreaker& rule, const breaker_window& counts) {
  return rule.trips ? rule.trips(counts) : counts.failures_in_a_row > failures_in_a_row_by_default;
}

}  // namespace

gobreaker_machine::gobreaker_machine(breaker_settings given)
    : breaker_machine(std::move(given)),
      requests_max_(rule_of(settings()).requests_max == 0 ? 1 : rule_of(settings()).requests_max),
      interval_(interval_of(rule_of(settings()))),
      bucket_period_(bucket_period_of(rule_of(settings()))),
      timeout_(rule_of(settings()).timeout <= duration::zero() ? duration(std::chrono::seconds(60)) : rule_of(settings()).timeout),
      refuses_until_ns_(before_all),
      counts_(buckets_of(rule_of(settings()))) {}

void gobreaker_machine::begin_if_first(time_point now) noexcept {
  if (has_begun_) return;
  has_begun_ = true;
  begin_generation(now);
}

void gobreaker_machine::catch_up(time_point now, change& made) noexcept {
  begin_if_first(now);
  if (state_ == breaker_state::closed) {
    if (expires_ && expires_at_ < now) {
      begin_generation(now);
    } else if (counts_.rolls() && now > began_) {
      counts_.roll_to(static_cast<std::uint64_t>((now - began_) / bucket_period_));
    }
  } else if (state_ == breaker_state::open && expires_at_ < now) {
    set(breaker_state::half_open, transition_cause::open_time_over, {}, now, made);
  }
}

void gobreaker_machine::begin_generation(time_point now) noexcept {
  generation_++;
  began_ = now;
  counts_.clear();
  expires_ = state_ == breaker_state::closed && interval_ > duration::zero() && !counts_.rolls();
  if (expires_) expires_at_ = now + interval_;
  if (state_ == breaker_state::open) expires_at_ = now + timeout_;
}

void gobreaker_machine::set(breaker_state to, transition_cause cause, const breaker_window& window, time_point now,
                            change& made) noexcept {
  made = {.made = true, .told = {.from = state_, .to = to, .cause = cause, .at = now, .window = window}, .number = ++changes_};
  state_ = to;
  begin_generation(now);
  std::int64_t refuses_until_ns = before_all;
  if (to == breaker_state::open) {
    made.told.open_for = timeout_;
    refuses_until_ns = expires_at_.time_since_epoch().count();
  } else if (to == breaker_state::forced_open) {
    refuses_until_ns = for_ever;
  }
  refuses_until_ns_.store(refuses_until_ns, std::memory_order_relaxed);
}

std::uint64_t gobreaker_machine::calls_that_count() const noexcept {
  const breaker_window& sum = counts_.sum();
  return sum.calls < sum.neutral ? 0 : sum.calls - sum.neutral;
}

std::expected<breaker_pass, rejection> gobreaker_machine::admit(time_point now) noexcept {
  const std::int64_t until_ns = refuses_until_ns_.load(std::memory_order_relaxed);
  if (now.time_since_epoch().count() <= until_ns) {
    const duration left = until_ns == for_ever ? duration::zero() : time_point(duration(until_ns)) - now;
    return std::unexpected(rejection{rejection_cause::breaker_open, left});
  }
  change made;
  std::expected<breaker_pass, rejection> answer;
  {
    spin_guard inside(lock_);
    catch_up(now, made);
    if (state_ == breaker_state::open || state_ == breaker_state::forced_open) {  // since we looked
      answer = std::unexpected(rejection{rejection_cause::breaker_open});
    } else if (state_ == breaker_state::half_open && calls_that_count() >= requests_max_) {
      answer = std::unexpected(rejection{rejection_cause::probe_under_way});
    } else {
      counts_.begun();
      answer = breaker_pass{.bucket = counts_.bucket(), .generation = generation_};
    }
  }
  tell_if_made(made);
  return answer;
}

void gobreaker_machine::record(breaker_pass pass, verdict said, duration, time_point now) noexcept {
  change made;
  bool asks = false;
  breaker_window counts;
  {
    spin_guard inside(lock_);
    catch_up(now, made);
    if (generation_ != pass.generation) {
      count_stale(said);
    } else if (said == verdict::neutral) {
      counts_.excluded(pass.bucket);
    } else if (said == verdict::success) {
      counts_.succeeded(pass.bucket);
      if (state_ == breaker_state::half_open && counts_.sum().successes_in_a_row >= requests_max_) {
        set(breaker_state::closed, transition_cause::probes_succeeded, counts_.sum(), now, made);
      }
    } else {
      counts_.failed(pass.bucket);
      counts = counts_.sum();
      asks = state_ == breaker_state::closed;
      if (state_ == breaker_state::half_open) set(breaker_state::open, transition_cause::probe_failed, counts, now, made);
    }
  }
  if (asks && trips(rule_of(settings()), counts)) {
    spin_guard inside(lock_);
    if (generation_ == pass.generation && state_ == breaker_state::closed) {
      set(breaker_state::open, transition_cause::too_many_failures, counts, now, made);
    }
  }
  tell_if_made(made);
}

void gobreaker_machine::give_back(breaker_pass pass) noexcept {
  spin_guard inside(lock_);
  if (generation_ == pass.generation) counts_.excluded(pass.bucket);
}

breaker_state gobreaker_machine::state(time_point now) noexcept {
  change made;
  breaker_state seen{};
  {
    spin_guard inside(lock_);
    catch_up(now, made);
    seen = state_;
  }
  tell_if_made(made);
  return seen;
}

void gobreaker_machine::force(breaker_state to, time_point now) noexcept {
  change made;
  {
    spin_guard inside(lock_);
    begin_if_first(now);
    const bool is_forced = state_ == breaker_state::forced_open || state_ == breaker_state::forced_closed;
    if (state_ != to && (to != breaker_state::closed || is_forced)) {
      const auto cause = to == breaker_state::closed ? transition_cause::released : transition_cause::forced;
      const breaker_window window = counts_.sum();
      set(to, cause, window, now, made);
    }
  }
  tell_if_made(made);
}

void gobreaker_machine::show(breaker_look& into) const noexcept {
  spin_guard inside(lock_);
  into.state = state_;
  into.window = counts_.sum();
  if (state_ == breaker_state::open) into.tries_again_at = expires_at_;
  if (state_ == breaker_state::half_open) {
    into.probes_succeeded = static_cast<unsigned>(into.window.successes);
    into.probes_under_way = static_cast<unsigned>(calls_that_count() - into.window.successes);
  }
}

}  // namespace levity::detail
