// Goal: a timer fires once for the moment that counts, never before it, however often that was moved.
// Method: moved, taken away and waited for in every order, and by tasks on several workers at a time.
#include "levity/time/timer.hpp"

#include <gtest/gtest.h>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

// In virtual time every moment is exact to a tick.
template <class F>
void simulated(F f) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  EXPECT_EQ(lv::run_with(options, f), 0);
}

lv::task<> waits(lv::timer* of, lv::time_point* when, bool* ended) {
  try {
    co_await of->wait();
    *when = lv::clock::now();
  } catch (const lv::cancelled&) {
    *ended = true;
    throw;
  }
}

}  // namespace

TEST(timer, fires_at_its_moment_and_a_wait_after_that_returns_at_once) {
  simulated([]() -> lv::task<> {
    lv::timer timer;
    EXPECT_FALSE(timer.has_fired());
    const lv::time_point due = lv::clock::now() + 10ms;
    timer.arm(due);
    co_await timer.wait();
    EXPECT_GE(lv::clock::now(), due);
    EXPECT_LT(lv::clock::now(), due + 1ms);
    EXPECT_TRUE(timer.has_fired());
    EXPECT_FALSE(timer.cancel());
    co_await timer.wait();
  });
}

TEST(timer, moved_back_it_fires_at_the_later_moment_and_moved_forth_at_the_earlier) {
  simulated([]() -> lv::task<> {
    const lv::time_point start = lv::clock::now();
    lv::timer timer;
    timer.arm(start + 5ms);
    timer.arm(start + 50ms);
    co_await lv::sleep(20ms);
    EXPECT_FALSE(timer.has_fired());
    timer.arm(start + 80ms);
    timer.arm(start + 30ms);
    co_await timer.wait();
    EXPECT_GE(lv::clock::now(), start + 30ms);
    EXPECT_LT(lv::clock::now(), start + 31ms);
    timer.arm(lv::clock::now() + 7ms);
    EXPECT_FALSE(timer.has_fired());
    co_await timer.wait();
    EXPECT_GE(lv::clock::now(), start + 37ms);
  });
}

TEST(timer, taken_away_it_keeps_its_waiter_until_it_is_armed_again) {
  simulated([]() -> lv::task<> {
    lv::timer timer;
    lv::time_point when{};
    bool ended = false;
    timer.arm(5ms);
    lv::scope tasks;
    tasks.spawn(waits, &timer, &when, &ended);
    co_await lv::sleep(1ms);
    EXPECT_TRUE(timer.cancel());
    EXPECT_FALSE(timer.cancel());
    co_await lv::sleep(1s);
    EXPECT_EQ(when, lv::time_point{});
    const lv::time_point due = lv::clock::now() + 3ms;
    timer.arm(due);
    co_await tasks.join();
    EXPECT_GE(when, due);
    EXPECT_FALSE(ended);
  });
}

TEST(timer, a_cancelled_wait_leaves_no_trace) {
  simulated([]() -> lv::task<> {
    lv::timer timer;
    lv::time_point when{};
    bool ended = false;
    timer.arm(1h);
    lv::scope tasks;
    tasks.spawn(waits, &timer, &when, &ended);
    co_await lv::sleep(1ms);
    tasks.cancel();
    co_await tasks.join();
    EXPECT_TRUE(ended);
    timer.arm(1ms);
    co_await timer.wait();
  });
}

TEST(timer, a_timer_may_end_armed) {
  run_tasks(2, []() -> lv::task<> {
    for (int i = 0; i < 2000 / slow_build_factor; i++) {
      lv::timer timer;
      timer.arm(std::chrono::microseconds(i % 200));
      if (i % 3 == 0) co_await lv::yield();
    }
  });
}

TEST(timer, moved_and_awaited_on_several_workers_it_is_neither_early_nor_lost) {
  run_tasks(3, []() -> lv::task<> {
    lv::scope tasks;
    for (int t = 0; t < 8; t++) {
      tasks.spawn([](int number) -> lv::task<> {
        lv::rng random(static_cast<std::uint64_t>(number));
        lv::timer timer;
        for (int i = 0; i < 1000 / slow_build_factor; i++) {
          lv::time_point due{};
          for (std::uint64_t moves = 1 + random.below(4); moves > 0; moves--) {
            due = lv::clock::now() + std::chrono::microseconds(random.below(400));
            timer.arm(due);
            if (random.below(4) == 0) timer.cancel(), timer.arm(due);
            if (random.below(3) == 0) co_await lv::yield();
          }
          co_await timer.wait();
          EXPECT_GE(lv::clock::now(), due);
        }
      }, t);
    }
    co_await tasks.join();
  });
}
