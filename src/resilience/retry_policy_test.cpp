#include "levity/resilience/retry_policy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "levity/base/rng.hpp"
#include "tests/support/run_simulated.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

constexpr lv::time_point start{1'000'000s};
constexpr lv::judgement fails{lv::verdict::failure, true, {}};

lv::retry_policy::options seeded(std::uint64_t seed) {
  lv::retry_policy::options how;
  how.seed = seed;
  return how;
}

TEST(retry_policy, waits_longer_each_time_up_to_its_cap) {
  const lv::retry_policy policy;
  EXPECT_EQ(policy.backoff_max(0), 25ms);
  EXPECT_EQ(policy.backoff_max(1), 50ms);
  EXPECT_EQ(policy.backoff_max(5), 800ms);
  EXPECT_EQ(policy.backoff_max(6), 1s);
  EXPECT_EQ(policy.backoff_max(1'000'000), 1s);
  lv::retry_policy::options huge;
  huge.base = lv::duration::max() / 2 + 1ns;
  huge.cap = lv::duration::max();
  EXPECT_EQ(lv::retry_policy(huge).backoff_max(3), lv::duration::max());
  lv::retry_policy::options none;
  none.base = 0ns;
  EXPECT_EQ(lv::retry_policy(none).backoff_max(1'000'000'000), 0ns);
}

TEST(retry_policy, draws_each_wait_as_likely_as_any_other) {
  lv::retry_policy policy(seeded(7));
  constexpr int draws = 40'000;
  std::vector<int> tenths(10);
  for (int i = 0; i < draws; i++) {
    const lv::duration wait = policy.draw_backoff(0);
    ASSERT_GE(wait, 0ns);
    ASSERT_LE(wait, 25ms);
    tenths[static_cast<std::size_t>(std::min<std::int64_t>(wait / 2'500us, 9))]++;
  }
  for (const int each : tenths) EXPECT_NEAR(each, draws / 10, draws / 100);
}

TEST(retry_policy, draws_the_same_from_the_same_seed_and_else_not) {
  lv::retry_policy one(seeded(42));
  lv::retry_policy same(seeded(42));
  lv::retry_policy other(seeded(43));
  lv::retry_policy any;
  lv::retry_policy any_other;
  int equal = 0;
  int equal_any = 0;
  for (int i = 0; i < 100; i++) {
    const lv::duration drawn = one.draw_backoff(3);
    EXPECT_EQ(drawn, same.draw_backoff(3));
    equal += drawn == other.draw_backoff(3) ? 1 : 0;
    equal_any += any.draw_backoff(3) == any_other.draw_backoff(3) ? 1 : 0;
  }
  EXPECT_LT(equal, 3);
  EXPECT_LT(equal_any, 3) << "two processes do not come back together";
}

TEST(retry_policy, says_why_a_call_is_not_repeated) {
  lv::retry_policy policy(seeded(1));
  lv::retry_budget::options none_left;
  none_left.per_second_min = 0;
  lv::retry_budget empty(none_left);
  lv::retry_budget budget;
  EXPECT_EQ(policy.decide(0, {lv::verdict::success, false, {}}, start, {}, budget).error(), lv::retry_stop::final);
  EXPECT_EQ(policy.decide(2, fails, start, {}, budget).error(), lv::retry_stop::repetitions_used);
  EXPECT_EQ(policy.decide(0, {lv::verdict::failure, true, 31s}, start, {}, budget).error(), lv::retry_stop::asked_to_wait);
  EXPECT_EQ(policy.decide(0, {lv::verdict::failure, true, 2s}, start, start + 2s, budget).error(), lv::retry_stop::past_deadline);
  EXPECT_EQ(policy.decide(0, fails, start, start - 1s, budget).error(), lv::retry_stop::past_deadline);
  EXPECT_EQ(policy.decide(0, fails, start, {}, empty).error(), lv::retry_stop::budget_spent);
  EXPECT_EQ(budget.counts_at(start).spent, 0u) << "nothing is spent on what is not repeated";
  EXPECT_TRUE(policy.decide(1, fails, start, {}, budget).has_value());
  const auto seen = policy.counted();
  EXPECT_EQ(seen.repeated, 1u);
  EXPECT_EQ(seen.repetitions_used, 1u);
  EXPECT_EQ(seen.asked_to_wait, 1u);
  EXPECT_EQ(seen.past_deadline, 2u);
  EXPECT_EQ(seen.budget_spent, 1u);
}

TEST(retry_policy, every_reason_has_a_name) {
  for (int each = 0; each <= static_cast<int>(lv::retry_stop::budget_spent); each++) {
    EXPECT_NE(to_string(static_cast<lv::retry_stop>(each)), "unknown");
  }
}

TEST(retry_policy, repeats_within_all_of_its_bounds) {
  for (std::uint64_t seed = 1; seed <= 2000; seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    lv::rng random{seed};
    const auto some = [&](std::int64_t most) {
      return lv::duration{static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(most)))};
    };
    lv::retry_policy::options how;
    how.repetitions_max = static_cast<int>(random.below(5)) - 1;
    how.base = some(2'000'000'000) - 1s;
    how.cap = some(5'000'000'000);
    how.retry_after_max = some(10'000'000'000);
    how.seed = seed;
    lv::retry_policy policy(how);
    lv::retry_budget budget;
    for (int i = 0; i < 20; i++) {
      const int number = static_cast<int>(random.below(4));
      const lv::judgement of{lv::verdict::failure, random.below(4) != 0,
                             random.below(2) == 0 ? some(12'000'000'000) : lv::duration{}};
      const lv::time_point now = start + i * 1s;
      std::optional<lv::time_point> due;
      if (random.below(2) == 0) due = now + some(8'000'000'000) - 1s;
      const auto wait = policy.decide(number, of, now, due, budget);
      if (!wait) continue;
      EXPECT_TRUE(of.may_repeat);
      EXPECT_LT(number, how.repetitions_max);
      EXPECT_GE(*wait, of.retry_after);
      EXPECT_LE(*wait - of.retry_after, policy.backoff_max(number));
      EXPECT_LE(of.retry_after, how.retry_after_max);
      if (due) {
        EXPECT_LT(now + *wait, *due);
      }
    }
  }
}

TEST(retry_policy, without_a_seed_of_its_own_waits_as_the_seed_of_a_simulated_run_has_it) {
  const auto waits_of = [](std::uint64_t seed) {
    std::vector<lv::duration> waits;
    EXPECT_EQ(lv::test::run_simulated(seed, [](std::vector<lv::duration>* into) -> lv::task<> {
      lv::retry_policy policy;
      for (int number = 0; number < 8; number++) into->push_back(policy.draw_backoff(number));
      co_return;
    }, &waits), 0);
    return waits;
  };
  EXPECT_EQ(waits_of(1), waits_of(1));
  EXPECT_NE(waits_of(1), waits_of(2));
}

}  // namespace
