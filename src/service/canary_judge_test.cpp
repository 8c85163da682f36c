// The statistics against values of scipy 1.10, and the judge against chance: how often it condemns the innocent, and how soon the
// guilty.

#include "levity/service/canary_judge.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/service/significance.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::slow_build_factor;
using lv::service::canary_counts;
using lv::service::canary_fault;
using lv::service::canary_judge;
using lv::service::fisher_greater;
using lv::service::judge_options;
using lv::service::judged;
using lv::service::latency_bins;
using lv::service::mann_whitney_greater;

namespace {

TEST(significance, fisher_is_what_scipy_says) {
  // scipy.stats.fisher_exact([[a, b - a], [c, d - c]], alternative='greater')
  struct known {
    std::uint64_t a, b, c, d;
    double p;
  };
  for (const known& each : std::initializer_list<known>{{12, 500, 60, 9500, 0.00021130097319873933},
                                                        {5, 500, 95, 9500, 0.5648785835244245},
                                                        {40, 1000, 500, 19000, 0.008687999829135352},
                                                        {0, 500, 10, 9500, 1.0},
                                                        {3, 10, 1, 12, 0.22556390977443608},
                                                        {30, 100000, 200, 1900000, 1.814016942123873e-06},
                                                        {250, 5000, 4000, 95000, 0.004584775129869605},
                                                        {8, 10, 1, 10, 0.002738747320790664},
                                                        {2, 500, 95, 9500, 0.9585167892360963}}) {
    EXPECT_NEAR(fisher_greater(each.a, each.b, each.c, each.d) / each.p, 1, 1e-7) << each.a << " of " << each.b;
  }
  EXPECT_LT(fisher_greater(500, 500, 95, 9500), 1e-300);
  EXPECT_EQ(fisher_greater(0, 0, 5, 10), 1);
  EXPECT_EQ(fisher_greater(5, 10, 0, 0), 1);
  EXPECT_EQ(fisher_greater(10, 10, 10, 10), 1);
}

TEST(significance, fisher_sums_to_one_over_all_outcomes) {
  // P(X >= k) falls from 1, and what it falls by is P(X = k): the mean of X is known.
  double mean = 0;
  for (std::uint64_t k = 1; k <= 20; k++) mean += fisher_greater(k, 30, 20 - k, 70);
  EXPECT_NEAR(mean, 20.0 * 30 / 100, 1e-9);
}

TEST(significance, fisher_holds_for_a_thousand_million_calls) {
  EXPECT_NEAR(fisher_greater(500'000, 50'000'000, 9'500'000, 950'000'000), 0.5, 0.001);
  const double p = fisher_greater(501'700, 50'000'000, 9'498'300, 950'000'000);  // 2.48 standard deviations
  EXPECT_GT(p, 0.005);
  EXPECT_LT(p, 0.009);
}

TEST(significance, mann_whitney_is_what_scipy_says) {
  // scipy.stats.mannwhitneyu(a, b, alternative='greater', method='asymptotic', use_continuity=True), bins expanded
  struct known {
    std::vector<std::uint64_t> a, b;
    double greater, p;
  };
  for (const known& each : std::initializer_list<known>{
           {{0, 3, 5, 2, 0}, {4, 4, 1, 1, 0}, 0.795, 0.011179484665037188},
           {{10, 20, 30, 20, 10}, {100, 210, 290, 200, 95}, 0.505586592178771, 0.4284640578445314},
           {{5, 20, 40, 35}, {200, 300, 250, 100}, 0.711764705882353, 2.4386171284205187e-13},
           {{1, 1, 1}, {1, 1, 1}, 0.5, 0.5902615116112394},
           {{0, 0, 50}, {50, 0, 0}, 1.0, 1.3140123675270836e-23},
           {{40, 30, 20, 10}, {10, 20, 30, 40}, 0.25, 0.9999999998604695}}) {
    const auto seen = mann_whitney_greater(each.a, each.b);
    EXPECT_NEAR(seen.greater, each.greater, 1e-12);
    EXPECT_NEAR(seen.p / each.p, 1, 1e-9);
  }
  const std::uint64_t none[3]{}, some[3]{1, 2, 3}, same[3]{0, 9, 0};
  EXPECT_EQ(mann_whitney_greater(none, some).p, 1);
  EXPECT_EQ(mann_whitney_greater(same, same).p, 1);  // all tied: no ranks to compare
}

TEST(latency_bins, each_duration_is_in_the_bin_that_begins_at_or_below_it) {
  for (std::size_t bin = 0; bin < latency_bins::size; bin++) {
    const lv::duration low = latency_bins::low_of(bin);
    EXPECT_EQ(latency_bins::index_of(low), bin);
    if (bin > 0) {
      EXPECT_EQ(latency_bins::index_of(low - 1ns), bin - 1);
    }
    if (bin >= 16 && bin + 1 < latency_bins::size) {
      EXPECT_LE((latency_bins::low_of(bin + 1) - low) * 8, low);
    }
  }
  EXPECT_EQ(latency_bins::index_of(-1s), 0U);
  EXPECT_EQ(latency_bins::index_of(lv::duration::max()), latency_bins::size - 1);
}

// A version of a service: calls take about 20 ms, log-normal; some fail, some hang.
struct version {
  double errors = 0.01;
  double slower = 1;
  double hangs = 0;
};

// What `calls` calls of a version add.
void add_calls(canary_counts& to, const version& of, int calls, lv::rng& chance, std::normal_distribution<double>& normal) {
  const auto uniform = [&] { return static_cast<double>(chance() >> 11) * 0x1p-53; };
  for (int i = 0; i < calls; i++) {
    to.requests++;
    if (uniform() < of.errors) {
      to.errors++;
      continue;
    }
    double ms = 20 * of.slower * std::exp(0.5 * normal(chance));
    if (uniform() < of.hangs) ms += 400;
    to.latency.record(std::chrono::nanoseconds(static_cast<std::int64_t>(ms * 1e6)));
  }
}

struct rollout {
  bool rolled_back = false;
  bool naively = false;  // p < 0.01 at any look, errors or ranks
  int windows = 0;
  canary_fault fault = canary_fault::none;
};

rollout run(const version& canary, const version& stable, int windows, std::uint64_t seed, judge_options options = {}) {
  lv::rng chance(seed);
  std::normal_distribution<double> normal;
  lv::time_point now{};
  canary_judge judge(options, now);
  canary_counts mine, theirs;
  (void)judge.look(mine, theirs, now);
  rollout seen;
  while (seen.windows < windows) {
    add_calls(mine, canary, 500, chance, normal);
    add_calls(theirs, stable, 1500, chance, normal);
    now += 10s;
    seen.windows++;
    seen.naively |= fisher_greater(mine.errors, mine.requests, theirs.errors, theirs.requests) < 0.01 ||
                    mann_whitney_greater(mine.latency.counts, theirs.latency.counts).p < 0.01;
    const auto ruling = judge.look(mine, theirs, now);
    if (ruling.what == judged::rolled_back) {
      seen.rolled_back = true;
      seen.fault = ruling.fault;
      break;
    }
  }
  return seen;
}

TEST(canary_judge, condemns_an_innocent_canary_less_often_than_p_max) {
  const int rollouts = 1000 / std::min(slow_build_factor, 4);  // 2 s; shares of fewer say nothing
  int condemned = 0, naively = 0;
  judge_options strict;  // without the margins, which would help
  strict.error_rate_margin = 0;
  strict.slower_min = 0;
  strict.tail_factor_min = 0;
  for (int seed = 0; seed < rollouts; seed++) {
    const rollout seen = run({}, {}, 20, 1000 + seed, strict);
    condemned += seen.rolled_back ? 1 : 0;
    naively += seen.naively ? 1 : 0;
  }
  std::printf("of %d rollouts of 20 looks: %d condemned, %d by p < 0.01 at each look\n", rollouts, condemned, naively);
  RecordProperty("condemned", condemned);
  EXPECT_LE(condemned, rollouts / 50);  // 1 % is the bound, and seeds differ
  EXPECT_GE(naively, rollouts / 20);    // what it would be without the budget
}

struct power {
  int found = 0, rollouts = 0, windows = 0;
};

power power_of(const version& canary, canary_fault expected) {
  power seen;
  seen.rollouts = std::max(200 / slow_build_factor, 10);
  for (int seed = 0; seed < seen.rollouts; seed++) {
    const rollout one = run(canary, {}, 20, 5000 + seed);
    if (one.rolled_back && one.fault == expected) {
      seen.found++;
      seen.windows += one.windows;
    }
  }
  std::printf("found in %d of %d, after %.1f windows of 500 on average\n", seen.found, seen.rollouts,
              seen.found == 0 ? 0.0 : static_cast<double>(seen.windows) / seen.found);
  return seen;
}

TEST(canary_judge, finds_a_canary_of_which_three_calls_of_a_hundred_fail_instead_of_one) {
  const power seen = power_of({.errors = 0.03}, canary_fault::errors);
  EXPECT_GE(seen.found * 10, seen.rollouts * 9);
}

TEST(canary_judge, finds_a_canary_that_is_fifteen_percent_slower) {
  const power seen = power_of({.slower = 1.15}, canary_fault::latency);
  EXPECT_GE(seen.found * 10, seen.rollouts * 9);
}

TEST(canary_judge, finds_a_canary_of_which_three_calls_of_a_hundred_hang) {
  const power seen = power_of({.hangs = 0.03}, canary_fault::tail);
  EXPECT_GE(seen.found * 10, seen.rollouts * 9);
}

TEST(canary_judge, finds_what_hangs_when_it_is_more_than_a_hundredth_of_all) {
  lv::time_point now{};
  canary_judge judge({}, now);
  (void)judge.look({}, {}, now);
  canary_counts mine, theirs;
  mine.requests = theirs.requests = 1000;
  mine.latency.counts[latency_bins::index_of(20ms)] = 950;
  mine.latency.counts[latency_bins::index_of(5s)] = 50;  // in one bin: 2.5 % of both
  theirs.latency.counts[latency_bins::index_of(20ms)] = 1000;
  const auto ruling = judge.look(mine, theirs, now + 1min);
  EXPECT_EQ(ruling.what, judged::rolled_back);
  EXPECT_EQ(ruling.fault, canary_fault::tail);
}

TEST(canary_judge, lets_a_difference_be_that_matters_to_nobody) {
  // 0.05 percentage points, 1 % slower: with a million calls both are significant.
  int condemned = 0;
  for (int seed = 0; seed < 20; seed++) condemned += run({.errors = 0.0105, .slower = 1.01}, {}, 10, 77 + seed).rolled_back;
  EXPECT_LE(condemned, 1);
}

canary_counts of(std::uint64_t requests, std::uint64_t errors, lv::duration took = 10ms) {
  canary_counts made;
  made.requests = requests;
  made.errors = errors;
  made.latency.counts[latency_bins::index_of(took)] = requests - errors;
  return made;
}

TEST(canary_judge, rolls_back_once_and_says_why) {
  lv::time_point now{};
  canary_judge judge({}, now);
  EXPECT_EQ(judge.look({}, {}, now).what, judged::too_few);
  EXPECT_EQ(judge.look(of(499, 499), of(10'000, 100), now += 10s).what, judged::too_few);
  const auto ruling = judge.look(of(520, 60), of(10'000, 100), now += 10s);
  EXPECT_EQ(ruling.what, judged::rolled_back);
  EXPECT_EQ(ruling.fault, canary_fault::errors);
  EXPECT_EQ(ruling.percent, 0);
  EXPECT_TRUE(judge.rolled_back());
  EXPECT_EQ(judge.percent(), 0);
  EXPECT_TRUE(
      ruling.message().starts_with("the canary is rolled back: 60 of its 520 calls failed, 100 of 10000 of stable's (by chance "
                                   "with p = "))
      << ruling.message();
  EXPECT_EQ(judge.look(of(5000, 5000), of(20'000, 200), now += 10s).what, judged::ended);
  judge.restart(now);
  EXPECT_FALSE(judge.rolled_back());
  EXPECT_EQ(judge.look(of(5000, 5000), of(20'000, 200), now).what, judged::too_few);  // where it begins
  EXPECT_EQ(judge.look(of(6000, 5000), of(21'000, 210), now += 10s).what, judged::healthy);
}

TEST(canary_judge, decides_nothing_before_the_window_has_lasted) {
  lv::time_point now{};
  canary_judge judge({}, now);
  (void)judge.look({}, {}, now);
  EXPECT_EQ(judge.look(of(900, 900), of(10'000, 0), now += 9s).what, judged::too_few);
  EXPECT_EQ(judge.look(of(900, 900), of(10'000, 0), now += 1s).what, judged::rolled_back);
}

TEST(canary_judge, needs_stable_to_compare_with) {
  lv::time_point now{};
  canary_judge judge({}, now);
  (void)judge.look({}, {}, now);
  EXPECT_EQ(judge.look(of(5000, 5000), of(499, 0), now += 1min).what, judged::too_few);
}

TEST(canary_judge, sees_what_begins_late) {
  lv::time_point now{};
  canary_judge judge({}, now);
  (void)judge.look({}, {}, now);
  std::uint64_t calls = 0, errors = 0;
  for (int window = 0; window < 1000; window++) {
    calls += 1000;
    errors += 10;
    ASSERT_NE(judge.look(of(calls, errors), of(calls * 19, errors * 19), now += 10s).what, judged::rolled_back);
  }
  calls += 1000;
  errors += 60;  // 6 %, of the last thousand only; of all calls 1.005 %
  const auto ruling = judge.look(of(calls, errors), of(calls * 19, 1001 * 10 * 19), now += 10s);
  EXPECT_EQ(ruling.what, judged::rolled_back);
}

TEST(canary_judge, climbs_the_ramp_step_by_step_and_is_finished_at_the_top) {
  lv::time_point now{};
  judge_options options;
  options.ramp_percent = {1, 5, 5, 25, 50, 100, 7};  // what does not rise is left out
  canary_judge judge(options, now);
  std::uint64_t calls = 0;
  EXPECT_EQ(judge.percent(), 1);
  (void)judge.look({}, {}, now);
  std::vector<double> shares;
  for (int minute = 1; minute < 60; minute++) {
    calls += 1000;
    const auto ruling = judge.look(of(calls, calls / 100), of(calls * 9, calls * 9 / 100), now += 1min);
    if (ruling.what == judged::advanced || ruling.what == judged::finished) {
      shares.push_back(ruling.percent);
      EXPECT_EQ(minute % 5, 0);
    }
    if (ruling.what == judged::finished) break;
  }
  EXPECT_EQ(shares, (std::vector<double>{5, 25, 50, 100}));
  EXPECT_EQ(judge.percent(), 100);
  EXPECT_EQ(judge.look(of(calls, calls), of(calls * 9, 0), now += 1h).what, judged::ended);
}

TEST(canary_judge, stays_on_a_step_on_which_too_few_calls_came) {
  lv::time_point now{};
  judge_options options;
  options.ramp_percent = {1, 100};
  canary_judge judge(options, now);
  (void)judge.look({}, {}, now);
  EXPECT_EQ(judge.look(of(400, 4), of(40'000, 400), now += 24h).what, judged::too_few);
  EXPECT_EQ(judge.percent(), 1);
  EXPECT_EQ(judge.look(of(500, 5), of(50'000, 500), now += 1h).what, judged::finished);
}

TEST(canary_judge, survives_counts_that_go_back) {
  lv::time_point now{};
  canary_judge judge({}, now);
  (void)judge.look(of(10'000, 100), of(10'000, 100), now);
  EXPECT_EQ(judge.look(of(0, 0), of(0, 0), now += 1min).what, judged::too_few);
}

}  // namespace
