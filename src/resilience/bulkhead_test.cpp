// What a bulkhead promises: never more inside than may be, first come first served, and no place lost, whoever is cancelled when.
#include "levity/resilience/bulkhead.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
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

static_assert(lv::admission_policy<lv::bulkhead>);

namespace {

struct tally {
  std::vector<int> order;
  std::vector<lv::duration> refused_after;
  int cancelled = 0;
  lv::cancel_reason why = lv::cancel_reason::none;
};

lv::task<> visit(lv::bulkhead* to, lv::duration stay, int number, tally* seen) {
  const lv::time_point began = lv::clock::now();
  try {
    const auto place = co_await to->admit();
    if (!place) {
      EXPECT_EQ(place.error().cause, lv::rejection_cause::bulkhead_full);
      seen->refused_after.push_back(lv::clock::now() - began);
      co_return;
    }
    seen->order.push_back(number);
    co_await lv::sleep(stay);
  } catch (const lv::cancelled& reason) {
    seen->cancelled++;
    seen->why = reason.reason();
    throw;
  }
}

TEST(bulkhead, admits_up_to_its_size_and_refuses_at_once_who_may_not_wait) {
  lv::bulkhead hull{{.concurrent_max = 2, .waiting_max = 5}};
  auto first = hull.try_admit(at(0s));
  auto second = hull.try_admit(at(0s));
  ASSERT_TRUE(first && second);
  const auto third = hull.try_admit(at(0s));
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().cause, lv::rejection_cause::bulkhead_full);
  first->record(lv::verdict::success, at(1s));
  first->record(lv::verdict::failure, at(1s));  // told already
  EXPECT_TRUE(hull.try_admit(at(1s))) << "and dropped at once";
  auto again = hull.try_admit(at(1s));
  EXPECT_TRUE(again);
  second = std::move(again);  // gives its own place back
  EXPECT_EQ(hull.look().inside, 1U);
}

TEST(bulkhead, serves_who_waits_in_the_order_of_arrival) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const int code = run_simulated(seed, []() -> lv::task<> {
      lv::bulkhead hull{{.concurrent_max = 1, .waiting_max = 100, .wait_max = 1h}};
      tally seen;
      lv::scope all;
      for (int i = 0; i < 50; i++) {
        all.spawn(visit, &hull, 1s, i, &seen);
        co_await lv::sleep(10ms);
      }
      EXPECT_EQ(hull.look().waiting, 49U);
      EXPECT_FALSE(hull.try_admit(lv::clock::now())) << "a newcomer passes nobody";
      co_await all.join();
      EXPECT_TRUE(std::is_sorted(seen.order.begin(), seen.order.end()));
      EXPECT_EQ(seen.order.size(), 50U);
      EXPECT_EQ(hull.look().inside, 0U);
    });
    EXPECT_EQ(code, 0);
  }
}

TEST(bulkhead, refuses_after_the_longest_wait_and_at_once_when_too_many_wait) {
  const int code = run_simulated(1, []() -> lv::task<> {
    lv::bulkhead hull{{.concurrent_max = 1, .waiting_max = 3, .wait_max = 200ms}};
    tally seen;
    lv::scope all;
    all.spawn(visit, &hull, 1s, 0, &seen);
    co_await lv::sleep(1ms);
    for (int i = 1; i <= 5; i++) all.spawn(visit, &hull, 1s, i, &seen);
    co_await all.join();
    EXPECT_EQ(seen.order, std::vector<int>{0});
    EXPECT_EQ(seen.refused_after.size(), 5U);
    std::sort(seen.refused_after.begin(), seen.refused_after.end());
    EXPECT_LT(seen.refused_after[1], 1ms);
    EXPECT_GE(seen.refused_after[2], 200ms);
    EXPECT_LT(seen.refused_after[4], 210ms);
    const auto looked = hull.look();
    EXPECT_EQ(looked.admitted, 1U);
    EXPECT_EQ(looked.refused_full, 2U);
    EXPECT_EQ(looked.refused_waited, 3U);
    EXPECT_EQ(looked.waiting, 0U);
    EXPECT_EQ(looked.inside, 0U);
  });
  EXPECT_EQ(code, 0);
}

lv::task<> visit_within(lv::duration span, lv::bulkhead* to, tally* seen) {
  try {
    co_await lv::with_deadline(span, visit(to, 1s, 1, seen));
  } catch (const lv::cancelled&) {  // counted
  }
}

TEST(bulkhead, a_deadline_ends_the_wait_and_so_does_cancellation) {
  const int code = run_simulated(1, []() -> lv::task<> {
    lv::bulkhead hull{{.concurrent_max = 1, .waiting_max = 3, .wait_max = lv::duration::max()}};
    tally seen;
    auto inside = hull.try_admit(lv::clock::now());
    lv::scope late;
    late.spawn(visit_within, 50ms, &hull, &seen);
    co_await late.join();
    EXPECT_EQ(seen.cancelled, 1);
    EXPECT_EQ(seen.why, lv::cancel_reason::deadline);
    lv::scope called_off;
    called_off.spawn(visit, &hull, 1s, 2, &seen);
    co_await lv::sleep(10ms);
    EXPECT_EQ(hull.look().waiting, 1U);
    called_off.cancel();
    co_await called_off.join();
    EXPECT_EQ(seen.cancelled, 2);
    EXPECT_EQ(seen.why, lv::cancel_reason::requested);
    EXPECT_EQ(hull.look().waiting, 0U);
    EXPECT_EQ(hull.look().left, 2U);
    inside->record(lv::verdict::success, lv::clock::now());
    EXPECT_EQ(hull.look().inside, 0U) << "nobody took the place along";
    EXPECT_TRUE(hull.try_admit(lv::clock::now()));
  });
  EXPECT_EQ(code, 0);
}

TEST(bulkhead, observes_without_refusing) {
  lv::bulkhead hull{{.concurrent_max = 2, .waiting_max = 1, .mode = lv::policy_mode::observe}};
  std::vector<lv::bulkhead::permit> inside;
  for (int i = 0; i < 10; i++) inside.push_back(*hull.try_admit(at(0s)));
  const auto looked = hull.look();
  EXPECT_EQ(looked.admitted, 10U);
  EXPECT_EQ(looked.would_have_refused, 8U) << "who may not wait is refused when two are inside";
  EXPECT_EQ(looked.inside, 10U);
}

lv::task<> comes(lv::bulkhead* to, lv::duration stay) {
  auto place = co_await to->admit();
  if (!place) co_return;
  co_await lv::sleep(stay);
  place->record(lv::verdict::success, lv::clock::now());
}

// Ten places for 0.1 s each, asked for by twice as many, who wait for a tenth of a second, or for an hour, or not at all.
TEST(bulkhead, that_observes_would_have_refused_what_one_that_enforces_does) {
  for (const lv::duration wait_max : {lv::duration{0}, lv::duration{50ms}, lv::duration{100ms}, lv::duration{1h}}) {
    for (const std::uint32_t waiting_max : {5U, 1000U}) {
      SCOPED_TRACE("wait_max " + std::to_string(wait_max / 1ms) + " ms, waiting_max " + std::to_string(waiting_max));
      const auto refused_by = [&](lv::policy_mode mode) {
        static std::uint64_t refused;
        refused = 0;
        const int code = run_simulated(
            7,
            [](lv::bulkhead_options how) -> lv::task<> {
              lv::rng random{7};
              lv::bulkhead hull{how};
              lv::scope all;
              for (int i = 0; i < 2000; i++) {
                all.spawn(comes, &hull, 50ms + lv::test::exponential(random, 50ms));
                co_await lv::sleep(lv::test::exponential(random, 5ms));
              }
              co_await all.join();
              const auto looked = hull.look();
              refused = looked.refused_full + looked.refused_waited + looked.would_have_refused;
            },
            lv::bulkhead_options{.concurrent_max = 10, .waiting_max = waiting_max, .wait_max = wait_max, .mode = mode});
        EXPECT_EQ(code, 0);
        return static_cast<double>(refused);
      };
      const double enforced = refused_by(lv::policy_mode::enforce);
      const double observed = refused_by(lv::policy_mode::observe);
      EXPECT_NEAR(observed, enforced, 0.2 * enforced + 20);
    }
  }
}

struct census {
  lv::atomic<int> inside{0};
  lv::atomic<int> inside_max{0};
  lv::atomic<int> admitted{0};
  lv::atomic<int> refused{0};
  lv::atomic<int> cancelled{0};
};

lv::task<> visits(lv::bulkhead* to, std::uint64_t seed, int rounds, census* seen) {
  lv::rng random{seed};
  for (int i = 0; i < rounds; i++) {
    try {
      auto place = co_await to->admit();
      if (!place) {
        seen->refused.fetch_add(1, std::memory_order_relaxed);
        co_await lv::yield();
        continue;
      }
      seen->admitted.fetch_add(1, std::memory_order_relaxed);
      const int now = seen->inside.fetch_add(1, std::memory_order_relaxed) + 1;
      int most = seen->inside_max.load(std::memory_order_relaxed);
      while (now > most &&
             !seen->inside_max.compare_exchange_weak(most, now, std::memory_order_relaxed, std::memory_order_relaxed)) {
      }
      const auto draw = random.below(4);
      if (draw == 0) co_await lv::yield();
      if (draw == 1) co_await lv::sleep(std::chrono::microseconds(random.below(200)));
      seen->inside.fetch_sub(1, std::memory_order_relaxed);
      if (random.below(2) == 0) place->record(lv::verdict::success, lv::clock::now());
    } catch (const lv::cancelled&) {
      seen->cancelled.fetch_add(1, std::memory_order_relaxed);
      throw;
    }
  }
}

// Cancelled while inside counts as inside until the permit goes: undone here by hand.
lv::task<> visits_within(lv::duration span, lv::bulkhead* to, std::uint64_t seed, census* seen) {
  lv::rng random{seed};
  struct place_count {
    census* of;
    bool in = false;
    ~place_count() {
      if (in) of->inside.fetch_sub(1, std::memory_order_relaxed);
    }
  };
  struct probe {
    static lv::task<> once(lv::bulkhead* at_hull, lv::duration stay, census* of) {
      auto place = co_await at_hull->admit();
      if (!place) {
        of->refused.fetch_add(1, std::memory_order_relaxed);
        co_return;
      }
      of->admitted.fetch_add(1, std::memory_order_relaxed);
      place_count here{of};
      const int now = of->inside.fetch_add(1, std::memory_order_relaxed) + 1;
      here.in = true;
      int most = of->inside_max.load(std::memory_order_relaxed);
      while (now > most && !of->inside_max.compare_exchange_weak(most, now, std::memory_order_relaxed, std::memory_order_relaxed)) {
      }
      co_await lv::sleep(stay);
    }
  };
  for (int i = 0; i < 20; i++) {
    const auto stay = std::chrono::microseconds(random.below(400));
    try {
      co_await lv::with_deadline(span, probe::once(to, stay, seen));
    } catch (const lv::cancelled& why) {
      seen->cancelled.fetch_add(1, std::memory_order_relaxed);
      if (why.reason() != lv::cancel_reason::deadline) throw;
    }
  }
}

void check_census(lv::bulkhead& hull, const census& seen, int size) {
  const auto looked = hull.look();
  EXPECT_EQ(looked.inside, 0U);
  EXPECT_EQ(looked.waiting, 0U);
  EXPECT_LE(seen.inside_max.load(std::memory_order_relaxed), size);
  EXPECT_GE(looked.admitted, static_cast<std::uint64_t>(seen.admitted.load(std::memory_order_relaxed)));
  EXPECT_EQ(looked.refused_full + looked.refused_waited, static_cast<std::uint64_t>(seen.refused.load(std::memory_order_relaxed)));
  for (int i = 0; i < size; i++) EXPECT_TRUE(hull.try_admit(at(0s)));
}

// Random stays, waits that end by time, deadlines, and a cancellation of all: no place is lost, and never are more inside.
TEST(bulkhead, loses_no_place_whoever_is_cancelled_when) {
  for (std::uint64_t seed = 1; seed <= 30; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const int code = run_simulated(seed, [](std::uint64_t drawn) -> lv::task<> {
      lv::rng random{drawn};
      const int size = 1 + static_cast<int>(random.below(4));
      lv::bulkhead hull{{.concurrent_max = static_cast<std::uint32_t>(size),
                         .waiting_max = static_cast<std::uint32_t>(random.below(6)),
                         .wait_max = std::chrono::microseconds(random.below(2000))}};
      census seen;
      {
        lv::scope all;
        for (std::uint64_t i = 0; i < 12; i++) {
          all.spawn(visits_within, std::chrono::microseconds(100 + random.below(2000)), &hull, drawn * 100 + i, &seen);
        }
        co_await lv::sleep(std::chrono::microseconds(random.below(20'000)));
        if (drawn % 2 == 0) all.cancel();
        co_await all.join();
      }
      check_census(hull, seen, size);
    }, seed);
    EXPECT_EQ(code, 0);
  }
}

TEST(bulkhead, loses_no_place_among_threads) {
  run_tasks(4, []() -> lv::task<> {
    lv::bulkhead hull{{.concurrent_max = 3, .waiting_max = 8, .wait_max = 300us}};
    census seen;
    const int rounds = 4000 / lv::test::slow_build_factor;
    {
      lv::scope all;
      for (std::uint64_t i = 0; i < 16; i++) all.spawn(visits, &hull, i, rounds, &seen);
      for (std::uint64_t i = 0; i < 8; i++) all.spawn(visits_within, lv::duration{200us}, &hull, 100 + i, &seen);
      co_await all.join();
    }
    EXPECT_GT(seen.admitted.load(std::memory_order_relaxed), 0);
    check_census(hull, seen, 3);
  });
}

}  // namespace
