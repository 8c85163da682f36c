#include "levity/resilience/latency_tracker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "levity/base/rng.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using lv::detail::latency_buckets;

namespace {

constexpr lv::time_point start{1'000'000s};

TEST(latency_buckets, are_an_eighth_wide_and_follow_each_other) {
  lv::duration below = -1ns;
  for (std::size_t i = 0; i < latency_buckets::count; i++) {
    const lv::duration top = latency_buckets::top_of(i);
    EXPECT_EQ(latency_buckets::index_of(below + 1ns), i);
    EXPECT_EQ(latency_buckets::index_of(top), i);
    const lv::duration width = top - below;
    EXPECT_LE(width, std::max<lv::duration>((below + 1ns) / 8, 256ns));
    below = top;
  }
  EXPECT_GT(below, 130s);
  EXPECT_EQ(latency_buckets::index_of(lv::duration::max()), latency_buckets::count - 1);
  EXPECT_EQ(latency_buckets::index_of(-5s), 0u);
}

TEST(latency_tracker, says_nothing_before_it_knows_enough) {
  lv::latency_tracker tracker;
  for (int i = 0; i < 49; i++) tracker.record(1ms, start);
  EXPECT_EQ(tracker.quantile(0.95, start), std::nullopt);
  tracker.record(1ms, start);
  ASSERT_TRUE(tracker.quantile(0.95, start).has_value());
  EXPECT_GE(*tracker.quantile(0.95, start), 1ms);
  EXPECT_EQ(tracker.quantile(0.95, start + 11s), std::nullopt) << "and forgets it";
}

// Against all samples, sorted.
TEST(latency_tracker, is_right_to_an_eighth_about_what_the_window_holds) {
  for (std::uint64_t seed = 1; seed <= std::uint64_t{40} / std::min(lv::test::slow_build_factor, 10); seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    lv::rng random{seed};
    lv::latency_tracker::options how;
    how.window = 100ms + lv::duration{static_cast<std::int64_t>(random.below(20'000'000'000))};
    how.samples_min = 1;
    lv::latency_tracker tracker(how);
    std::vector<std::pair<lv::time_point, lv::duration>> all;
    lv::time_point now = start;
    for (int i = 0; i < 3000; i++) {
      now += lv::duration{static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(how.window.count()) / 100))};
      const lv::duration took{static_cast<std::int64_t>(random() >> (27 + random.below(30)))};
      tracker.record(took, now);
      all.emplace_back(now, took);
      if (i % 100 != 99) continue;
      // What it counts lies between seven and eight eighths of the window.
      const double part = static_cast<double>(random.below(1001)) / 1000;
      const auto got = tracker.quantile(part, now);
      ASSERT_TRUE(got.has_value());
      bool fits = false;
      std::vector<lv::duration> kept;
      for (std::size_t k = all.size(); k-- > 0;) {
        if (all[k].first <= now - how.window) break;
        kept.push_back(all[k].second);
        if (all[k].first > now - how.window * 6 / 8 && k != 0) continue;
        std::vector<lv::duration> sorted = kept;
        std::sort(sorted.begin(), sorted.end());
        const auto rank = std::max<std::size_t>(static_cast<std::size_t>(std::ceil(part * static_cast<double>(sorted.size()))), 1);
        const lv::duration exact = sorted[rank - 1];
        fits = fits || (*got >= exact && *got <= exact + exact / 8 + 256ns);
      }
      EXPECT_TRUE(fits) << "sample " << i << ", part " << part;
    }
  }
}

TEST(latency_tracker, loses_few_samples_when_two_workers_record_at_once) {
  lv::latency_tracker tracker;
  levity::test::run_tasks(2, [](lv::latency_tracker* of) -> lv::task<> {
    const auto records = [](lv::latency_tracker* shared) -> lv::task<> {
      for (int i = 0; i < 20'000; i++) {
        shared->record(1ms, start + i * 100us);
        if (i % 1000 == 0) co_await lv::yield();
      }
    };
    lv::scope both;
    both.spawn(records, of);
    both.spawn(records, of);
    co_await both.join();
    const std::uint64_t seen = of->samples(start + 2s);
    EXPECT_LE(seen, 40'000u);
    EXPECT_GE(seen, 39'900u);
  }, &tracker);
}

}  // namespace
