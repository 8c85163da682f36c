// Goal: a generator gives each value once, in order, waits and ends as part of the task that asks, and leaves nothing behind.
#include "levity/task/generator.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

lv::generator<int> counts(int to, [[maybe_unused]] std::shared_ptr<int> kept = nullptr) {
  for (int i = 0; i < to; i++) {
    if (i % 3 == 1) co_await lv::yield();
    co_yield i;
  }
}

lv::generator<std::unique_ptr<std::string>> words() {
  co_yield std::make_unique<std::string>("one");
  co_await lv::sleep(1ms);
  co_yield std::make_unique<std::string>("two");
}

lv::generator<int> fails_after(int values) {
  for (int i = 0; i < values; i++) co_yield i;
  throw std::runtime_error("no more");
}

lv::generator<int> doubles(lv::generator<int> of) {
  for (auto each = co_await of.next(); each; each = co_await of.next()) co_yield *each * 2;
}

}  // namespace

TEST(generator, gives_each_value_once_and_then_nothing) {
  run_tasks(2, []() -> lv::task<> {
    auto numbers = counts(10);
    int expected = 0;
    for (auto each = co_await numbers.next(); each; each = co_await numbers.next()) EXPECT_EQ(*each, expected++);
    EXPECT_EQ(expected, 10);
    const auto after = co_await numbers.next();
    EXPECT_FALSE(after.has_value());
    auto none = counts(0);
    const auto first = co_await none.next();
    EXPECT_FALSE(first.has_value());
  });
}

TEST(generator, carries_what_only_moves_and_composes) {
  run_tasks(1, []() -> lv::task<> {
    std::string all;
    auto each_word = words();
    for (auto each = co_await each_word.next(); each; each = co_await each_word.next()) all += **each;
    EXPECT_EQ(all, "onetwo");
    auto doubled = doubles(counts(4));
    int sum = 0;
    for (auto each = co_await doubled.next(); each; each = co_await doubled.next()) sum += *each;
    EXPECT_EQ(sum, 12);
  });
}

TEST(generator, a_million_values_need_no_stack) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::generator<int> ready(int to) {
        for (int i = 0; i < to; i++) co_yield i;
      }
    };
    const int many = 1'000'000 / slow_build_factor;
    auto numbers = probe::ready(many);
    std::int64_t sum = 0;
    for (auto each = co_await numbers.next(); each; each = co_await numbers.next()) sum += *each;
    EXPECT_EQ(sum, std::int64_t{many} * (many - 1) / 2);
  });
}

TEST(generator, an_exception_leaves_through_next_and_ends_it) {
  run_tasks(1, []() -> lv::task<> {
    auto numbers = fails_after(1);
    const auto first = co_await numbers.next();
    EXPECT_EQ(first, 0);
    std::string what;
    try {
      (void)co_await numbers.next();
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "no more");
    const auto after = co_await numbers.next();
    EXPECT_FALSE(after.has_value());
  });
}

TEST(generator, one_that_is_dropped_early_destroys_what_it_holds) {
  const auto kept = std::make_shared<int>(1);
  run_tasks(1, [](std::shared_ptr<int> what) -> lv::task<> {
    {
      auto never_begun = counts(3, what);
      auto begun = counts(3, what);
      (void)co_await begun.next();
      EXPECT_GT(what.use_count(), 2);
      begun = counts(3, what);
    }
    EXPECT_EQ(what.use_count(), 2);
  }, kept);
  EXPECT_EQ(kept.use_count(), 1);
}

TEST(generator, its_waits_are_cancelled_with_the_task_that_asks) {
  run_tasks(2, []() -> lv::task<> {
    struct probe {
      static lv::generator<int> hangs() {
        co_yield 1;
        co_await lv::sleep(1h);
        co_yield 2;
      }
      static lv::task<> asks(int* seen, bool* cancelled) {
        auto numbers = hangs();
        try {
          for (auto each = co_await numbers.next(); each; each = co_await numbers.next()) *seen = *each;
        } catch (const lv::cancelled&) {
          *cancelled = true;
          throw;
        }
      }
    };
    int seen = 0;
    bool cancelled = false;
    lv::scope tasks;
    tasks.spawn(probe::asks, &seen, &cancelled);
    co_await lv::sleep(2ms);
    tasks.cancel();
    co_await tasks.join();
    EXPECT_EQ(seen, 1);
    EXPECT_TRUE(cancelled);
  });
}
