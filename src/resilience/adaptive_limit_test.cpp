// The permits around limit_estimator: never more inside than the limit, nothing lost, and the limit follows what they tell.
#include "levity/resilience/adaptive_limit.hpp"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "levity/resilience/admission.hpp"
#include "levity/sync/semaphore.hpp"
#include "tests/support/moments.hpp"
#include "tests/support/run_simulated.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using lv::test::at;
using lv::test::run_simulated;
using lv::test::run_tasks;

static_assert(lv::admission_policy<lv::adaptive_limit>);

namespace {

TEST(adaptive_limit, admits_as_many_as_the_limit_and_no_more) {
  lv::adaptive_limit limit;
  std::vector<lv::adaptive_limit::permit> inside;
  for (int i = 0; i < 20; i++) {
    auto place = limit.try_admit(at(0s));
    ASSERT_TRUE(place);
    inside.push_back(std::move(*place));
  }
  const auto refused = limit.try_admit(at(0s));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().cause, lv::rejection_cause::limit_reached);
  inside.pop_back();  // dropped: neutral
  EXPECT_EQ(limit.look().inside, 19U);
  inside.back().record(lv::verdict::success, at(10ms));
  inside.back().record(lv::verdict::success, at(10ms));
  EXPECT_EQ(limit.look().inside, 18U);
  inside.front() = std::move(inside[1]);  // gives its own back
  EXPECT_EQ(limit.look().inside, 17U);
  inside.clear();
  EXPECT_EQ(limit.look().inside, 0U);
}

TEST(adaptive_limit, observes_without_refusing_and_finds_the_limit_all_the_same) {
  lv::adaptive_limit limit{{.mode = lv::policy_mode::observe}};
  std::vector<lv::adaptive_limit::permit> inside;
  for (int i = 0; i < 30; i++) inside.push_back(*limit.try_admit(at(0s)));
  EXPECT_EQ(limit.look().would_have_refused, 10U);
  EXPECT_EQ(limit.look().refused, 0U);
  for (int i = 0; i < 1000; i++) {
    auto place = limit.try_admit(at(i * 1ms));
    place->record(lv::verdict::success, at(i * 1ms + 5ms));
  }
  EXPECT_GT(limit.look().baseline, 4ms);
}

lv::task<> call(lv::adaptive_limit* limit, lv::semaphore* places, lv::duration takes, std::uint64_t* done) {
  auto place = limit->try_admit(lv::clock::now());
  if (!place) co_return;
  co_await places->acquire();
  co_await lv::sleep(takes);
  places->release();
  ++*done;
  place->record(lv::verdict::success, lv::clock::now());
}

// A server of 16 places that is asked for half as much again, as coroutines in virtual time.
TEST(adaptive_limit, finds_the_places_of_a_server_of_coroutines) {
  for (std::uint64_t seed = 1; seed <= 3; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const int code = run_simulated(seed, [](std::uint64_t drawn) -> lv::task<> {
      lv::rng random{drawn};
      lv::adaptive_limit limit;
      lv::semaphore places{16};
      std::uint64_t done = 0;
      const lv::time_point began = lv::clock::now();
      lv::time_point next = began;
      lv::scope calls;
      while (next < began + 20s) {
        co_await lv::sleep_until(next);
        calls.spawn(call, &limit, &places, lv::test::exponential(random, 10ms), &done);
        next += lv::test::exponential(random, lv::duration{10ms} / 24);
      }
      co_await calls.join();
      EXPECT_GE(static_cast<double>(done), 0.9 * 1600 * 20);
      const auto looked = limit.look();
      EXPECT_GE(looked.limit, 8U);
      EXPECT_LE(looked.limit, 48U);
      EXPECT_GT(looked.refused, 0U);
      EXPECT_EQ(looked.inside, 0U);
    }, seed);
    EXPECT_EQ(code, 0);
  }
}

// The same server, and nobody keeps to the limit: for 5 s it is asked for half of what it can do, then for 1.2 times as much. It is
// found where it would be, and what would have been refused is what is too much, not everybody who waits.
TEST(adaptive_limit, that_observes_learns_from_a_server_that_it_does_not_hold_back) {
  for (std::uint64_t seed = 1; seed <= 3; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const int code = run_simulated(seed, [](std::uint64_t drawn) -> lv::task<> {
      lv::rng random{drawn};
      lv::adaptive_limit limit{{.estimator = {.initial = 100}, .mode = lv::policy_mode::observe}};
      lv::semaphore places{16};
      std::uint64_t done = 0;
      std::uint64_t begun = 0;
      const lv::time_point began = lv::clock::now();
      lv::time_point next = began;
      lv::scope calls;
      std::uint64_t too_many_when_idle = 0;
      for (; next < began + 15s; begun++) {
        co_await lv::sleep_until(next);
        calls.spawn(call, &limit, &places, lv::test::exponential(random, 10ms), &done);
        const bool idles = next < began + 5s;
        if (idles) too_many_when_idle = limit.look().would_have_refused;
        next += lv::test::exponential(random, lv::duration{10ms} * 100 / (idles ? 800 : 1920));
      }
      EXPECT_LT(too_many_when_idle, 100U) << "of 4,000";
      EXPECT_GE(limit.limit(), 12U);
      EXPECT_LE(limit.limit(), 32U);
      const double too_many = 0.2 * 1600 * 10;
      EXPECT_GT(static_cast<double>(limit.look().would_have_refused), 0.6 * too_many);
      EXPECT_LT(static_cast<double>(limit.look().would_have_refused), 1.5 * too_many);
      co_await calls.join();
      EXPECT_EQ(done, begun) << "nobody is held back";
      EXPECT_EQ(limit.look().refused, 0U);
      EXPECT_EQ(limit.look().inside, 0U);
    }, seed);
    EXPECT_EQ(code, 0);
  }
}

lv::task<> admit_and_end(lv::adaptive_limit* limit, int times, lv::atomic<int>* inside, lv::atomic<bool>* too_many) {
  for (int i = 0; i < times; i++) {
    auto place = limit->try_admit(at(i * 1us));
    if (!place) {
      co_await lv::yield();
      continue;
    }
    if (inside->fetch_add(1, std::memory_order_relaxed) >= 8) too_many->store(true, std::memory_order_relaxed);
    if (i % 16 == 0) co_await lv::yield();
    inside->fetch_sub(1, std::memory_order_relaxed);
    if (i % 3 != 0) place->record(i % 3 == 1 ? lv::verdict::success : lv::verdict::failure, at(i * 1us + 1ms));
  }
}

TEST(adaptive_limit, loses_no_place_among_threads) {
  run_tasks(4, []() -> lv::task<> {
    lv::adaptive_limit limit{{.estimator = {.initial = 8, .limit_max = 8}}};
    lv::atomic<int> inside{0};
    lv::atomic<bool> too_many{false};
    lv::scope all;
    for (int i = 0; i < 16; i++) all.spawn(admit_and_end, &limit, 20'000 / lv::test::slow_build_factor, &inside, &too_many);
    co_await all.join();
    EXPECT_FALSE(too_many.load(std::memory_order_relaxed));
    EXPECT_EQ(limit.look().inside, 0U);
  });
}

}  // namespace
