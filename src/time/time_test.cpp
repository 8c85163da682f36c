// Sleeping, ticking and deadlines as tasks see them: never early, exactly once, and what ends what.

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "tests/support/death_style.hpp"
#include "tests/support/parked_weight.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

template <class F>
int simulate(F f, std::uint64_t seed = 42) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  options.seed = seed;
  return lv::run_with(options, std::move(f));
}

// How a sleep ended: none when its time was up.
lv::task<lv::cancel_reason> sleeps(lv::duration time) {
  try {
    co_await lv::sleep(time);
  } catch (const lv::cancelled& ended) {
    co_return ended.reason();
  }
  co_return lv::cancel_reason::none;
}

lv::task<lv::cancel_reason> sleeps_within(lv::duration time, lv::duration limit) {
  co_return co_await lv::with_deadline(limit, sleeps(time));
}

}  // namespace

// ---- sleep -----------------------------------------------------------------------------------------------------------

TEST(sleep, costs_a_task_no_more_memory_than_promised) {
  if (!levity::test::weighs_what_users_get) GTEST_SKIP() << "frames of this build are larger";
  run_tasks(1, []() -> lv::task<> {
    const auto sleeper = [](lv::time_point until, int* ends) -> lv::task<> {
      co_await lv::sleep_until(until);
      ++*ends;
    };
    int ends = 0;
    const lv::time_point until = lv::clock::now() + 1h;
    const auto spawn = [&](lv::scope& into) { into.spawn("sleeper", sleeper, until, &ends); };
    const std::uint64_t bytes = co_await levity::test::parked_weight(spawn);
    EXPECT_LE(bytes, levity::test::parked_bytes_max);
    EXPECT_EQ(ends, 0);
  });
}

TEST(sleep, is_never_early_and_all_of_them_end) {
  for (const unsigned workers : {1u, 4u}) {
    run_tasks(workers, []() -> lv::task<> {
      const auto one = [](std::uint64_t seed) -> lv::task<> {
        lv::rng random(seed);
        for (int i = 0; i < 10; i++) {
          const auto span = std::chrono::nanoseconds(random.below(2'000'000));
          const lv::time_point due = lv::clock::now() + span;
          co_await lv::sleep(span);
          EXPECT_GE(lv::clock::now(), due);
        }
      };
      lv::scope sleepers;
      for (int i = 0; i < 1000 / slow_build_factor; i++) sleepers.spawn(one, static_cast<std::uint64_t>(i));
      co_await sleepers.join();
    });
  }
}

TEST(sleep, of_no_or_negative_time_lets_others_run_and_ends) {
  run_tasks(1, []() -> lv::task<> {
    bool ran = false;
    const auto marks = [](bool& mark) -> lv::task<> {
      mark = true;
      co_return;
    };
    lv::scope others;
    others.spawn(marks, std::ref(ran));
    co_await lv::sleep(0ns);
    EXPECT_TRUE(ran);
    co_await lv::sleep(-5s);
    co_await lv::sleep_until(lv::time_point{});
    co_await lv::sleep_until(lv::time_point::min());
    co_await others.join();
  });
}

TEST(sleep, for_ever_is_not_over_at_once) {
  run_tasks(2, []() -> lv::task<> {
    EXPECT_EQ(co_await sleeps_within(lv::duration::max(), 3ms), lv::cancel_reason::deadline);
    EXPECT_EQ(co_await sleeps_within(1ms, lv::duration::max()), lv::cancel_reason::none);
    const auto until_the_end = []() -> lv::task<lv::cancel_reason> {
      try {
        co_await lv::sleep_until(lv::time_point::max());
      } catch (const lv::cancelled& ended) {
        co_return ended.reason();
      }
      co_return lv::cancel_reason::none;
    };
    EXPECT_EQ(co_await lv::with_deadline(3ms, until_the_end()), lv::cancel_reason::deadline);
  });
}

TEST(sleep, that_is_cancelled_throws_at_once) {
  run_tasks(2, []() -> lv::task<> {
    const lv::time_point start = lv::clock::now();
    const auto one = []() -> lv::task<> { EXPECT_EQ(co_await sleeps(1h), lv::cancel_reason::requested); };
    lv::scope sleepers;
    for (int i = 0; i < 100; i++) sleepers.spawn(one);
    co_await lv::sleep(1ms);
    sleepers.cancel();
    co_await sleepers.join();
    EXPECT_LT(lv::clock::now() - start, 10s);
  });
}

TEST(sleep, takes_virtual_time_only_in_a_simulated_run) {
  const lv::time_point before = lv::clock::now();
  simulate([]() -> lv::task<> {
    const lv::time_point start = lv::clock::now();
    EXPECT_EQ(co_await sleeps(24h * 365), lv::cancel_reason::none);
    EXPECT_GE(lv::clock::now() - start, 24h * 365);
    EXPECT_EQ(co_await sleeps_within(24h * 365, 1h), lv::cancel_reason::deadline);
  });
  EXPECT_LT(lv::clock::now() - before, 1s);
}

// ---- interval --------------------------------------------------------------------------------------------------------

TEST(interval, ticks_on_its_grid_never_early) {
  for (const std::uint64_t seed : {1, 2}) {
    simulate([]() -> lv::task<> {
      const lv::time_point start = lv::clock::now();
      lv::interval every{10ms};
      for (int i = 1; i <= 100; i++) {
        co_await every.tick();
        const auto passed = lv::clock::now() - start;
        EXPECT_GE(passed, i * 10ms);
        EXPECT_LT(passed, i * 10ms + 1ms);
      }
    }, seed);
  }
}

TEST(interval, a_late_caller_gets_one_tick_at_once_and_the_missed_ones_are_dropped) {
  simulate([]() -> lv::task<> {
    const lv::time_point start = lv::clock::now();
    lv::interval every{10ms};
    co_await lv::sleep(55ms);
    co_await every.tick();
    EXPECT_LT(lv::clock::now() - start, 57ms);
    co_await every.tick();
    const auto second = lv::clock::now() - start;
    EXPECT_GE(second, 60ms);
    EXPECT_LT(second, 61ms);
    co_await every.tick();
    EXPECT_GE(lv::clock::now() - start, 70ms);
    EXPECT_LT(lv::clock::now() - start, 71ms);
  });
}

TEST(interval, of_no_time_is_refused) {
  testing::FLAGS_gtest_death_test_style = levity::test::death_style();
  EXPECT_DEATH(lv::interval{0ns}, "longer than nothing");
}

// ---- deadlines -------------------------------------------------------------------------------------------------------

TEST(deadline, ends_waits_and_keeps_results) {
  run_tasks(2, []() -> lv::task<> {
    EXPECT_EQ(co_await sleeps_within(1h, 2ms), lv::cancel_reason::deadline);
    EXPECT_EQ(co_await sleeps_within(1ms, 1h), lv::cancel_reason::none);
    const auto late = []() -> lv::task<int> {
      const lv::time_point until = lv::clock::now() + 3ms;
      while (lv::clock::now() < until) continue;
      co_return 42;
    };
    EXPECT_EQ(co_await lv::with_deadline(1ms, late()), 42);
  });
}

TEST(deadline, one_that_has_passed_ends_the_first_wait) {
  run_tasks(2, []() -> lv::task<> {
    for (const lv::duration limit : {lv::duration{0}, lv::duration{-1h}, lv::duration::min()}) {
      EXPECT_EQ(co_await sleeps_within(1h, limit), lv::cancel_reason::deadline);
    }
  });
}

TEST(deadline, is_over_when_its_task_is) {
  run_tasks(2, []() -> lv::task<> {
    for (int i = 0; i < 200; i++) {
      (void)co_await sleeps_within(1h, 100us);
      EXPECT_EQ(co_await sleeps(1us), lv::cancel_reason::none);
    }
  });
}

TEST(deadline, the_nearest_of_nested_ones_counts) {
  simulate([]() -> lv::task<> {
    lv::time_point start = lv::clock::now();
    const auto inner_near = []() -> lv::task<lv::cancel_reason> { co_return co_await sleeps_within(1h, 10ms); };
    EXPECT_EQ(co_await lv::with_deadline(50ms, inner_near()), lv::cancel_reason::deadline);
    EXPECT_LT(lv::clock::now() - start, 11ms);

    start = lv::clock::now();
    const auto outer_near = []() -> lv::task<int> {
      EXPECT_EQ(co_await sleeps_within(1h, 50ms), lv::cancel_reason::deadline);
      EXPECT_EQ(co_await sleeps(1h), lv::cancel_reason::deadline) << "the outer one still counts";
      co_return 1;
    };
    EXPECT_EQ(co_await lv::with_deadline(10ms, outer_near()), 1);
    EXPECT_LT(lv::clock::now() - start, 11ms);
    EXPECT_EQ(co_await sleeps(1ms), lv::cancel_reason::none) << "all are over";

    start = lv::clock::now();
    const auto inner_over = []() -> lv::task<int> {
      EXPECT_EQ(co_await sleeps_within(1h, 10ms), lv::cancel_reason::deadline);
      EXPECT_EQ(co_await sleeps(10ms), lv::cancel_reason::none) << "the inner one is over, the outer one not there yet";
      EXPECT_EQ(co_await sleeps(1h), lv::cancel_reason::deadline);
      co_return 1;
    };
    co_await lv::with_deadline(50ms, inner_over());
    EXPECT_GE(lv::clock::now() - start, 50ms);
    EXPECT_LT(lv::clock::now() - start, 51ms);
  });
}

TEST(deadline, does_not_reach_through_a_shield) {
  simulate([]() -> lv::task<> {
    const auto body = []() -> lv::task<int> {
      EXPECT_EQ(co_await lv::shield(sleeps(50ms)), lv::cancel_reason::none);
      EXPECT_EQ(co_await sleeps(1h), lv::cancel_reason::deadline) << "behind the shield it is answered";
      co_return 1;
    };
    const lv::time_point start = lv::clock::now();
    co_await lv::with_deadline(10ms, body());
    EXPECT_GE(lv::clock::now() - start, 50ms);
    EXPECT_LT(lv::clock::now() - start, 51ms);
    const auto within = []() -> lv::task<lv::cancel_reason> { co_return co_await sleeps_within(1h, 10ms); };
    EXPECT_EQ(co_await lv::shield(within()), lv::cancel_reason::deadline) << "a deadline inside a shield counts";
  });
}

TEST(deadline, reaches_the_tasks_that_are_joined_inside) {
  simulate([]() -> lv::task<> {
    const auto body = []() -> lv::task<int> {
      const auto child = []() -> lv::task<> {
        try {
          co_await lv::sleep(1h);
          ADD_FAILURE() << "it slept on";
        } catch (const lv::cancelled&) {
        }
      };
      lv::scope children;
      for (int i = 0; i < 10; i++) children.spawn(child);
      try {
        co_await children.join();
      } catch (const lv::cancelled&) {
      }
      co_return 1;
    };
    const lv::time_point start = lv::clock::now();
    co_await lv::with_deadline(10ms, body());
    EXPECT_LT(lv::clock::now() - start, 11ms);
  });
}

// The time of a wait and the deadline around it come together: whichever wins, the task goes on exactly once, and nothing
// of it is left behind.
TEST(deadline, races_with_completion_end_exactly_once) {
  run_tasks(4, []() -> lv::task<> {
    static lv::atomic<int> ended{0};
    static lv::atomic<int> timed_out{0};
    ended.store(0, std::memory_order_relaxed);
    timed_out.store(0, std::memory_order_relaxed);
    constexpr int tasks = 400;
    const int rounds = 250 / slow_build_factor;
    const auto one = [](std::uint64_t seed, int times) -> lv::task<> {
      lv::rng random(seed);
      for (int i = 0; i < times; i++) {
        const auto time = std::chrono::microseconds(random.below(400));
        const auto limit = std::chrono::microseconds(random.below(400));
        const lv::cancel_reason how = co_await sleeps_within(time, limit);
        EXPECT_TRUE(how == lv::cancel_reason::none || how == lv::cancel_reason::deadline);
        ended.fetch_add(1, std::memory_order_relaxed);
        if (how == lv::cancel_reason::deadline) timed_out.fetch_add(1, std::memory_order_relaxed);
        if (random.below(16) == 0) {
          co_await lv::yield();  // throws if a cause was left behind
        }
      }
    };
    lv::scope all;
    for (std::uint64_t i = 0; i < tasks; i++) all.spawn(one, i, rounds);
    co_await all.join();
    EXPECT_EQ(ended.load(std::memory_order_relaxed), tasks * rounds);
    EXPECT_GT(timed_out.load(std::memory_order_relaxed), 0);
    EXPECT_LT(timed_out.load(std::memory_order_relaxed), tasks * rounds);
  });
}

// ---- what is left ----------------------------------------------------------------------------------------------------

TEST(deadline_left, is_that_of_the_nearest_deadline_around) {
  EXPECT_EQ(lv::current_deadline(), std::nullopt) << "outside of tasks there is none";
  simulate([]() -> lv::task<> {
    struct probe {
      static lv::task<std::optional<lv::duration>> asks() {
        co_await lv::sleep(1ms);
        co_return lv::deadline_left();
      }
      static lv::task<std::optional<lv::duration>> within(lv::duration limit) {
        co_return co_await lv::with_deadline(limit, asks());
      }
      static lv::task<std::optional<lv::duration>> shielded() { co_return co_await lv::shield(asks()); }
      static lv::task<std::optional<lv::duration>> within_shielded() { co_return co_await lv::shield(within(2s)); }
    };
    EXPECT_EQ(lv::deadline_left(), std::nullopt);
    const auto one = co_await probe::within(5s);
    EXPECT_TRUE(one && *one < 5s && *one > 5s - 10ms);
    const auto outer_nearer = co_await lv::with_deadline(1s, probe::within(5s));
    EXPECT_TRUE(outer_nearer && *outer_nearer < 1s && *outer_nearer > 1s - 10ms);
    const auto inner_nearer = co_await lv::with_deadline(10s, probe::within(5s));
    EXPECT_TRUE(inner_nearer && *inner_nearer < 5s && *inner_nearer > 5s - 10ms);
    const auto timeout = co_await lv::with_timeout(3s, probe::asks());
    EXPECT_TRUE(timeout && *timeout && **timeout < 3s && **timeout > 3s - 10ms);
    const auto behind_a_shield = co_await lv::with_deadline(1s, probe::shielded());
    EXPECT_EQ(behind_a_shield, std::nullopt);
    const auto inside_a_shield = co_await lv::with_deadline(1s, probe::within_shielded());
    EXPECT_TRUE(inside_a_shield && *inside_a_shield > 1s);
    EXPECT_EQ(lv::deadline_left(), std::nullopt) << "who has left a deadline has none";
  });
}

TEST(deadline_left, is_nothing_once_it_has_passed) {
  simulate([]() -> lv::task<> {
    struct probe {
      static lv::task<std::optional<lv::duration>> late() {
        (void)co_await sleeps(1h);
        co_return lv::deadline_left();
      }
    };
    const lv::time_point due = lv::clock::now() + 5ms;
    const auto left = co_await lv::with_deadline(due, probe::late());
    EXPECT_EQ(left, 0ns);
    EXPECT_GE(lv::clock::now(), due);
  });
}

TEST(deadline_left, is_of_a_task_and_not_of_those_that_it_spawns) {
  simulate([]() -> lv::task<> {
    struct probe {
      static lv::task<> child(bool* has_one) {
        *has_one = lv::current_deadline().has_value();
        co_return;
      }
      static lv::task<> parent(bool* own, bool* childs) {
        *own = lv::current_deadline().has_value();
        lv::scope children;
        children.spawn(child, childs);
        co_await children.join();
      }
    };
    bool own = false;
    bool childs = true;
    co_await lv::with_deadline(1s, probe::parent(&own, &childs));
    EXPECT_TRUE(own);
    EXPECT_FALSE(childs);
  });
}
