// The budget against an account of every moment: what it grants keeps to the share, what it refuses would not have.

#include "levity/resilience/retry_budget.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "levity/base/rng.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

constexpr lv::time_point start{1'000'000s};

lv::retry_budget::options only_the_share(double share = 0.10) {
  lv::retry_budget::options how;
  how.share_max = share;
  how.per_second_min = 0;
  return how;
}

// Moments within the `span` before `now`, that one included; older ones are dropped.
int within(std::deque<lv::time_point>& moments, lv::time_point now, lv::duration span) {
  return static_cast<int>(std::count_if(moments.begin(), moments.end(), [&](lv::time_point each) { return each > now - span; }));
}

TEST(retry_budget, grants_a_tenth_of_the_requests) {
  lv::retry_budget budget(only_the_share());
  int granted = 0;
  for (int i = 0; i < 1000; i++) {
    budget.count_request(start + i * 1ms);
    granted += budget.try_spend(start + i * 1ms) ? 1 : 0;
  }
  EXPECT_EQ(granted, 100);
  EXPECT_EQ(budget.counts_at(start + 1s).requests_in_window, 1000u);
  EXPECT_EQ(budget.counts_at(start + 1s).spent_in_window, 100u);
  EXPECT_EQ(budget.counts_at(start + 1s).refused, 900u);
}

TEST(retry_budget, grants_a_quiet_caller_three_a_second) {
  lv::retry_budget budget;
  int granted = 0;
  for (int i = 0; i < 10'000; i++) granted += budget.try_spend(start + i * 1ms) ? 1 : 0;
  EXPECT_LE(granted, 3 * 10 + 3);
  EXPECT_GE(granted, 27) << "the second that counts is a fourteenth longer than one";
}

TEST(retry_budget, grants_a_quiet_caller_three_a_second_whatever_the_window_is) {
  for (const lv::duration window : {lv::duration{1s}, lv::duration{10s}, lv::duration{1h}}) {
    lv::retry_budget::options how;
    how.window = window;
    lv::retry_budget budget(how);
    int granted = 0;
    for (int i = 0; i < 10'000; i++) granted += budget.try_spend(start + i * 1ms) ? 1 : 0;
    EXPECT_LE(granted, 3 * 10 + 3) << window.count();
    EXPECT_GE(granted, 27) << window.count();
  }
}

TEST(retry_budget, what_is_taken_back_is_not_missed_in_its_second) {
  lv::retry_budget budget;
  for (int i = 0; i < 100; i++) {
    EXPECT_TRUE(budget.try_spend(start));
    budget.take_back(start);
  }
}

TEST(retry_budget, forgets_what_is_older_than_the_window) {
  lv::retry_budget budget(only_the_share());
  for (int i = 0; i < 1000; i++) budget.count_request(start);
  EXPECT_TRUE(budget.try_spend(start + 8s));
  EXPECT_FALSE(budget.try_spend(start + 10s)) << "requests of ten seconds ago are no load any more";
  for (int i = 0; i < 10; i++) budget.count_request(start + 12s);
  EXPECT_FALSE(budget.try_spend(start + 12s)) << "the repetition at 8 s is as much as these ten allow";
  for (int i = 0; i < 10; i++) budget.count_request(start + 20s);
  EXPECT_TRUE(budget.try_spend(start + 20s));
}

TEST(retry_budget, takes_back_what_was_not_used) {
  lv::retry_budget budget(only_the_share());
  for (int i = 0; i < 10; i++) budget.count_request(start);
  ASSERT_TRUE(budget.try_spend(start));
  ASSERT_FALSE(budget.try_spend(start));
  budget.take_back(start);
  EXPECT_TRUE(budget.try_spend(start));
  EXPECT_EQ(budget.counts_at(start).spent, 1u);
  budget.take_back(start + 5s);
  EXPECT_EQ(budget.counts_at(start).spent, 1u) << "nothing was spent then";
}

TEST(retry_budget, that_observes_grants_all_and_counts_what_it_would_have_refused) {
  auto how = only_the_share();
  how.mode = lv::policy_mode::observe;
  lv::retry_budget budget(how);
  for (int i = 0; i < 10; i++) budget.count_request(start);
  for (int i = 0; i < 5; i++) EXPECT_TRUE(budget.try_spend(start));
  EXPECT_EQ(budget.counts_at(start).refused, 4u);
}

// A thousand requests a second for a minute, and 150 repetitions wanted: what it refuses then is what it is observed for.
TEST(retry_budget, that_observes_would_have_refused_what_one_that_enforces_does) {
  const auto refused_by = [](lv::policy_mode mode) {
    lv::retry_budget::options how;
    how.mode = mode;
    lv::retry_budget budget(how);
    for (int i = 0; i < 60'000; i++) {
      budget.count_request(start + i * 1ms);
      if (i % 100 < 15) (void)budget.try_spend(start + i * 1ms);
    }
    return static_cast<double>(budget.counts_at(start + 60s).refused);
  };
  const double enforced = refused_by(lv::policy_mode::enforce);
  EXPECT_GT(enforced, 1000);
  EXPECT_NEAR(refused_by(lv::policy_mode::observe), enforced, enforced / 100);
}

TEST(retry_budget, clamps_what_makes_no_sense) {
  lv::retry_budget::options how;
  how.share_max = 7;
  how.window = 1ns;
  EXPECT_EQ(lv::retry_budget(how).how().share_max, 1.0);
  EXPECT_EQ(lv::retry_budget(how).how().window, 1s);
  how.share_max = -1;
  how.window = 1000h;
  EXPECT_EQ(lv::retry_budget(how).how().share_max, 0.0);
  EXPECT_EQ(lv::retry_budget(how).how().window, 1h);
}

// Against an exact account, with windows of any length: whatever comes when.
TEST(retry_budget, keeps_to_its_share_at_every_moment_at_which_it_grants) {
  for (std::uint64_t seed = 1; seed <= std::uint64_t{60} / std::min(lv::test::slow_build_factor, 10); seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    lv::rng random{seed};
    lv::retry_budget::options how;
    how.share_max = static_cast<double>(random.below(30)) / 100;
    how.window = 1s + lv::duration{static_cast<std::int64_t>(random.below(20'000'000'000))};
    how.per_second_min = static_cast<std::uint32_t>(random.below(5));
    lv::retry_budget budget(how);
    std::deque<lv::time_point> requests;
    std::deque<lv::time_point> granted;
    lv::time_point now = start + lv::duration{static_cast<std::int64_t>(random.below(1'000'000'000))};
    std::uint64_t hurry = 1;
    for (int step = 0; step < 6000; step++) {
      if (step % 500 == 0) hurry = std::uint64_t{1} << random.below(31);  // from 1 ns to 2 s between two
      now += lv::duration{static_cast<std::int64_t>(random.below(hurry))};
      if (random.below(2) == 0) {
        budget.count_request(now);
        requests.push_back(now);
        continue;
      }
      // Well inside of what it counts, and well outside.
      const lv::duration cell = how.window / 8;
      const bool must = within(granted, now, how.window + cell) + 1 <= how.share_max * within(requests, now, how.window - cell);
      const bool got = budget.try_spend(now);
      EXPECT_TRUE(got || !must) << "refused what the share allows, at step " << step;
      if (!got) continue;
      granted.push_back(now);
      const bool by_share = within(granted, now, how.window) <= how.share_max * within(requests, now, how.window) + 1e-9;
      const bool by_floor = within(granted, now, 1s) <= static_cast<int>(how.per_second_min);
      EXPECT_TRUE(by_share || by_floor) << "granted too much, at step " << step;
      while (!requests.empty() && requests.front() < now - 60s) requests.pop_front();
      while (!granted.empty() && granted.front() < now - 60s) granted.pop_front();
    }
  }
}

// Over any run: repetitions <= share * requests + per_second_min * seconds.
TEST(retry_budget, bounds_the_load_of_any_run) {
  for (std::uint64_t seed = 1; seed <= 40; seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    lv::rng random{seed};
    lv::retry_budget budget;
    lv::time_point now = start;
    std::uint64_t requests = 0;
    std::uint64_t granted = 0;
    for (int step = 0; step < 50'000; step++) {
      const auto phase = static_cast<std::uint64_t>(step / 5000 + static_cast<int>(seed));
      now += lv::duration{static_cast<std::int64_t>(random.below(phase % 3 == 0 ? 100'000 : 20'000'000))};
      if (random.below(3) == 0) {
        budget.count_request(now);
        requests++;
      } else {
        granted += budget.try_spend(now) ? 1 : 0;
      }
    }
    const double seconds = std::chrono::duration<double>(now - start).count();
    EXPECT_LE(static_cast<double>(granted), 0.10 * static_cast<double>(requests) + 3 * (seconds + 1));
  }
}

TEST(retry_budget, a_thread_whose_clock_is_behind_loses_no_request_and_gains_nothing) {
  lv::retry_budget budget(only_the_share());
  budget.count_request(start + 40s);
  for (int i = 0; i < 999; i++) budget.count_request(start + 40s - 1ms);
  int granted = 0;
  for (int i = 0; i < 1000; i++) granted += budget.try_spend(start + 40s - (i % 2 == 0 ? 0ms : 600ms)) ? 1 : 0;
  EXPECT_LE(granted, 100);
  EXPECT_GE(granted, 99);
}

TEST(retry_budget, grants_no_more_when_two_workers_ask_at_once) {
  lv::retry_budget budget(only_the_share());
  levity::test::run_tasks(2, [](lv::retry_budget* of) -> lv::task<> {
    const auto asks = [](lv::retry_budget* shared, std::uint64_t* got) -> lv::task<> {
      for (int i = 0; i < 20'000; i++) {
        shared->count_request(start + i * 10us);
        *got += shared->try_spend(start + i * 10us) ? 1 : 0;
        if (i % 100 == 0) co_await lv::yield();
      }
    };
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    lv::scope both;
    both.spawn(asks, of, &first);
    both.spawn(asks, of, &second);
    co_await both.join();
    EXPECT_EQ(of->counts_at(start + 200ms).requests_in_window, 40'000u);
    EXPECT_EQ(first + second, of->counts_at(start + 200ms).spent);
    EXPECT_EQ(first + second, 4'000u);
  }, &budget);
}

}  // namespace
