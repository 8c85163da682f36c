// Goal: a timeout is a value, and nothing else is taken for one: no cancellation, no deadline further out or in, no error.
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;

namespace {

lv::task<int> answers_after(lv::duration span) {
  co_await lv::sleep(span);
  co_return 7;
}
lv::task<> waits(lv::duration span) { co_await lv::sleep(span); }

}  // namespace

TEST(timeout, is_a_value_and_so_is_what_came_in_time) {
  run_tasks(1, []() -> lv::task<> {
    const auto late = co_await lv::with_timeout(1ms, answers_after(1h));
    EXPECT_FALSE(late.has_value());
    EXPECT_EQ(late.error(), lv::timed_out{});
    const auto in_time = co_await lv::with_timeout(1h, answers_after(1ms));
    EXPECT_EQ(in_time, 7);
    const auto nothing = co_await lv::with_timeout(1ms, waits(1h));
    EXPECT_FALSE(nothing.has_value());
    const auto done = co_await lv::with_timeout(1h, waits(0ms));
    EXPECT_TRUE(done.has_value());
    co_await lv::sleep(1ms);  // what has passed is forgotten
  });
}

TEST(timeout, goes_around_an_operation_that_is_no_task) {
  run_tasks(1, []() -> lv::task<> {
    const auto late = co_await lv::with_timeout(1ms, lv::sleep(1h));
    EXPECT_FALSE(late.has_value());
    lv::channel<std::string> words(1);
    const auto nothing = co_await lv::with_timeout(1ms, words.receive());
    EXPECT_TRUE(nothing.has_value() && !*nothing);  // a channel has a value of its own for it
    co_await words.send("hello");
    const auto word = co_await lv::with_timeout(1h, words.receive());
    EXPECT_TRUE(word.has_value() && *word == "hello");
    lv::mutex door;
    {
      const auto held = co_await lv::with_timeout(1h, door.lock());  // what it gives can only be moved
      EXPECT_TRUE(held.has_value());
      const auto second = co_await lv::with_timeout(1ms, door.lock());
      EXPECT_FALSE(second.has_value());
    }
    const auto again = co_await lv::with_timeout(1h, door.lock());
    EXPECT_TRUE(again.has_value());
    co_await lv::with_timeout(1h, lv::with_deadline(1h, words.send("nested")));
  });
}

TEST(timeout, a_result_that_comes_late_is_no_timeout) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<int> stubborn() {
        co_await lv::shield(waits(5ms));
        co_return 3;
      }
    };
    const auto late = co_await lv::with_timeout(1ms, probe::stubborn());
    EXPECT_EQ(late, 3);
    co_await lv::sleep(1ms);
  });
}

TEST(timeout, cancellation_from_outside_passes_through_even_when_both_come) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> asks(lv::duration limit, lv::cancel_reason* why) {
        try {
          (void)co_await lv::with_timeout(limit, answers_after(1h));
        } catch (const lv::cancelled& seen) {
          *why = seen.reason();
          throw;
        }
      }
    };
    for (const lv::duration limit : {lv::duration{1h}, lv::duration{0}}) {
      auto why = lv::cancel_reason::none;
      lv::scope tasks;
      tasks.spawn(probe::asks, limit, &why);
      tasks.cancel();
      co_await tasks.join();
      EXPECT_EQ(why, lv::cancel_reason::requested);
    }
  });
}

TEST(timeout, of_nested_ones_the_one_that_passed_answers) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<std::string> inner(lv::duration limit) {
        const auto got = co_await lv::with_timeout(limit, waits(1h));
        co_return got ? "done" : "inner";
      }
    };
    const auto inner_first = co_await lv::with_timeout(1h, probe::inner(1ms));
    EXPECT_EQ(inner_first, "inner");
    const auto outer_first = co_await lv::with_timeout(1ms, probe::inner(1h));
    EXPECT_FALSE(outer_first.has_value());
    std::string outcome;
    try {
      (void)co_await lv::with_timeout(1h, lv::task<int>([]() -> lv::task<int> {
        co_return co_await lv::with_deadline(1ms, answers_after(1h));
      }()));
    } catch (const lv::cancelled& why) {
      outcome = to_string(why.reason());
    }
    EXPECT_EQ(outcome, to_string(lv::cancel_reason::deadline)) << "a deadline of its own that inner let out is inner's failure";
  });
}

TEST(timeout, other_exceptions_pass_through) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<int> fails() {
        co_await lv::yield();
        throw std::runtime_error("its own");
      }
    };
    std::string what;
    try {
      (void)co_await lv::with_timeout(1h, probe::fails());
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "its own");
  });
}
