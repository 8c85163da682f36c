// Goal: the arrival times are exactly the asked ones, however many threads share them.
#include "load/schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

using levity::load::schedule;

TEST(schedule, requests_are_evenly_spaced_without_drift) {
  const schedule plan(1'000, 12'000.0, 3'600'000'000'000, 0, 1);
  EXPECT_EQ(plan.size(), 43'200'000U);
  EXPECT_EQ(plan.at_ns(0), 1'000);
  EXPECT_NEAR(static_cast<double>(plan.at_ns(12'000) - 1'000), 1e9, 1.0);
  EXPECT_NEAR(static_cast<double>(plan.at_ns(43'199'999) - 1'000), 3600e9 - 1e9 / 12'000, 2.0);
}

TEST(schedule, every_time_is_before_the_end) {
  for (const double rate : {0.5, 1.0, 3.0, 7.7, 999.9, 12'000.0, 1e6}) {
    const schedule plan(0, rate, 10'000'000'000, 0, 1);
    ASSERT_GT(plan.size(), 0U);
    EXPECT_LT(plan.at_ns(plan.size() - 1), 10'000'000'000) << rate;
    EXPECT_GE(plan.at_ns(plan.size()), 10'000'000'000 - 1) << rate;
  }
}

TEST(schedule, shards_together_are_the_whole) {
  const schedule whole(5, 1'234.5, 2'000'000'000, 0, 1);
  std::vector<std::int64_t> times;
  for (std::uint64_t shard = 0; shard < 3; ++shard) {
    const schedule part(5, 1'234.5, 2'000'000'000, shard, 3);
    for (std::uint64_t i = 0; i < part.size(); ++i) times.push_back(part.at_ns(i));
  }
  std::sort(times.begin(), times.end());
  ASSERT_EQ(times.size(), whole.size());
  for (std::uint64_t i = 0; i < whole.size(); ++i) ASSERT_EQ(times[i], whole.at_ns(i));
}

TEST(schedule, fewer_requests_than_shards_leaves_some_empty) {
  EXPECT_EQ(schedule(0, 1.0, 2'000'000'000, 1, 4).size(), 1U);
  EXPECT_EQ(schedule(0, 1.0, 2'000'000'000, 3, 4).size(), 0U);
}

TEST(schedule, tick_gathers_requests_without_changing_their_number_or_rate) {
  const schedule even(7, 12'000.0, 1'000'000'000, 0, 1);
  const schedule ticked(7, 12'000.0, 1'000'000'000, 0, 1, 1'000'000);
  ASSERT_EQ(ticked.size(), even.size());
  for (std::uint64_t i = 0; i < even.size(); ++i) {
    ASSERT_EQ((ticked.at_ns(i) - 7) % 1'000'000, 0);
    ASSERT_LE(ticked.at_ns(i), even.at_ns(i));
    ASSERT_GT(ticked.at_ns(i), even.at_ns(i) - 1'000'000);
  }
}
