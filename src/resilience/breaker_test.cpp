#include "levity/resilience/breaker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/rng.hpp"

namespace lv = levity;
using lv::breaker;
using lv::breaker_settings;
using lv::breaker_state;
using lv::rejection_cause;
using lv::transition_cause;
using lv::verdict;
using namespace std::chrono_literals;

namespace {

constexpr lv::time_point start{1000s};

// The settings without chance, and what they tell into `told`.
breaker_settings told_into(std::vector<lv::breaker_transition>& told, breaker_settings settings = breaker_settings::article()) {
  settings.jitter = 0;
  settings.on_transition = [&told](const lv::breaker_transition& each) { told.push_back(each); };
  return settings;
}

breaker_settings steady(breaker_settings settings = breaker_settings::article()) {
  settings.jitter = 0;
  return settings;
}

void call(breaker& through, verdict said, lv::time_point now = start) {
  auto permit = through.try_admit(now);
  ASSERT_TRUE(permit) << permit.error().message();
  permit->record(said, now);
}

void calls(breaker& through, std::string_view verdicts, lv::time_point now = start) {
  for (const char each : verdicts) {
    call(through, each == '+' ? verdict::success : each == '-' ? verdict::failure : verdict::neutral, now);
  }
}

rejection_cause refusal(breaker& of, lv::time_point now) {
  const auto permit = of.try_admit(now);
  EXPECT_FALSE(permit);
  return permit ? rejection_cause{} : permit.error().cause;
}

// --- the article's rule ---------------------------------------------------------------------------------------------

TEST(breaker, opens_at_the_fifth_failure_of_ten_calls_and_not_at_the_fourth) {
  breaker of(steady());
  calls(of, "-+-+-+-+++");
  EXPECT_EQ(of.state(start), breaker_state::closed) << "4 of 10 are not over 40 %";
  calls(of, "+-+++++++");  // the first failures leave
  EXPECT_EQ(of.state(start), breaker_state::closed);
  calls(of, "----");
  EXPECT_EQ(of.state(start), breaker_state::closed) << "the oldest of five has just left";
  calls(of, "-");
  EXPECT_EQ(of.state(start), breaker_state::open);
}

TEST(breaker, does_not_open_before_there_are_ten_calls) {
  breaker of(steady());
  calls(of, "---------");
  EXPECT_EQ(of.state(start), breaker_state::closed);
  calls(of, "-");
  EXPECT_EQ(of.state(start), breaker_state::open);
}

TEST(breaker, opens_on_a_success_when_that_makes_the_tenth_call) {
  breaker of(steady());
  calls(of, "-----++++");
  EXPECT_EQ(of.state(start), breaker_state::closed);
  calls(of, "+");
  EXPECT_EQ(of.state(start), breaker_state::open);
}

TEST(breaker, what_says_nothing_counts_for_nothing) {
  breaker of(steady());
  calls(of, "----");
  for (int n = 0; n < 100; n++) {
    calls(of, "o");
    static_cast<void>(of.try_admit(start));  // dropped
  }
  EXPECT_EQ(of.look().window.calls, 4U);
  calls(of, "------");
  EXPECT_EQ(of.state(start), breaker_state::open);
}

TEST(breaker, any_row_of_verdicts_is_judged_as_by_a_list_of_the_last_calls) {
  for (std::uint64_t seed = 0; seed < 400; seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    lv::rng random(seed);
    breaker_settings::last_calls rule;
    rule.calls = static_cast<unsigned>(seed % 3 == 0 ? 1 + random.below(200) : 1 + random.below(32));  // more than 32: under a lock
    rule.calls_min = static_cast<unsigned>(1 + random.below(rule.calls));
    rule.failures_over = static_cast<double>(random.below(100)) / 100;
    breaker_settings settings = steady();
    settings.rule = rule;
    breaker of(settings);
    std::deque<bool> last;
    for (int n = 0; n < 500; n++) {
      const bool failed = random.below(100) < 100 * rule.failures_over + 5;
      last.push_back(failed);
      if (last.size() > rule.calls) last.pop_front();
      const auto failures = static_cast<double>(std::count(last.begin(), last.end(), true));
      const bool opens = last.size() >= rule.calls_min && failures / static_cast<double>(last.size()) > rule.failures_over;
      call(of, failed ? verdict::failure : verdict::success);
      ASSERT_EQ(of.look().state == breaker_state::open, opens) << "call " << n;
      if (opens) break;
      ASSERT_EQ(of.look().window.calls, last.size());
      ASSERT_EQ(of.look().window.failures, failures);
      ASSERT_EQ((of.look().window.last & 1) != 0, failed);
    }
  }
}

TEST(breaker, a_row_is_broken_by_a_success_alone) {
  breaker of(steady(breaker_settings::consecutive(3)));
  calls(of, "--+--o+-o-o");
  EXPECT_EQ(of.state(start), breaker_state::closed);
  EXPECT_EQ(of.look().window.failures_in_a_row, 2U);
  calls(of, "-");
  EXPECT_EQ(of.state(start), breaker_state::open);
}

TEST(breaker, a_row_may_be_longer_than_the_ring) {
  breaker of(steady(breaker_settings::consecutive(100'000)));
  for (int n = 0; n < 99'999; n++) call(of, verdict::failure);
  EXPECT_EQ(of.state(start), breaker_state::closed);
  call(of, verdict::failure);
  EXPECT_EQ(of.state(start), breaker_state::open);
}

// --- a rate ---------------------------------------------------------------------------------------------------------

TEST(breaker, a_rate_forgets_what_is_older_than_its_window) {
  breaker of(steady(breaker_settings::rate(10s, 0.5)));
  for (int n = 0; n < 19; n++) call(of, verdict::failure, start);
  EXPECT_EQ(of.look().state, breaker_state::closed) << "20 calls are needed";
  for (int n = 0; n < 19; n++) call(of, verdict::failure, start + 10s);
  EXPECT_EQ(of.look().state, breaker_state::closed) << "the first 19 have left";
  EXPECT_EQ(of.look().window.calls, 19U);
  call(of, verdict::failure, start + 18s);
  EXPECT_EQ(of.look().state, breaker_state::open);
}

TEST(breaker, a_rate_agrees_with_a_list_of_calls) {
  for (std::uint64_t seed = 0; seed < 200; seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    lv::rng random(seed);
    const lv::duration window = std::chrono::milliseconds(10 + random.below(1000));
    const lv::duration bucket((window.count() + 9) / 10);
    breaker_settings settings = steady(breaker_settings::rate(window, 0.1 + 0.01 * static_cast<double>(random.below(80))));
    const double over = std::get<breaker_settings::call_rate>(settings.rule).failures_over;
    breaker of(settings);
    std::vector<std::pair<std::int64_t, bool>> made;
    lv::time_point now = start;
    for (int n = 0; n < 500; n++) {
      now += lv::duration(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(window.count()) / 15)));
      const std::int64_t own = now.time_since_epoch().count() / bucket.count();
      made.emplace_back(own, random.below(1000) < 1000 * over);
      double all = 0;
      double failed = 0;
      for (const auto& [in, did_fail] : made) {
        if (in <= own - 10) continue;
        all++;
        failed += did_fail ? 1 : 0;
      }
      call(of, made.back().second ? verdict::failure : verdict::success, now);
      const bool opens = all >= 20 && failed / all > over;
      ASSERT_EQ(of.look().state == breaker_state::open, opens) << "call " << n;
      if (opens) break;
      ASSERT_EQ(of.look().window.calls, all);
      ASSERT_EQ(of.look().window.failures, failed);
    }
  }
}

TEST(breaker, slow_calls_open_it_where_a_rate_heeds_them) {
  std::vector<lv::breaker_transition> told;
  breaker of(told_into(told, breaker_settings::rate(10s, 0.5, 0.3, 200ms)));
  breaker heedless(steady(breaker_settings::rate(10s, 0.5)));
  for (int n = 0; n < 20; n++) {
    for (breaker* each : {&of, &heedless}) {
      auto permit = each->try_admit(start);
      ASSERT_TRUE(permit);
      permit->record(verdict::success, start + (n < 7 ? 200ms : 199ms));
    }
  }
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].cause, transition_cause::too_many_slow);
  EXPECT_EQ(told[0].window, (lv::breaker_window{.calls = 20, .successes = 20, .slow = 7}));
  EXPECT_EQ(told[0].message(), "breaker unnamed: closed -> open: 7 of 20 calls took too long; tries again in 5.00 s");
  EXPECT_EQ(heedless.look().state, breaker_state::closed);

  auto probe = of.try_admit(start + 10s);
  ASSERT_TRUE(probe);
  probe->record(verdict::success, start + 11s);
  EXPECT_EQ(of.look().state, breaker_state::open) << "a slow probe is a failed one";
}

TEST(breaker, a_rate_that_has_closed_begins_with_nothing) {
  breaker_settings settings = steady(breaker_settings::rate(1h, 0.5));
  breaker of(settings);
  for (int n = 0; n < 20; n++) call(of, verdict::failure);
  calls(of, "+++", start + 6s);
  EXPECT_EQ(of.look().state, breaker_state::closed);
  for (int n = 0; n < 19; n++) call(of, verdict::failure, start + 7s);
  EXPECT_EQ(of.look().state, breaker_state::closed);
  EXPECT_EQ(of.look().window.calls, 19U);
}

// --- open and back --------------------------------------------------------------------------------------------------

TEST(breaker, refuses_until_its_time_is_over_and_says_when_that_is) {
  breaker of(steady(breaker_settings::consecutive(1)));
  calls(of, "-");
  const auto first = of.try_admit(start + 1s);
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().cause, rejection_cause::breaker_open);
  EXPECT_GE(first.error().retry_after, 4s);
  EXPECT_LT(first.error().retry_after, 4002ms);
  EXPECT_EQ(of.look().tries_again_at, start + 1s + first.error().retry_after);
  EXPECT_EQ(refusal(of, of.look().tries_again_at - 1ns), rejection_cause::breaker_open);
  EXPECT_TRUE(of.try_admit(of.look().tries_again_at));
  EXPECT_EQ(of.look().refused, 2U);
}

TEST(breaker, half_open_lets_one_probe_through_at_a_time_and_closes_after_three) {
  breaker of(steady(breaker_settings::consecutive(1)));
  calls(of, "-");
  const lv::time_point later = start + 6s;
  for (unsigned probe = 0; probe < 3; probe++) {
    EXPECT_EQ(of.state(later), breaker_state::half_open);
    EXPECT_EQ(of.look().probes_succeeded, probe);
    auto permit = of.try_admit(later);
    ASSERT_TRUE(permit);
    EXPECT_EQ(of.look().probes_under_way, 1U);
    EXPECT_EQ(refusal(of, later), rejection_cause::probe_under_way);
    permit->record(verdict::success, later);
  }
  EXPECT_EQ(of.state(later), breaker_state::closed);
  EXPECT_EQ(of.look().window, lv::breaker_window{}) << "it begins with nothing";
  EXPECT_EQ(of.look().transitions, 3U);
}

TEST(breaker, as_many_probes_at_a_time_as_it_is_told) {
  breaker_settings settings = steady(breaker_settings::consecutive(1));
  settings.probes_max = 4;
  breaker of(settings);
  calls(of, "-");
  std::vector<breaker::permit> probes;
  for (int n = 0; n < 4; n++) {
    auto permit = of.try_admit(start + 6s);
    ASSERT_TRUE(permit);
    probes.push_back(std::move(*permit));
  }
  EXPECT_EQ(refusal(of, start + 6s), rejection_cause::probe_under_way);
  probes.pop_back();
  EXPECT_TRUE(of.try_admit(start + 6s)) << "and given back at once";
  for (int n = 0; n < 3; n++) probes[static_cast<std::size_t>(n)].record(verdict::success, start + 6s);
  EXPECT_EQ(of.look().state, breaker_state::closed);
}

TEST(breaker, a_probe_that_is_dropped_gives_its_place_back) {
  breaker of(steady(breaker_settings::consecutive(1)));
  calls(of, "-");
  const lv::time_point later = start + 6s;
  for (int n = 0; n < 200; n++) ASSERT_TRUE(of.try_admit(later)) << "a place is lost after " << n;
  auto first = of.try_admit(later);
  ASSERT_TRUE(first);
  breaker::permit second = std::move(*first);
  first->record(verdict::failure, later);  // moved from: nothing
  EXPECT_EQ(of.look().probes_under_way, 1U);
  second = breaker::permit(std::move(second));
  EXPECT_EQ(of.look().probes_under_way, 1U);
  second.record(verdict::neutral, later);
  second.record(verdict::failure, later);  // the first time counts
  EXPECT_EQ(of.look().state, breaker_state::half_open);
  EXPECT_EQ(of.look().probes_under_way, 0U);
}

TEST(breaker, assigning_to_a_permit_gives_back_the_one_that_was_there) {
  breaker one(steady(breaker_settings::consecutive(1)));
  breaker other(steady(breaker_settings::consecutive(1)));
  for (breaker* each : {&one, &other}) calls(*each, "-");
  auto kept = one.try_admit(start + 6s);
  auto given = other.try_admit(start + 6s);
  ASSERT_TRUE(kept && given);
  *kept = std::move(*given);
  EXPECT_EQ(one.look().probes_under_way, 0U);
  EXPECT_EQ(other.look().probes_under_way, 1U);
}

TEST(breaker, is_open_twice_as_long_each_time_a_probe_fails_up_to_a_bound) {
  std::vector<lv::breaker_transition> told;
  breaker of(told_into(told, breaker_settings::consecutive(1)));
  lv::time_point now = start;
  calls(of, "-", now);
  for (const lv::duration wanted : {5s, 10s, 20s, 40s, 60s, 60s, 60s}) {
    ASSERT_EQ(told.back().to, breaker_state::open);
    EXPECT_EQ(told.back().open_for, wanted);
    now += wanted + 2ms;
    call(of, verdict::failure, now);
  }
  now += 61s;
  calls(of, "+++", now);
  ASSERT_EQ(of.look().state, breaker_state::closed);
  calls(of, "-", now + 60s);
  EXPECT_EQ(told.back().open_for, 5s) << "closed for as long as it had been open it begins anew";
}

// It answers probes and ten calls more, and fails what comes then, as one does that bears few at once.
TEST(breaker, is_left_alone_for_longer_each_time_it_opens_soon_after_it_closed) {
  for (const auto& settings : {breaker_settings::article(), breaker_settings::consecutive(5), breaker_settings::rate(10s, 0.5)}) {
    SCOPED_TRACE(testing::Message() << "rule " << settings.rule.index());
    std::vector<lv::breaker_transition> told;
    breaker of(told_into(told, settings));
    int since_closed = 0;
    lv::time_point now = start;
    for (; now < start + 60s; now += 1ms) {
      auto permit = of.try_admit(now);
      if (!permit) continue;
      since_closed = of.look().state == breaker_state::closed ? since_closed + 1 : 0;
      permit->record(since_closed <= 10 ? verdict::success : verdict::failure, now);
    }
    std::vector<lv::duration> open_for;
    for (const auto& each : told) {
      if (each.to == breaker_state::open) open_for.push_back(each.open_for);
    }
    EXPECT_EQ(open_for, (std::vector<lv::duration>{5s, 10s, 20s, 40s}));
    now = told.back().at + 40s + 2ms;
    calls(of, "+++", now);
    ASSERT_EQ(of.look().state, breaker_state::closed);
    calls(of, "++++++++++", now + 10s);
    now += 41s;
    for (int n = 0; n < 40 && of.look().state == breaker_state::closed; n++) call(of, verdict::failure, now);
    EXPECT_EQ(told.back().open_for, 5s) << "it was well for as long as it had been open";
  }
}

TEST(breaker, comes_to_its_longest_open_time_however_short_the_first_is) {
  std::vector<lv::breaker_transition> told;
  breaker_settings settings = told_into(told, breaker_settings::consecutive(1));
  settings.open_min = 2ms;
  settings.open_max = 1h;
  breaker of(settings);
  lv::time_point now = start;
  for (int n = 0; n < 20; n++) {
    call(of, verdict::failure, now);
    ASSERT_EQ(told.back().to, breaker_state::open);
    now += told.back().open_for + 2ms;
  }
  EXPECT_EQ(told.back().open_for, 1h);
}

// A year of a million calls a second.
static_assert(std::numeric_limits<decltype(lv::breaker_window::calls)>::max() > std::uint64_t{1'000'000} * 365 * 24 * 3600);
static_assert(std::numeric_limits<decltype(lv::breaker_window::failures_in_a_row)>::max() > std::uint64_t{1} << 40);

TEST(breaker, the_open_time_differs_by_a_fifth_either_way_and_follows_from_seed_and_time) {
  const auto open_for = [](std::uint64_t seed, lv::duration from_start) {
    lv::duration seen{};
    breaker_settings settings = breaker_settings::consecutive(1);
    settings.seed = seed;
    settings.on_transition = [&seen](const lv::breaker_transition& told) { seen = told.open_for; };
    breaker of(settings);
    calls(of, "-", start + from_start);
    return seen;
  };
  lv::duration least = 1h;
  lv::duration most{};
  lv::duration sum{};
  for (std::uint64_t seed = 0; seed < 1000; seed++) {
    const lv::duration drawn = open_for(seed, 0s);
    least = std::min(least, drawn);
    most = std::max(most, drawn);
    sum += drawn;
  }
  EXPECT_GE(least, 4s);
  EXPECT_LT(least, 4100ms);
  EXPECT_LE(most, 6s);
  EXPECT_GT(most, 5900ms);
  EXPECT_NEAR(static_cast<double>(sum.count()) / 1000, 5e9, 0.1e9);
  EXPECT_EQ(open_for(7, 1s), open_for(7, 1s));
  EXPECT_NE(open_for(7, 1s), open_for(8, 1s));
  EXPECT_NE(open_for(7, 1s), open_for(7, 1001ms)) << "two that have the same seed and opened apart";
}

TEST(breaker, falls_back_to_open_when_a_probe_does_not_answer) {
  std::vector<lv::breaker_transition> told;
  breaker of(told_into(told, breaker_settings::consecutive(1)));
  calls(of, "-");
  auto hangs = of.try_admit(start + 6s);
  ASSERT_TRUE(hangs);
  EXPECT_EQ(refusal(of, start + 66s), rejection_cause::probe_under_way);
  const auto refused = of.try_admit(start + 66s + 34ms);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().cause, rejection_cause::breaker_open);
  EXPECT_GE(refused.error().retry_after, 10s) << "no answer is a failure: twice as long";
  EXPECT_EQ(told.back().cause, transition_cause::probe_unanswered);
  hangs->record(verdict::success, start + 67s);
  EXPECT_EQ(of.look().stale_results, 1U);
  EXPECT_EQ(of.look().state, breaker_state::open);
}

TEST(breaker, falls_back_to_closed_where_it_is_told_to_and_waits_for_ever_where_it_is_told_to) {
  breaker_settings settings = steady(breaker_settings::consecutive(1));
  settings.unanswered = breaker_settings::fall_back::closed;
  settings.unanswered_max = 1s;
  breaker closes(settings);
  calls(closes, "-");
  const auto hangs = closes.try_admit(start + 6s);
  EXPECT_TRUE(closes.try_admit(start + 8s));
  EXPECT_EQ(closes.look().state, breaker_state::closed);

  settings.unanswered_max = 0s;
  breaker waits(settings);
  calls(waits, "-");
  const auto also_hangs = waits.try_admit(start + 6s);
  EXPECT_EQ(refusal(waits, start + 24h), rejection_cause::probe_under_way);
}

TEST(breaker, half_open_without_traffic_stays_so_however_long) {
  breaker of(steady(breaker_settings::consecutive(1)));
  calls(of, "-");
  calls(of, "+", start + 6s);
  for (const lv::duration later : {lv::duration(10min), lv::duration(24h), lv::duration(80 * 24h)}) {
    EXPECT_EQ(of.state(start + later), breaker_state::half_open);
    EXPECT_EQ(of.look().probes_succeeded, 1U);
  }
  calls(of, "++", start + 90 * 24h);
  EXPECT_EQ(of.look().state, breaker_state::closed);
}

TEST(breaker, a_late_verdict_counts_as_stale_and_changes_nothing) {
  breaker of(steady(breaker_settings::consecutive(2)));
  std::vector<breaker::permit> early;
  for (int n = 0; n < 4; n++) {
    auto permit = of.try_admit(start);
    ASSERT_TRUE(permit);
    early.push_back(std::move(*permit));
  }
  calls(of, "--");
  early[0].record(verdict::success, start);
  EXPECT_EQ(of.look().state, breaker_state::open);
  const auto probe = of.try_admit(start + 6s);
  early[1].record(verdict::failure, start + 6s);
  EXPECT_EQ(of.look().state, breaker_state::half_open) << "it is not the probe that failed";
  EXPECT_EQ(of.look().probes_under_way, 1U);
  early[2].record(verdict::neutral, start + 6s);
  EXPECT_EQ(of.look().probes_under_way, 1U) << "nor the probe that gives its place back";
  early.pop_back();
  EXPECT_EQ(of.look().probes_under_way, 1U);
  EXPECT_EQ(of.look().stale_results, 2U) << "what said nothing is not missed";
}

// --- what is told ---------------------------------------------------------------------------------------------------

TEST(breaker, tells_each_change_with_the_calls_that_caused_it) {
  std::vector<lv::breaker_transition> told;
  breaker_settings settings = told_into(told);
  settings.name = "payments";
  breaker of(settings);
  calls(of, "+-+-+-+-+-");
  calls(of, "+++", start + 6s);
  ASSERT_EQ(told.size(), 3U);
  EXPECT_EQ(told[0].name, "payments");
  EXPECT_EQ(told[0].number, 1U);
  EXPECT_EQ(told[0].from, breaker_state::closed);
  EXPECT_EQ(told[0].to, breaker_state::open);
  EXPECT_EQ(told[0].cause, transition_cause::too_many_failures);
  EXPECT_EQ(told[0].at, start);
  EXPECT_EQ(told[0].window, (lv::breaker_window{.calls = 10, .successes = 5, .failures = 5, .last = 0b0101010101}));
  EXPECT_EQ(told[0].message(), "breaker payments: closed -> open: 5 of 10 calls failed; tries again in 5.00 s");
  EXPECT_EQ(told[1].message(), "breaker payments: open -> half_open: its time is over, so the next calls are probes");
  EXPECT_EQ(told[2].message(), "breaker payments: half_open -> closed: 3 probes succeeded");
  EXPECT_EQ(told[2].number, 3U);
}

TEST(breaker, who_is_told_may_call_the_breaker) {
  for (auto settings : {breaker_settings::consecutive(6), breaker_settings::gobreaker(), breaker_settings::rate(10s, 0.1)}) {
    breaker* inside = nullptr;
    std::vector<breaker_state> seen;
    settings.on_transition = [&](const lv::breaker_transition&) {
      seen.push_back(inside->state(start));
      EXPECT_EQ(inside->look().transitions, seen.size());
      if (seen.size() == 1) inside->force_closed(start);
    };
    breaker of(settings);
    inside = &of;
    for (int n = 0; n < 20 && seen.empty(); n++) call(of, verdict::failure);
    EXPECT_EQ(seen, (std::vector{breaker_state::open, breaker_state::forced_closed}));
  }
}

TEST(breaker, changes_are_numbered_beyond_what_its_word_counts) {
  std::uint64_t last = 0;
  bool in_order = true;
  breaker_settings settings;
  settings.on_transition = [&](const lv::breaker_transition& told) { in_order = in_order && told.number == ++last; };
  breaker of(settings);
  for (int n = 0; n < 40'000; n++) {
    of.force_open(start);
    of.automatic(start);
  }
  EXPECT_TRUE(in_order);
  EXPECT_EQ(last, 80'000U);
}

TEST(breaker, says_everything_in_words) {
  for (int each = 0; each <= static_cast<int>(transition_cause::released); each++) {
    const auto cause = static_cast<transition_cause>(each);
    EXPECT_NE(lv::to_string(cause), "unknown");
    EXPECT_EQ((lv::breaker_transition{.cause = cause}.message().find("unknown")), std::string::npos);
  }
  for (int each = 0; each <= static_cast<int>(breaker_state::forced_open); each++) {
    EXPECT_NE(lv::to_string(static_cast<breaker_state>(each)), "unknown");
  }
}

// --- observe, and an operator ----------------------------------------------------------------------------------------

TEST(breaker, that_observes_lets_everything_through_and_does_otherwise_what_one_that_acts_would_do) {
  breaker_settings settings = steady(breaker_settings::consecutive(2));
  breaker acts(settings);
  settings.mode = lv::policy_mode::observe;
  breaker observes(settings);
  lv::rng random(11);
  lv::time_point now = start;
  std::uint64_t refused = 0;
  for (int n = 0; n < 5000; n++) {
    now += std::chrono::milliseconds(random.below(3000));
    const verdict said = random.below(3) == 0 ? verdict::failure : verdict::success;
    auto one = acts.try_admit(now);
    auto other = observes.try_admit(now);
    ASSERT_TRUE(other);
    if (one) {
      one->record(said, now);
    } else {
      refused++;
    }
    other->record(said, now);
    ASSERT_EQ(acts.look().state, observes.look().state) << "call " << n;
  }
  EXPECT_GT(refused, 100U);
  EXPECT_EQ(acts.look().refused, refused);
  EXPECT_EQ(observes.look().refused, 0U);
  EXPECT_EQ(observes.look().would_have_refused, refused);
  EXPECT_EQ(observes.look().stale_results, 0U);
  EXPECT_EQ(acts.look().transitions, observes.look().transitions);
}

TEST(breaker, an_operator_has_the_last_word) {
  for (const auto& settings : {steady(breaker_settings::consecutive(1)), breaker_settings::gobreaker(0, 0.0, 1h),
                               steady(breaker_settings::rate(10s, 0.0))}) {
    breaker of(settings);
    auto early = of.try_admit(start);
    of.force_open(start);
    const auto refused = of.try_admit(start + 24h);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), (lv::rejection{rejection_cause::breaker_open})) << "nobody knows when to ask again";
    early->record(verdict::failure, start);
    EXPECT_EQ(of.look().stale_results, 1U);
    EXPECT_EQ(of.state(start + 24h), breaker_state::forced_open);

    of.force_closed(start);
    for (int n = 0; n < 30; n++) call(of, verdict::failure);
    EXPECT_EQ(of.look().state, breaker_state::forced_closed);

    of.automatic(start);
    of.automatic(start);
    EXPECT_EQ(of.look().state, breaker_state::closed);
    EXPECT_EQ(of.look().window.calls, 0U) << "what was before is forgotten";
    EXPECT_EQ(of.look().transitions, 3U);
    for (int n = 0; n < 30 && of.look().state == breaker_state::closed; n++) call(of, verdict::failure);
    EXPECT_EQ(of.look().state, breaker_state::open);
    of.force_closed(start);
    EXPECT_TRUE(of.try_admit(start));
  }
}

TEST(breaker, automatic_leaves_alone_what_nobody_forced) {
  breaker of(steady(breaker_settings::consecutive(1)));
  calls(of, "-");
  of.automatic(start);
  EXPECT_EQ(of.look().state, breaker_state::open);
}

// --- many threads ---------------------------------------------------------------------------------------------------

TEST(breaker, any_number_of_threads_see_one_probe_at_a_time_and_every_change_is_told_once) {
  for (auto settings : {breaker_settings::consecutive(2), breaker_settings::article(), breaker_settings::gobreaker(10, 0.2),
                        breaker_settings::rate(10ms, 0.3)}) {
    SCOPED_TRACE(testing::Message() << "rule " << settings.rule.index());
    const bool judges = !std::holds_alternative<breaker_settings::as_gobreaker>(settings.rule);
    settings.open_min = settings.open_max = 2ms;
    if (!judges) std::get<breaker_settings::as_gobreaker>(settings.rule).timeout = 2ms;
    std::array<lv::atomic<std::uint32_t>, 1 << 16> told{};
    settings.on_transition = [&told](const lv::breaker_transition& each) {
      told[each.number % told.size()].fetch_add(1, std::memory_order_relaxed);
      EXPECT_TRUE(each.to != breaker_state::open || each.window.failures > 0);
    };
    breaker of(settings);
    lv::atomic<std::int64_t> clock_ns{start.time_since_epoch().count()};
    lv::atomic<std::uint64_t> admitted{0};
    lv::atomic<std::uint64_t> refused{0};
    std::vector<std::thread> threads;
    for (std::uint64_t seed = 0; seed < 4; seed++) {
      threads.emplace_back([&, seed] {
        lv::rng random(seed);
        for (int n = 0; n < 20'000; n++) {
          const lv::time_point now(lv::duration(clock_ns.fetch_add(2000, std::memory_order_relaxed)));
          auto permit = of.try_admit(now);
          (permit ? admitted : refused).fetch_add(1, std::memory_order_relaxed);
          if (!permit) continue;
          EXPECT_LE(of.look().probes_under_way, 1U);
          const std::uint64_t dice = random.below(10);
          if (dice == 0) continue;  // dropped
          permit->record(dice < 4 ? verdict::failure : dice < 5 ? verdict::neutral : verdict::success, now);
        }
      });
    }
    for (std::thread& each : threads) each.join();
    EXPECT_EQ(admitted.load(std::memory_order_relaxed) + refused.load(std::memory_order_relaxed), 80'000U);
    EXPECT_EQ(of.look().refused, refused.load(std::memory_order_relaxed));
    const std::uint64_t transitions = of.look().transitions;
    EXPECT_GT(transitions, 2U);
    ASSERT_LT(transitions, told.size());
    for (std::uint64_t number = 1; number <= transitions; number++) {
      ASSERT_EQ(told[number].load(std::memory_order_relaxed), 1U) << number;
    }
    EXPECT_EQ(of.look().probes_under_way, 0U) << "no place is lost";
  }
}

// --- settings -------------------------------------------------------------------------------------------------------

TEST(breaker_settings, presets_make_sense) {
  for (const auto& each : {breaker_settings::article(), breaker_settings::gobreaker(), breaker_settings::gobreaker(10, 0.4, 1min),
                           breaker_settings::consecutive(5), breaker_settings::rate(10s, 0.5, 0.8, 1s)}) {
    EXPECT_EQ(each.problem(), nullptr) << each.problem();
  }
}

TEST(breaker_settings, say_what_is_wrong_with_them) {
  const std::vector<void (*)(breaker_settings&)> mistakes = {
      [](breaker_settings& it) { it.open_min = 0s; },
      [](breaker_settings& it) { it.open_max = 4s; },
      [](breaker_settings& it) { it.open_max = 9000h; },
      [](breaker_settings& it) { it.jitter = 1; },
      [](breaker_settings& it) { it.jitter = std::numeric_limits<double>::quiet_NaN(); },
      [](breaker_settings& it) { it.probes_max = 0; },
      [](breaker_settings& it) { it.probes_max = 64; },
      [](breaker_settings& it) { it.successes_needed = 0; },
      [](breaker_settings& it) { it.unanswered_max = -1s; },
      [](breaker_settings& it) { it.unanswered_max = 1000h; },
      [](breaker_settings& it) { it.rule = breaker_settings::last_calls{.calls = 1025}; },
      [](breaker_settings& it) { it.rule = breaker_settings::last_calls{.calls = 5}; },
      [](breaker_settings& it) { it.rule = breaker_settings::last_calls{.failures_over = 1.0}; },
      [](breaker_settings& it) { it.rule = breaker_settings::in_a_row{.failures = 0}; },
      [](breaker_settings& it) { it.rule = breaker_settings::call_rate{.window = 9ns}; },
      [](breaker_settings& it) { it.rule = breaker_settings::call_rate{.calls_min = 0}; },
      [](breaker_settings& it) { it.rule = breaker_settings::call_rate{.slow_over = 1.1}; },
      [](breaker_settings& it) { it.rule = breaker_settings::call_rate{.slow_over = 0.5, .slow_from = 0s}; },
      [](breaker_settings& it) { it.rule = breaker_settings::as_gobreaker{.interval = 1h, .bucket_period = 1us}; },
  };
  std::vector<std::string> sentences;
  for (const auto& mistake : mistakes) {
    breaker_settings settings;
    mistake(settings);
    ASSERT_NE(settings.problem(), nullptr) << "mistake " << sentences.size();
    sentences.emplace_back(settings.problem());
  }
  EXPECT_DEATH(breaker(breaker_settings::consecutive(0)), "in_a_row::failures is 1 at least");
}

// --- gobreaker ------------------------------------------------------------------------------------------------------

// Answers recorded from gobreaker itself; tests/corpus/breaker/gobreaker.txt says how they are to be read.
class gobreaker_trace {
public:
  explicit gobreaker_trace(std::string_view settings) : of_(read(settings)) {}

  // The step with what we answer.
  std::string does(std::string_view step) {
    changes_.clear();
    std::string answer;
    if (step[0] == '+') {
      now_ += std::chrono::microseconds(number(step.substr(1)));
    } else if (step[0] == 'a') {
      auto permit = of_.try_admit(now_);
      answer = permit ? "y" : permit.error().cause == rejection_cause::breaker_open ? "o" : "h";
      if (permit) permits_.push_back(std::move(*permit));
    } else if (step[0] == 'q') {
      const breaker_state state = of_.state(now_);
      const lv::breaker_window window = of_.look().window;
      std::ostringstream text;
      text << letter(state) << window.calls << '/' << window.successes << '/' << window.failures << '/' << window.neutral << '/'
           << window.successes_in_a_row << '/' << window.failures_in_a_row;
      answer = text.str();
    } else {
      const verdict said = step[0] == 's' ? verdict::success : step[0] == 'f' ? verdict::failure : verdict::neutral;
      permits_.at(number(step.substr(1))).record(said, now_);
    }
    answer += changes_;
    return std::string(step) + (answer.empty() ? "" : "=") + answer;
  }

private:
  static std::uint64_t number(std::string_view text) {
    std::uint64_t read = 0;
    std::from_chars(text.data(), text.data() + text.size(), read);
    return read;
  }
  static char letter(breaker_state of) {
    return of == breaker_state::closed ? 'c' : of == breaker_state::open ? 'o' : of == breaker_state::half_open ? 'h' : '?';
  }
  breaker_settings read(std::string_view text) {
    breaker_settings settings = breaker_settings::gobreaker();
    breaker_settings::as_gobreaker rule;
    std::istringstream words{std::string(text)};
    for (std::string word; words >> word;) {
      const std::string_view value = std::string_view(word).substr(1);
      const auto span = std::chrono::microseconds(number(value));
      switch (word[0]) {
        case 'm': rule.requests_max = static_cast<std::uint32_t>(number(value)); break;
        case 'i': rule.interval = span; break;
        case 'b': rule.bucket_period = span; break;
        case 't': rule.timeout = span; break;
        case 'c':
          rule.trips = [over = number(value)](const lv::breaker_window& seen) { return seen.failures_in_a_row > over; };
          break;
        case 'r': {
          const auto requests = static_cast<std::uint32_t>(number(value));
          const double over = static_cast<double>(number(value.substr(value.find('/') + 1))) / 100;
          rule.trips = std::get<breaker_settings::as_gobreaker>(breaker_settings::gobreaker(requests, over).rule).trips;
          break;
        }
        default: break;
      }
    }
    settings.rule = rule;
    settings.on_transition = [this](const lv::breaker_transition& told) {
      changes_ += {'>', letter(told.from), letter(told.to)};
    };
    return settings;
  }

  std::string changes_;
  breaker of_;
  std::vector<breaker::permit> permits_;
  lv::time_point now_ = start;
};

TEST(breaker, answers_a_thousand_traces_as_gobreaker_does) {
  std::ifstream file(LEVITY_GOBREAKER_TRACES);
  ASSERT_TRUE(file) << LEVITY_GOBREAKER_TRACES;
  int traces = 0;
  int differ = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    traces++;
    const std::size_t bar = line.find(" | ");
    ASSERT_NE(bar, std::string::npos) << line;
    gobreaker_trace trace(std::string_view(line).substr(0, bar));
    std::istringstream steps(line.substr(bar + 3));
    std::string before;
    for (std::string step; steps >> step;) {
      const std::string own = trace.does(std::string_view(step).substr(0, step.find('=')));
      if (own != step) {
        differ++;
        if (differ <= 5) {
          ADD_FAILURE() << "trace " << traces << ": " << line.substr(0, bar) << " |" << before << "\n  we answer " << own
                        << ", gobreaker " << step;
        }
        break;
      }
      before += " " + step;
    }
  }
  EXPECT_GE(traces, 1000);
  EXPECT_EQ(differ, 0) << "of " << traces << " traces";
}

TEST(breaker, as_gobreaker_one_that_is_dropped_is_excluded) {
  breaker of(breaker_settings::gobreaker());
  static_cast<void>(of.try_admit(start));
  EXPECT_EQ(of.look().window, (lv::breaker_window{.calls = 1, .neutral = 1}));
  for (int n = 0; n < 6; n++) call(of, verdict::failure);
  ASSERT_EQ(of.look().state, breaker_state::open);
  EXPECT_EQ(of.look().tries_again_at, start + 60s);
  for (int n = 0; n < 10; n++) ASSERT_TRUE(of.try_admit(start + 61s)) << "a place is lost";
}

}  // namespace
