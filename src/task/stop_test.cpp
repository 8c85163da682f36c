// Goal: a stop_token cancels what runs under it, whenever it is told, and is told apart from everything else.
#include "levity/task/stop.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

lv::task<int> answers_after(lv::duration span) {
  co_await lv::sleep(span);
  co_return 7;
}
lv::task<> hangs() { co_await lv::sleep(1h); }

}  // namespace

TEST(stop, told_before_or_while_is_a_value) {
  run_tasks(2, []() -> lv::task<> {
    std::stop_source before;
    before.request_stop();
    const auto at_once = co_await lv::with_stop(before.get_token(), answers_after(1h));
    EXPECT_EQ(at_once, std::unexpected(lv::stopped{}));
    std::stop_source during;
    std::jthread other([&] {
      std::this_thread::sleep_for(2ms);
      during.request_stop();
    });
    const auto later = co_await lv::with_stop(during.get_token(), hangs());
    EXPECT_FALSE(later.has_value());
  });
}

TEST(stop, one_that_is_never_told_changes_nothing) {
  run_tasks(1, []() -> lv::task<> {
    std::stop_source never;
    const auto got = co_await lv::with_stop(never.get_token(), answers_after(1ms));
    EXPECT_EQ(got, 7);
    const auto without = co_await lv::with_stop(std::stop_token{}, answers_after(1ms));
    EXPECT_EQ(without, 7);
    std::string what;
    try {
      (void)co_await lv::with_stop(never.get_token(), lv::task<>([]() -> lv::task<> {
        co_await lv::yield();
        throw std::runtime_error("its own");
      }()));
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "its own");
  });
}

TEST(stop, cancellation_from_outside_passes_through) {
  run_tasks(2, []() -> lv::task<> {
    struct probe {
      static lv::task<> asks(std::stop_token token, bool* thrown) {
        try {
          (void)co_await lv::with_stop(token, hangs());
        } catch (const lv::cancelled&) {
          *thrown = true;
          throw;
        }
      }
    };
    std::stop_source told;
    for (const bool both : {false, true}) {
      bool thrown = false;
      lv::scope tasks;
      // Told as well, it is cancelled before it begins: between a spawn and a cancel it might return `stopped`, and rightly.
      if (both) {
        told.request_stop();
        tasks.cancel();
      }
      tasks.spawn(probe::asks, told.get_token(), &thrown);
      tasks.cancel();
      co_await tasks.join();
      EXPECT_TRUE(thrown);
    }
  });
}

TEST(stop, races_with_the_end_of_what_it_stops) {
  run_tasks(2, []() -> lv::task<> {
    for (int i = 0; i < 1000 / slow_build_factor; i++) {
      std::stop_source source;
      std::jthread other([&source] { source.request_stop(); });
      const auto got = co_await lv::with_stop(source.get_token(), answers_after(lv::duration{i % 7 * 20'000}));
      if (got) {
        EXPECT_EQ(*got, 7);
      } else {
        EXPECT_TRUE(source.stop_requested());
      }
    }
  });
}
