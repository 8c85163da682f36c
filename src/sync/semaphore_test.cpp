// A permit gives back what it holds, however it goes, and once.
#include "levity/sync/semaphore.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <utility>

#include "levity/levity.hpp"
#include "tests/support/run_simulated.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using lv::test::run_simulated;
using lv::test::run_tasks;

namespace {

TEST(semaphore, a_permit_is_given_back_once_however_it_goes) {
  lv::semaphore places{5};
  {
    auto held = places.try_take(3);
    EXPECT_TRUE(held);
    EXPECT_EQ(held.count(), 3U);
    EXPECT_EQ(places.available_approx(), 2U);
    EXPECT_FALSE(places.try_take(3)) << "and none was taken for that";
    EXPECT_EQ(places.available_approx(), 2U);
    auto moved = std::move(held);
    EXPECT_EQ(held.count(), 0U);
    held.release();
    EXPECT_EQ(places.available_approx(), 2U) << "moved from: it holds none";
    auto other = places.try_take(1);
    EXPECT_EQ(places.available_approx(), 1U);
    moved = std::move(other);  // gives its own three back
    EXPECT_EQ(places.available_approx(), 4U);
    moved = lv::semaphore::permit{std::move(moved)};
    EXPECT_EQ(places.available_approx(), 4U);
    moved.release();
    moved.release();
    EXPECT_EQ(places.available_approx(), 5U);
    other = places.try_take(5);
  }
  EXPECT_EQ(places.available_approx(), 5U);
}

lv::task<> holds(lv::semaphore* places, std::uint64_t n, bool throws) {
  const auto held = co_await places->take(n);
  EXPECT_EQ(held.count(), n);
  co_await lv::sleep(1ms);
  if (throws) throw std::runtime_error("while it holds");
}

TEST(semaphore, a_permit_comes_back_from_tasks_that_throw_and_that_are_cancelled) {
  const int code = run_simulated(1, []() -> lv::task<> {
    lv::semaphore places{4};
    for (int after_us = 0; after_us < 4000; after_us += 100) {
      lv::scope all{lv::on_failure::keep_going};
      for (std::uint64_t i = 0; i < 9; i++) all.spawn(holds, &places, 1 + i % 3, i % 2 == 0);
      co_await lv::sleep(after_us * 1us);
      all.cancel();  // of those that hold some, and of those that wait
      try {
        co_await all.join();
      } catch (const std::runtime_error&) {
      }
      EXPECT_EQ(places.available_approx(), 4U) << after_us;
    }
  });
  EXPECT_EQ(code, 0);
}

lv::task<> takes_turns(lv::semaphore* places, int times, lv::atomic<int>* inside, lv::atomic<bool>* too_many) {
  for (int i = 0; i < times; i++) {
    const auto held = co_await places->take();
    if (inside->fetch_add(1, std::memory_order_relaxed) >= 3) too_many->store(true, std::memory_order_relaxed);
    if (i % 8 == 0) co_await lv::yield();
    inside->fetch_sub(1, std::memory_order_relaxed);
  }
}

TEST(semaphore, no_more_hold_a_permit_than_there_are) {
  run_tasks(4, []() -> lv::task<> {
    lv::semaphore places{3};
    lv::atomic<int> inside{0};
    lv::atomic<bool> too_many{false};
    lv::scope all;
    for (int i = 0; i < 8; i++) all.spawn(takes_turns, &places, 20'000 / lv::test::slow_build_factor, &inside, &too_many);
    co_await all.join();
    EXPECT_FALSE(too_many.load(std::memory_order_relaxed));
    EXPECT_EQ(places.available_approx(), 3U);
  });
}

}  // namespace
