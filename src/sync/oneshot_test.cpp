// Goal: what a callback brings reaches the task, once; a callback that is forgotten strands nobody.
#include "levity/sync/oneshot.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/wait_seen.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

TEST(oneshot, brings_a_value_from_another_thread) {
  run_tasks(2, []() -> lv::task<> {
    for (int i = 0; i < 500 / slow_build_factor; i++) {
      lv::oneshot<int> answer;
      std::function<void(int)> callback = [done = answer.get_completer()](int code) { done.complete(code); };
      std::jthread other([callback = std::move(callback), i] { callback(i); });
      const auto got = co_await answer.wait();
      EXPECT_EQ(got, i);
    }
  });
}

TEST(oneshot, the_first_completion_counts) {
  run_tasks(1, []() -> lv::task<> {
    lv::oneshot<std::unique_ptr<int>> answer;
    auto one = answer.get_completer();
    auto two = answer.get_completer();
    EXPECT_TRUE(one.complete(std::make_unique<int>(1)));
    EXPECT_FALSE(two.complete(std::make_unique<int>(2)));
    auto got = co_await answer.wait();
    EXPECT_TRUE(got.has_value());
    EXPECT_EQ(**got, 1);
    EXPECT_FALSE(two.complete(nullptr)) << "even after the value was taken";
    const auto again = co_await answer.wait();
    EXPECT_EQ(again.error(), lv::channel_error::closed);
  });
}

TEST(oneshot, of_many_threads_exactly_one_completes) {
  run_tasks(2, []() -> lv::task<> {
    for (int i = 0; i < 200 / slow_build_factor + 1; i++) {
      lv::oneshot<int> answer;
      lv::atomic<int> won{-1};
      lv::atomic<int> winners{0};
      std::vector<std::jthread> threads;
      for (int t = 0; t < 3; t++) {
        threads.emplace_back([done = answer.get_completer(), t, &won, &winners] {
          if (!done.complete(t)) return;
          won.store(t, std::memory_order_relaxed);
          winners.fetch_add(1, std::memory_order_relaxed);
        });
      }
      const auto got = co_await answer.wait();
      threads.clear();
      EXPECT_EQ(winners.load(std::memory_order_relaxed), 1);
      EXPECT_EQ(got, won.load(std::memory_order_relaxed));
    }
  });
}

TEST(oneshot, a_forgotten_callback_ends_the_wait) {
  run_tasks(1, []() -> lv::task<> {
    lv::oneshot<void> answer;
    {
      auto forgotten = answer.get_completer();
      auto copy = forgotten;
    }
    const auto got = co_await answer.wait();
    EXPECT_EQ(got.error(), lv::channel_error::closed);
    EXPECT_FALSE(answer.get_completer().complete());
  });
}

TEST(oneshot, may_go_before_its_completer) {
  std::shared_ptr<int> value = std::make_shared<int>(1);
  std::function<void()> late;
  run_tasks(1, [](std::function<void()>* callback, std::shared_ptr<int> what) -> lv::task<> {
    lv::oneshot<std::shared_ptr<int>> answer;
    *callback = [done = answer.get_completer(), what] { EXPECT_FALSE(done.complete(what)); };
    co_return;
  }, &late, value);
  late();
  late = nullptr;
  EXPECT_EQ(value.use_count(), 1);
}

TEST(oneshot, a_cancelled_wait_may_be_repeated) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> waits(lv::oneshot<int>* answer, lv::channel_error* error) {
        const auto got = co_await answer->wait();
        *error = got.error();
      }
    };
    lv::oneshot<int> answer;
    const auto done = answer.get_completer();
    auto error = lv::channel_error::closed;
    co_await lv::with_deadline(1ms, probe::waits(&answer, &error));
    EXPECT_EQ(error, lv::channel_error::timed_out);
    done.complete(4);
    const auto got = co_await answer.wait();
    EXPECT_EQ(got, 4);
  });
}

TEST(oneshot, is_what_a_dump_calls_its_wait) {
  run_tasks(2, []() -> lv::task<> {
    struct probe {
      static lv::task<> waits(lv::oneshot<int>* answer, levity::test::task_place* place) {
        levity::test::be_seen(*place);
        const auto got = co_await answer->wait();
        EXPECT_EQ(got, 4);
      }
    };
    lv::oneshot<int> answer;
    const auto done = answer.get_completer();
    levity::test::task_place place{nullptr};
    lv::scope waiting;
    waiting.spawn(probe::waits, &answer, &place);
    const std::string seen = co_await levity::test::wait_seen(&place);
    EXPECT_TRUE(seen.starts_with("oneshot (value 0x")) << seen;
    done.complete(4);
    co_await waiting.join();
  });
}
