// What a rate promises: never more than burst + rate * time, exactly that when asked all the time, and nothing lost between
// threads.
#include "levity/resilience/token_bucket.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "levity/resilience/admission.hpp"
#include "tests/support/moments.hpp"
#include "tests/support/run_simulated.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using lv::test::at;
using lv::test::run_simulated;
using lv::test::run_tasks;

static_assert(lv::admission_policy<lv::token_bucket>);

namespace {

TEST(token_bucket, holds_its_burst_at_first_and_gets_one_token_each_interval) {
  lv::token_bucket bucket{{.per_second = 100, .burst = 5}};
  for (int i = 0; i < 5; i++) EXPECT_TRUE(bucket.try_take(1, at(0ms)));
  EXPECT_FALSE(bucket.try_take(1, at(0ms)));
  EXPECT_EQ(bucket.time_until(1, at(0ms)), 10ms);
  EXPECT_EQ(bucket.time_until(5, at(0ms)), 50ms);
  EXPECT_FALSE(bucket.try_take(1, at(10ms - 1ns)));
  EXPECT_TRUE(bucket.try_take(1, at(10ms)));
  EXPECT_FALSE(bucket.try_take(1, at(10ms)));
  EXPECT_TRUE(bucket.try_take(5, at(1h))) << "it is full after a pause";
  EXPECT_FALSE(bucket.try_take(1, at(1h))) << "and not fuller than full";
}

TEST(token_bucket, takes_all_or_nothing_and_never_more_than_it_holds) {
  lv::token_bucket bucket{{.per_second = 10, .burst = 3}};
  EXPECT_FALSE(bucket.try_take(4, at(0s)));
  EXPECT_FALSE(bucket.try_take(std::numeric_limits<std::uint64_t>::max(), at(0s)));
  EXPECT_EQ(bucket.time_until(4, at(0s)), lv::duration::max());
  EXPECT_TRUE(bucket.try_take(2, at(0s)));
  EXPECT_FALSE(bucket.try_take(2, at(0s)));
  EXPECT_TRUE(bucket.try_take(1, at(0s)));
  EXPECT_TRUE(bucket.try_take(0, at(0s)));
}

TEST(token_bucket, says_in_its_refusal_when_to_ask_again) {
  lv::token_bucket bucket{{.per_second = 4, .burst = 1}};
  EXPECT_TRUE(bucket.try_admit(at(0s)));
  const auto refused = bucket.try_admit(at(50ms));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), (lv::rejection{lv::rejection_cause::rate_exceeded, 200ms}));
  EXPECT_TRUE(bucket.try_admit(at(250ms)));
}

TEST(token_bucket, a_permit_gives_nothing_back_and_put_back_does_up_to_full) {
  lv::token_bucket bucket{{.per_second = 1, .burst = 2}};
  EXPECT_TRUE(bucket.try_admit(at(0s))) << "and the permit is gone";
  EXPECT_EQ(bucket.look(at(0s)).tokens, 1);
  bucket.put_back(1, at(0s));
  EXPECT_EQ(bucket.look(at(0s)).tokens, 2);
  bucket.put_back(100, at(0s));
  EXPECT_EQ(bucket.look(at(0s)).tokens, 2);
  EXPECT_TRUE(bucket.try_take(2, at(0s)));
  EXPECT_FALSE(bucket.try_take(1, at(0s)));
}

TEST(token_bucket, a_permit_that_is_withdrawn_puts_its_token_back_once) {
  lv::token_bucket bucket{{.per_second = 1, .burst = 2}};
  auto permit = bucket.try_admit(at(0s));
  ASSERT_TRUE(permit);
  auto moved = std::move(*permit);
  permit->withdraw();  // moved from: nothing
  EXPECT_EQ(bucket.look(at(0s)).tokens, 1);
  moved.withdraw();
  moved.withdraw();
  EXPECT_EQ(bucket.look(at(0s)).tokens, 2);
  lv::token_bucket observes{{.per_second = 1, .burst = 1, .mode = lv::policy_mode::observe}};
  (void)observes.try_take(1, at(0s));
  observes.try_admit(at(0s))->withdraw();
  EXPECT_EQ(observes.look(at(0s)).tokens, 0) << "it had taken none";
}

TEST(token_bucket, observes_without_refusing_and_decides_as_it_would_have) {
  lv::token_bucket acts{{.per_second = 50, .burst = 3}};
  lv::token_bucket observes{{.per_second = 50, .burst = 3, .mode = lv::policy_mode::observe}};
  lv::rng random{7};
  lv::duration now{};
  for (int i = 0; i < 10'000; i++) {
    now += lv::test::exponential(random, 10ms);
    (void)acts.try_take(1, at(now));
    EXPECT_TRUE(observes.try_take(1, at(now)));
  }
  const auto acted = acts.look(at(now));
  const auto observed = observes.look(at(now));
  EXPECT_GT(acted.refused, 1000U);
  EXPECT_EQ(observed.would_have_refused, acted.refused);
  EXPECT_EQ(observed.admitted, 10'000U);
  EXPECT_EQ(observed.refused, 0U);
  EXPECT_EQ(acted.would_have_refused, 0U);
}

// In every stretch of time no more than burst + rate * length; and who asks all the time gets that.
TEST(token_bucket, never_lets_more_through_than_burst_and_rate_allow) {
  for (std::uint64_t seed = 1; seed <= 50; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    lv::rng random{seed};
    const double per_second = std::exp(static_cast<double>(random.below(1600)) / 100);  // up to 9 million
    const std::uint64_t burst = 1 + random.below(50);
    lv::token_bucket bucket{{.per_second = per_second, .burst = burst}};
    const lv::duration step{static_cast<std::int64_t>(0.3e9 / per_second) + 1};
    std::vector<std::pair<lv::duration, std::uint64_t>> taken;
    lv::duration now{};
    for (int i = 0; i < 2000; i++) {
      now += lv::test::exponential(random, step);
      const std::uint64_t n = 1 + random.below(burst);
      if (!bucket.try_take(n, at(now))) continue;
      taken.emplace_back(now, n);
    }
    for (std::size_t i = 0; i < taken.size(); i += 1 + taken.size() / 40) {
      std::uint64_t since = 0;
      for (std::size_t j = i; j < taken.size(); j++) {
        since += taken[j].second;
        const double seconds = static_cast<double>((taken[j].first - taken[i].first).count()) / 1e9;
        EXPECT_LE(static_cast<double>(since), static_cast<double>(burst) + per_second * seconds * 1.001 + 1e-6);
      }
    }
    // With room for one alone a token comes too late for the next by as long as nobody asks for it.
    lv::token_bucket asked{{.per_second = per_second, .burst = burst + 1}};
    std::uint64_t got = 0;
    const lv::duration whole = 2000 * step;
    for (lv::duration t{}; t <= whole; t += step / 4 + 1ns) got += asked.try_take(1, at(t)) ? 1 : 0;
    EXPECT_GE(static_cast<double>(got) + 2,
              (static_cast<double>(burst) + 1 + per_second * static_cast<double>(whole.count()) / 1e9) * 0.99);
  }
}

TEST(token_bucket, bounds_what_is_no_rate) {
  for (const double rate : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity(), 1e300}) {
    lv::token_bucket bucket{{.per_second = rate, .burst = std::numeric_limits<std::uint64_t>::max()}};
    EXPECT_TRUE(bucket.try_take(1, at(0s)));
    EXPECT_GT(bucket.look(at(0s)).tokens, -1);
  }
  lv::token_bucket least{{.per_second = 0, .burst = 1}};
  EXPECT_TRUE(least.try_take(1, at(0s)));
  EXPECT_FALSE(least.try_take(1, at(24h * 364)));
  EXPECT_TRUE(least.try_take(1, at(24h * 366)));
}

TEST(token_bucket, goes_on_with_a_clock_that_is_behind) {
  lv::token_bucket bucket{{.per_second = 10, .burst = 2}};
  EXPECT_TRUE(bucket.try_take(2, at(1s)));
  EXPECT_FALSE(bucket.try_take(1, at(1s - 50ms)));
  EXPECT_TRUE(bucket.try_take(1, at(1s + 100ms)));
  EXPECT_FALSE(bucket.try_take(1, lv::time_point{-5h})) << "a moment before the clock's first one is that one";
}

TEST(token_bucket, reserves_in_turn_and_no_further_than_one_waits) {
  lv::token_bucket bucket{{.per_second = 10, .burst = 1}};
  EXPECT_EQ(bucket.reserve(1, at(0s), 0s), 0ms);
  EXPECT_EQ(bucket.reserve(1, at(0s), 1s), 100ms);
  EXPECT_EQ(bucket.reserve(1, at(0s), 1s), 200ms);
  const auto refused = bucket.reserve(1, at(0s), 250ms);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().retry_after, 50ms);
  EXPECT_EQ(bucket.look(at(0s)).tokens, -2);
  bucket.put_back(1, at(200ms));
  bucket.put_back(1, at(100ms));
  EXPECT_EQ(bucket.reserve(1, at(0s), 250ms), 100ms);
  EXPECT_FALSE(bucket.reserve(2, at(0s), 1h)) << "more than it ever holds";
}

struct turn {
  lv::duration due;
  std::uint64_t n;
};

// In every stretch of time no more than burst + rate * length, to a nanosecond for each turn.
void expect_rate_held(std::vector<turn> turns, double per_second, std::uint64_t burst) {
  std::sort(turns.begin(), turns.end(), [](const turn& a, const turn& b) { return a.due < b.due; });
  for (std::size_t i = 0; i < turns.size(); i++) {
    std::uint64_t since = 0;
    for (std::size_t j = i; j < turns.size(); j++) {
      since += turns[j].n;
      const double seconds = static_cast<double>((turns[j].due - turns[i].due).count()) / 1e9;
      ASSERT_LE(static_cast<double>(since), static_cast<double>(burst) + per_second * seconds + 1e-3)
          << "from " << turns[i].due.count() << " to " << turns[j].due.count();
    }
  }
}

TEST(token_bucket, who_gives_up_leaves_the_others_their_turns_and_gives_none_of_them_out_again) {
  lv::token_bucket bucket{{.per_second = 1, .burst = 1}};
  std::vector<turn> turns{{0s, 1}};
  EXPECT_EQ(bucket.reserve(1, at(0s), 0s), 0s);
  std::vector<lv::duration> waits;
  for (int i = 0; i < 100; i++) waits.push_back(*bucket.reserve(1, at(0s), 1h));
  for (int i = 0; i < 50; i++) bucket.put_back(1, at(waits[static_cast<std::size_t>(i)]));  // the next ones, at 0.5 s
  for (int i = 50; i < 100; i++) turns.push_back({waits[static_cast<std::size_t>(i)], 1});
  for (int i = 0; i < 50; i++) turns.push_back({500ms + *bucket.reserve(1, at(500ms), 1h), 1});
  expect_rate_held(turns, 1, 1);
}

TEST(token_bucket, holds_its_rate_whoever_reserves_and_gives_up) {
  for (std::uint64_t seed = 1; seed <= 50; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    lv::rng random{seed};
    const std::uint64_t burst = 1 + random.below(5);
    lv::token_bucket bucket{{.per_second = 8, .burst = burst}};
    std::vector<turn> turns;
    lv::duration now{};
    for (int i = 0; i < 400; i++) {
      now += lv::test::exponential(random, 100ms);
      if (random.below(3) != 0) {
        const std::uint64_t n = 1 + random.below(burst);
        if (const auto wait = bucket.reserve(n, at(now), 20s)) turns.push_back({now + *wait, n});
      } else if (!turns.empty()) {
        const std::size_t which = random.below(turns.size());
        if (turns[which].due <= now) continue;
        bucket.put_back(turns[which].n, at(turns[which].due));
        turns.erase(turns.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    expect_rate_held(turns, 8, burst);
  }
}

lv::task<> take_one(lv::token_bucket* bucket, lv::duration wait_max, std::vector<lv::time_point>* when, int* refused) {
  const auto got = co_await bucket->take(1, wait_max);
  if (got) {
    when->push_back(lv::clock::now());
  } else {
    ++*refused;
  }
}

TEST(token_bucket, who_waits_for_a_token_gets_it_in_its_turn) {
  const int code = run_simulated(1, []() -> lv::task<> {
    lv::token_bucket bucket{{.per_second = 10, .burst = 1}};
    std::vector<lv::time_point> when;
    int refused = 0;
    const lv::time_point began = lv::clock::now();
    lv::scope all;
    for (int i = 0; i < 20; i++) all.spawn(take_one, &bucket, 1s, &when, &refused);
    co_await all.join();
    EXPECT_EQ(when.size(), 11U);
    EXPECT_EQ(refused, 9);
    for (std::size_t i = 0; i < when.size(); i++) {
      EXPECT_GE(when[i] - began, 99ms * static_cast<int>(i));
      EXPECT_LT(when[i] - began, 100ms * static_cast<int>(i) + 10ms);
    }
  });
  EXPECT_EQ(code, 0);
}

TEST(token_bucket, who_is_cancelled_while_it_waits_puts_its_token_back) {
  const int code = run_simulated(1, []() -> lv::task<> {
    lv::token_bucket bucket{{.per_second = 1, .burst = 1}};
    EXPECT_TRUE(bucket.try_take(1, lv::clock::now()));
    std::vector<lv::time_point> when;
    int refused = 0;
    lv::scope all;
    for (int i = 0; i < 5; i++) all.spawn(take_one, &bucket, 1h, &when, &refused);
    co_await lv::sleep(10ms);
    EXPECT_LT(bucket.look(lv::clock::now()).tokens, -4);
    all.cancel();
    co_await all.join();
    EXPECT_TRUE(when.empty());
    EXPECT_GT(bucket.look(lv::clock::now()).tokens, 0);
  });
  EXPECT_EQ(code, 0);
}

TEST(token_bucket, tasks_that_give_up_leave_the_others_their_turns) {
  const int code = run_simulated(1, []() -> lv::task<> {
    lv::token_bucket bucket{{.per_second = 1, .burst = 1}};
    EXPECT_TRUE(bucket.try_take(1, lv::clock::now()));
    std::vector<lv::time_point> when;
    int refused = 0;
    lv::scope give_up;
    for (int i = 0; i < 50; i++) give_up.spawn(take_one, &bucket, 1h, &when, &refused);
    co_await lv::sleep(10ms);
    lv::scope stay;
    for (int i = 0; i < 50; i++) stay.spawn(take_one, &bucket, 1h, &when, &refused);
    co_await lv::sleep(490ms);
    give_up.cancel();
    co_await give_up.join();
    lv::scope come;
    for (int i = 0; i < 50; i++) come.spawn(take_one, &bucket, 1h, &when, &refused);
    co_await lv::sleep(10ms);
    come.cancel();
    co_await come.join();
    EXPECT_NEAR(bucket.look(lv::clock::now()).tokens, -99.5, 0.1) << "those behind the others have put back all of theirs";
    for (int i = 0; i < 50; i++) stay.spawn(take_one, &bucket, 1h, &when, &refused);
    co_await stay.join();
    EXPECT_EQ(when.size(), 100U);
    for (std::size_t i = 1; i < when.size(); i++) EXPECT_GT(when[i] - when[i - 1], 900ms);
  });
  EXPECT_EQ(code, 0);
}

lv::task<> take_all(lv::token_bucket* bucket, lv::time_point now, int times, lv::atomic<std::uint64_t>* taken) {
  for (int i = 0; i < times; i++) {
    if (bucket->try_take(1, now)) taken->fetch_add(1, std::memory_order_relaxed);
  }
  co_return;
}

TEST(token_bucket, gives_each_token_to_one_thread) {
  run_tasks(4, []() -> lv::task<> {
    const int times = 200'000 / lv::test::slow_build_factor;
    lv::token_bucket bucket{{.per_second = 0, .burst = 1}};
    lv::token_bucket many{{.per_second = 1, .burst = static_cast<std::uint64_t>(times)}};
    lv::atomic<std::uint64_t> one{0};
    lv::atomic<std::uint64_t> taken{0};
    lv::scope all;
    for (int i = 0; i < 4; i++) all.spawn(take_all, &bucket, at(0s), times, &one);
    for (int i = 0; i < 4; i++) all.spawn(take_all, &many, at(0s), times, &taken);
    co_await all.join();
    EXPECT_EQ(one.load(std::memory_order_relaxed), 1U);
    EXPECT_EQ(taken.load(std::memory_order_relaxed), static_cast<std::uint64_t>(times));
    const auto looked = many.look(at(0s));
    EXPECT_EQ(looked.admitted, static_cast<std::uint64_t>(times));
    EXPECT_EQ(looked.refused, 3 * static_cast<std::uint64_t>(times));
  });
}

}  // namespace
