#include "levity/resilience/breaker.hpp"

#include <optional>

#include "levity/base/atomic.hpp"
#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::breaker;
using levity::breaker_settings;
using levity::breaker_state;
using levity::rejection_cause;
using levity::time_point;
using levity::verdict;
using namespace std::chrono_literals;

constexpr time_point start{1000s};
constexpr time_point later{1010s};      // it is no longer open
constexpr time_point much_later{1100s};  // a probe of then has not answered

// What became of a breaker: each change is told once, and they are as many as it says.
struct told {
  levity::atomic<unsigned> times{0};
  levity::atomic<unsigned> numbers{0};  // a bit each

  breaker_settings by(breaker_settings settings) {
    settings.jitter = 0;
    settings.on_transition = [this](const levity::breaker_transition& each) {
      times.fetch_add(1, std::memory_order_relaxed);
      numbers.fetch_or(1U << each.number, std::memory_order_relaxed);
    };
    return settings;
  }
  void check(const breaker& of) const {
    const unsigned changes = times.load(std::memory_order_relaxed);
    model::require(changes == of.look().transitions, "each change is told");
    model::require(numbers.load(std::memory_order_relaxed) == ((1U << changes) - 1) << 1, "and none twice");
  }
};

breaker_settings two_of_two() {
  breaker_settings settings;
  settings.rule = breaker_settings::last_calls{.calls = 2, .calls_min = 2, .failures_over = 0.5};
  return settings;
}

breaker_settings two_at_a_rate() {
  breaker_settings settings = breaker_settings::rate(10s, 0.5);
  std::get<breaker_settings::call_rate>(settings.rule).calls_min = 2;
  return settings;
}

breaker_settings half_open_after_one() {
  breaker_settings settings = breaker_settings::consecutive(1);
  settings.successes_needed = 1;
  return settings;
}

void opens(breaker& of) { of.try_admit(start)->record(verdict::failure, start); }

// Two failures open it, whatever comes between them, and once.
void two_record_while_a_third_asks(breaker_settings settings) {
  told all;
  breaker of(all.by(std::move(settings)));
  auto one = of.try_admit(start);
  auto other = of.try_admit(start);
  model::together([&] { one->record(verdict::failure, start); }, [&] { other->record(verdict::failure, start); },
                  [&] {
                    const auto third = of.try_admit(start);
                    model::require(third || third.error().cause == rejection_cause::breaker_open, "it goes through, or it is open");
                  });
  model::require(of.look().state == breaker_state::open, "no failure is lost");
  model::require(of.look().transitions == 1, "it opened once");
  model::require(of.look().stale_results == 0, "both were in time");
  all.check(of);
}

LEVITY_SCENARIO(two_failures_open_it_once_while_another_call_asks) { two_record_while_a_third_asks(two_of_two()); }
LEVITY_SCENARIO(two_in_a_row_open_it_once_while_another_call_asks) {
  two_record_while_a_third_asks(breaker_settings::consecutive(2));
}
LEVITY_SCENARIO(two_at_a_rate_open_it_once_while_another_call_asks, {.executions_max = 100'000}) {
  two_record_while_a_third_asks(two_at_a_rate());
}
LEVITY_SCENARIO(as_gobreaker_two_failures_open_it_once_while_another_call_asks, {.executions_max = 100'000}) {
  two_record_while_a_third_asks(breaker_settings::gobreaker(2, 0.6));
}

// A success and a failure come in one of the two orders, and neither is lost.
LEVITY_SCENARIO(two_verdicts_at_once_are_both_counted) {
  breaker of(two_of_two());
  auto one = of.try_admit(start);
  auto other = of.try_admit(start);
  model::together([&] { one->record(verdict::failure, start); }, [&] { other->record(verdict::success, start); });
  model::require(of.look().window.calls == 2 && of.look().window.failures == 1, "both are there");
}

// Where as many calls as are kept were well a success looks and goes; a failure that comes meanwhile is counted all the same.
LEVITY_SCENARIO(a_failure_beside_a_success_that_changes_nothing_is_counted) {
  breaker of(two_of_two());
  for (int i = 0; i < 2; i++) of.try_admit(start)->record(verdict::success, start);
  auto one = of.try_admit(start);
  auto other = of.try_admit(start);
  model::together([&] { one->record(verdict::success, start); }, [&] { other->record(verdict::failure, start); });
  model::require(of.look().state == breaker_state::closed && of.look().window.failures == 1, "it is there");
}

// Whoever comes first when its time is over is the probe, and only that one.
void one_of_three_is_the_probe(breaker_settings settings) {
  told all;
  breaker of(all.by(std::move(settings)));
  opens(of);
  std::optional<breaker::permit> first;
  std::optional<breaker::permit> second;
  const auto asks = [&of](std::optional<breaker::permit>& into) {
    auto permit = of.try_admit(later);
    if (permit) {
      into.emplace(std::move(*permit));
    } else {
      model::require(permit.error().cause == rejection_cause::probe_under_way, "another one tries");
    }
  };
  model::together([&] { asks(first); }, [&] { asks(second); });
  model::require(first.has_value() != second.has_value(), "one probe");
  model::require(of.look().probes_under_way == 1, "which is known");
  (first ? first : second)->record(verdict::success, later);
  model::require(of.look().state == breaker_state::closed, "its answer counts");
  all.check(of);
}

LEVITY_SCENARIO(half_open_lets_one_probe_through) { one_of_three_is_the_probe(half_open_after_one()); }
LEVITY_SCENARIO(as_gobreaker_half_open_lets_one_probe_through) {
  breaker_settings settings = breaker_settings::gobreaker(1, 0.0);
  std::get<breaker_settings::as_gobreaker>(settings.rule).timeout = 5s;
  one_of_three_is_the_probe(std::move(settings));
}

// A probe that is dropped leaves its place to whoever comes, at once or at the next try.
LEVITY_SCENARIO(a_probe_that_is_dropped_gives_its_place_back) {
  breaker of(half_open_after_one());
  opens(of);
  std::optional<breaker::permit> probe(std::move(*of.try_admit(later)));
  std::optional<breaker::permit> next;
  model::together([&] { probe.reset(); },
                  [&] {
                    auto permit = of.try_admit(later);
                    if (permit) next.emplace(std::move(*permit));
                  });
  model::require(of.look().probes_under_way == (next ? 1U : 0U), "as many as there are");
  model::require(next || of.try_admit(later), "the place is free");
}

// Two probes that end at once, in any way, leave no place taken.
LEVITY_SCENARIO(two_probes_end_at_once) {
  breaker_settings settings = half_open_after_one();
  settings.probes_max = 2;
  settings.successes_needed = 3;
  breaker of(settings);
  opens(of);
  auto one = of.try_admit(later);
  auto other = of.try_admit(later);
  model::together([&] { one->record(verdict::success, later); }, [&] { other->record(verdict::neutral, later); });
  model::require(of.look().probes_under_way == 0 && of.look().probes_succeeded == 1, "each ends once");
}

// What was asked before it opened neither closes it nor opens it again.
LEVITY_SCENARIO(a_late_failure_leaves_the_probe_alone) {
  told all;
  breaker of(all.by(half_open_after_one()));
  auto early = of.try_admit(start);
  opens(of);
  model::together([&] { early->record(verdict::failure, later); },
                  [&] {
                    auto probe = of.try_admit(later);
                    model::require(probe.has_value(), "nobody else asks");
                    probe->record(verdict::success, later);
                  });
  model::require(of.look().state == breaker_state::closed, "by the probe alone");
  model::require(of.look().stale_results == 1, "and the late one is counted");
  all.check(of);
}

// A probe answers while another call notices that it has not for too long: one of the two is in time.
LEVITY_SCENARIO(a_probe_answers_while_it_is_given_up) {
  told all;
  breaker of(all.by(half_open_after_one()));
  opens(of);
  auto probe = of.try_admit(later);
  model::together([&] { probe->record(verdict::success, much_later); }, [&] { static_cast<void>(of.try_admit(much_later)); });
  const levity::breaker_look seen = of.look();
  model::require(seen.transitions == 3, "closed, or open again, and not both");
  model::require((seen.state == breaker_state::closed) == (seen.stale_results == 0), "its answer counts, or comes late");
  all.check(of);
}

// An operator's word is the last, though a call opens it meanwhile.
LEVITY_SCENARIO(an_operator_forces_it_while_a_failure_opens_it) {
  told all;
  breaker of(all.by(half_open_after_one()));
  auto permit = of.try_admit(start);
  model::together([&] { permit->record(verdict::failure, start); }, [&] { of.force_closed(start); });
  model::require(of.look().state == breaker_state::forced_closed, "as he said");
  all.check(of);
}

// The window of a rate belongs to one generation: who comes late from the one before neither clears it nor counts in it.
LEVITY_SCENARIO(the_window_of_a_rate_is_of_one_generation, {.executions_max = 100'000}) {
  breaker of(two_at_a_rate());
  auto early = of.try_admit(start);
  model::together([&] { early->record(verdict::failure, start); },
                  [&] {
                    of.force_open(start);
                    of.automatic(start);
                    of.try_admit(start)->record(verdict::success, start);
                  });
  model::require(of.look().window.calls == 1 && of.look().window.successes == 1, "the newer one alone");
}

}  // namespace
