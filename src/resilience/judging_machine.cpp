#include "resilience/judging_machine.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/spin_guard.hpp"
#include "levity/base/rng.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::uint8_t never = 255;
constexpr unsigned closed_unit_bits = 20;
constexpr std::uint64_t never_calm = ~std::uint64_t{0};

std::unexpected<rejection> refuse(rejection_cause cause, duration retry_after = {}) noexcept {
  return std::unexpected(rejection{cause, retry_after});
}

bool is_over(double share, std::uint64_t part, std::uint64_t all) noexcept {
  return static_cast<double>(part) / static_cast<double>(all) > share;
}

}  // namespace

judging_machine::judging_machine(breaker_settings given)
    : breaker_machine(std::move(given), breaker_word::closed(0).bits()) {
  if (const auto* last = std::get_if<breaker_settings::last_calls>(&settings().rule)) {
    if (last->calls > breaker_word::calls_max) {
      kind_ = kind::elsewhere;
      calm_ = never_calm;
      window_.emplace<call_ring>(last->calls);
      return;
    }
    kind_ = kind::last;
    calls_max_ = static_cast<std::uint8_t>(last->calls);
    calm_ = breaker_word::calm(calls_max_).bits();
    opens_at_.fill(never);
    for (unsigned calls = last->calls_min; calls <= last->calls; calls++) {
      unsigned failures = 0;
      while (!is_over(last->failures_over, failures, calls)) failures++;
      opens_at_[calls] = static_cast<std::uint8_t>(failures);
    }
  } else if (const auto* row = std::get_if<breaker_settings::in_a_row>(&settings().rule)) {
    kind_ = kind::row;
    calm_ = breaker_word::closed(0).bits();
    row_ = row->failures;
  } else if (const auto* rate = std::get_if<breaker_settings::call_rate>(&settings().rule)) {
    kind_ = kind::elsewhere;
    calm_ = never_calm;
    heeds_slow_ = rate->slow_over < 1.0;
    slow_from_ = rate->slow_from;
    window_.emplace<rate_window>(rate->window);
  }
}

std::expected<breaker_pass, rejection> judging_machine::admit(time_point now) noexcept {
  breaker_word seen(word_.load(std::memory_order_relaxed));
  for (;;) {
    switch (seen.state()) {
      case breaker_state::closed:
      case breaker_state::forced_closed: return breaker_pass{.generation = seen.generation()};
      case breaker_state::forced_open: return refuse(rejection_cause::breaker_open);
      case breaker_state::open: {
        if (now < seen.until()) return refuse(rejection_cause::breaker_open, seen.until() - now);
        const auto next = breaker_word::half_open(seen.next_generation(), seen.openings(), 1, 0, now);
        if (change(seen, next, {.cause = transition_cause::open_time_over, .at = now})) {
          return breaker_pass{.generation = next.generation()};
        }
        break;
      }
      case breaker_state::half_open: {
        if (seen.under_way() < settings().probes_max) {
          const auto next =
              breaker_word::half_open(seen.generation(), seen.openings(), seen.under_way() + 1, seen.succeeded(), now);
          std::uint64_t bits = seen.bits();
          if (word_.compare_exchange_weak(bits, next.bits(), std::memory_order_relaxed)) {
            return breaker_pass{.generation = next.generation()};
          }
          seen = breaker_word(bits);
        } else if (!seen.is_older(settings().unanswered_max, now)) {
          return refuse(rejection_cause::probe_under_way);
        } else {
          static_cast<void>(fall_back(seen, now));
        }
        break;
      }
    }
  }
}

void judging_machine::record(breaker_pass pass, verdict said, duration took, time_point now) noexcept {
  const bool slow = heeds_slow_ && took >= slow_from_;
  const bool failed = said == verdict::failure;
  breaker_word seen(word_.load(std::memory_order_relaxed));
  for (;;) {
    if (seen.generation() != pass.generation) return count_stale(said);
    switch (seen.state()) {
      case breaker_state::closed:
        if (said == verdict::neutral) return;
        if (kind_ == kind::elsewhere) return record_elsewhere(pass, failed, slow, now);
        if (record_closed(seen, failed, now)) return;
        break;
      case breaker_state::half_open:
        // A probe that took too long would open it again at once, if it closed.
        if (record_probe(seen, slow && said == verdict::success ? verdict::failure : said, now)) return;
        break;
      case breaker_state::open:
      case breaker_state::forced_closed:
      case breaker_state::forced_open: return;  // not judged
    }
  }
}

void judging_machine::give_back(breaker_pass pass) noexcept { record(pass, verdict::neutral, {}, {}); }

bool judging_machine::record_closed(breaker_word& seen, bool failed, time_point now) noexcept {
  breaker_word next = seen;
  bool opens = false;
  if (kind_ == kind::last) {
    next = seen.with_call(failed, calls_max_);
    if (next == seen) return true;
    opens = std::popcount(next.last()) >= opens_at_[next.calls()];
  } else {
    next = seen.with_row(failed ? seen.row() + 1 : 0);
    if (next == seen) return true;
    opens = next.row() >= row_;
  }
  if (opens)
    return open(seen, openings_after(seen, now),
                {.cause = transition_cause::too_many_failures, .at = now, .window = window_of(next)});
  std::uint64_t bits = seen.bits();
  const bool exchanged = word_.compare_exchange_weak(bits, next.bits(), std::memory_order_relaxed);
  seen = breaker_word(bits);
  return exchanged;
}

bool judging_machine::record_probe(breaker_word& seen, verdict said, time_point now) noexcept {
  breaker_window answers{.calls = seen.succeeded(), .successes = seen.succeeded(), .successes_in_a_row = seen.succeeded()};
  if (said == verdict::failure) {
    answers.calls++;
    answers.failures = answers.failures_in_a_row = 1;
    answers.successes_in_a_row = 0;
    return open(seen, seen.openings() + 1, {.cause = transition_cause::probe_failed, .at = now, .window = answers});
  }
  if (said == verdict::success && seen.succeeded() + 1 >= settings().successes_needed) {
    answers.calls = answers.successes = answers.successes_in_a_row = seen.succeeded() + 1;
    return close(seen, {.cause = transition_cause::probes_succeeded, .at = now, .window = answers});
  }
  const auto next = seen.with_probes(seen.under_way() - 1, seen.succeeded() + (said == verdict::success ? 1 : 0));
  std::uint64_t bits = seen.bits();
  const bool exchanged = word_.compare_exchange_weak(bits, next.bits(), std::memory_order_relaxed);
  seen = breaker_word(bits);
  return exchanged;
}

void judging_machine::record_elsewhere(breaker_pass pass, bool failed, bool slow, time_point now) noexcept {
  breaker_window sum;
  {
    spin_guard inside(lock_);
    const auto older_by = static_cast<std::int16_t>(window_generation_ - pass.generation);
    if (older_by > 0) return count_stale(verdict::success);
    if (older_by < 0) {
      window_generation_ = static_cast<std::uint16_t>(pass.generation);
      std::visit([](auto& window) {
        if constexpr (requires { window.clear(); }) window.clear();
      }, window_);
    }
    if (auto* ring = std::get_if<call_ring>(&window_)) {
      ring->add(failed);
      sum = ring->sum();
    } else if (auto* rate = std::get_if<rate_window>(&window_)) {
      rate->add(failed, slow, now);
      sum = rate->sum();
    }
  }
  breaker_transition told{.at = now, .window = sum};
  if (const auto* last = std::get_if<breaker_settings::last_calls>(&settings().rule)) {
    if (sum.calls < last->calls_min || !is_over(last->failures_over, sum.failures, sum.calls)) return;
    told.cause = transition_cause::too_many_failures;
  } else if (const auto* rate = std::get_if<breaker_settings::call_rate>(&settings().rule)) {
    if (sum.calls < rate->calls_min) return;
    if (is_over(rate->failures_over, sum.failures, sum.calls)) {
      told.cause = transition_cause::too_many_failures;
    } else if (is_over(rate->slow_over, sum.slow, sum.calls)) {
      told.cause = transition_cause::too_many_slow;
    } else {
      return;
    }
  }
  breaker_word seen(word_.load(std::memory_order_relaxed));
  while (seen.generation() == pass.generation && seen.state() == breaker_state::closed) {
    if (open(seen, openings_after(seen, now), told)) return;
  }
}

breaker_state judging_machine::state(time_point now) noexcept {
  breaker_word seen(word_.load(std::memory_order_relaxed));
  for (;;) {
    if (seen.state() == breaker_state::open && now >= seen.until()) {
      const auto next = breaker_word::half_open(seen.next_generation(), seen.openings(), 0, 0, now);
      if (change(seen, next, {.cause = transition_cause::open_time_over, .at = now})) return next.state();
    } else if (seen.state() == breaker_state::half_open && seen.under_way() >= settings().probes_max &&
               seen.is_older(settings().unanswered_max, now)) {
      static_cast<void>(fall_back(seen, now));
    } else {
      return seen.state();
    }
  }
}

void judging_machine::force(breaker_state to, time_point now) noexcept {
  breaker_word seen(word_.load(std::memory_order_relaxed));
  for (;;) {
    const bool is_forced = seen.state() == breaker_state::forced_open || seen.state() == breaker_state::forced_closed;
    if (seen.state() == to || (to == breaker_state::closed && !is_forced)) return;
    const auto cause = to == breaker_state::closed ? transition_cause::released : transition_cause::forced;
    const breaker_transition told{.cause = cause, .at = now, .window = window_of(seen)};
    if (change(seen, breaker_word::forced(to, seen.next_generation()), told)) return;
  }
}

bool judging_machine::fall_back(breaker_word& seen, time_point now) noexcept {
  breaker_transition told{.cause = transition_cause::probe_unanswered, .at = now, .window = window_of(seen)};
  if (settings().unanswered == breaker_settings::fall_back::open) return open(seen, seen.openings() + 1, told);
  return close(seen, told);
}

bool judging_machine::close(breaker_word& seen, breaker_transition told) noexcept {
  // Before: if another thread makes the change, it is the same one, or one that nobody asks about.
  const auto moment = static_cast<std::uint64_t>(std::max<std::int64_t>(told.at.time_since_epoch().count(), 0)) >> closed_unit_bits;
  closed_.store(seen.next_generation() | std::uint64_t{seen.openings()} << 16 | moment << 20, std::memory_order_relaxed);
  return change(seen, breaker_word::closed(seen.next_generation()), told);
}

// How often it has opened without being closed for long, if it opens now.
unsigned judging_machine::openings_after(breaker_word seen, time_point now) const noexcept {
  const std::uint64_t closed = closed_.load(std::memory_order_relaxed);
  const auto openings = static_cast<unsigned>(closed >> 16 & 15);
  if ((closed & 0xffff) != seen.generation() || openings == 0) return 1;
  const time_point since{duration(static_cast<std::int64_t>(closed >> 20) << closed_unit_bits)};
  return now - since < span_of(openings) ? openings + 1 : 1;
}

bool judging_machine::open(breaker_word& seen, unsigned openings, breaker_transition told) noexcept {
  told.open_for = open_time(openings, seen.next_generation(), told.at);
  return change(seen, breaker_word::open(seen.next_generation(), openings, told.at + told.open_for), told);
}

bool judging_machine::change(breaker_word& seen, breaker_word next, breaker_transition told) noexcept {
  told.from = seen.state();
  told.to = next.state();
  std::uint64_t bits = seen.bits();
  const bool changed = word_.compare_exchange_strong(bits, next.bits(), std::memory_order_relaxed);
  seen = breaker_word(changed ? next.bits() : bits);
  if (changed) tell(told, next.generation());
  return changed;
}

// Without jitter. No more openings are counted than that.
duration judging_machine::span_of(unsigned openings) const noexcept {
  if (openings >= breaker_word::openings_max) return settings().open_max;
  std::int64_t ns = settings().open_min.count();
  for (unsigned i = 1; i < openings && ns < settings().open_max.count(); i++) ns = std::min(2 * ns, settings().open_max.count());
  return duration(ns);
}

duration judging_machine::open_time(unsigned openings, std::uint32_t generation, time_point now) const noexcept {
  const std::int64_t ns = span_of(openings).count();
  const auto span = static_cast<std::int64_t>(static_cast<double>(ns) * settings().jitter);
  const auto moment = static_cast<std::uint64_t>(now.time_since_epoch().count());
  rng chance(settings().seed ^ moment ^ std::uint64_t{generation} << 48);
  return duration(ns - span + static_cast<std::int64_t>(chance.below(2 * static_cast<std::uint64_t>(span) + 1)));
}

breaker_window judging_machine::window_of(breaker_word seen) const noexcept {
  if (seen.state() == breaker_state::half_open) {
    return {.calls = seen.succeeded(), .successes = seen.succeeded(), .successes_in_a_row = seen.succeeded()};
  }
  if (seen.state() != breaker_state::closed) return {};
  switch (kind_) {
    case kind::last: {
      const auto failures = static_cast<std::uint32_t>(std::popcount(seen.last()));
      return {.calls = seen.calls(), .successes = seen.calls() - failures, .failures = failures, .last = seen.last()};
    }
    case kind::row: return {.calls = seen.row(), .failures = seen.row(), .failures_in_a_row = seen.row()};
    case kind::elsewhere: break;
  }
  spin_guard inside(lock_);
  if (window_generation_ != static_cast<std::uint16_t>(seen.generation())) return {};
  if (const auto* ring = std::get_if<call_ring>(&window_)) return ring->sum();
  return std::get_if<rate_window>(&window_)->sum();
}

void judging_machine::show(breaker_look& into) const noexcept {
  const breaker_word seen(word_.load(std::memory_order_relaxed));
  into.state = seen.state();
  into.window = window_of(seen);
  if (seen.state() == breaker_state::open) into.tries_again_at = seen.until();
  if (seen.state() == breaker_state::half_open) {
    into.probes_under_way = seen.under_way();
    into.probes_succeeded = seen.succeeded();
  }
}

}  // namespace levity::detail
