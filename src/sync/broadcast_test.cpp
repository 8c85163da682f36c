// Broadcasts: every receiver sees every value, or is told how many it missed.

#include "levity/sync/broadcast.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/settle.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::settle;
using levity::test::slow_build_factor;

using numbers = lv::broadcast<std::uint64_t>;

TEST(broadcast, each_receiver_sees_each_value_from_its_subscription_on) {
  run_tasks(1, []() -> lv::task<> {
    numbers c{4};
    auto early = c.subscribe();
    EXPECT_TRUE(c.send(1));
    auto late = c.subscribe();
    EXPECT_TRUE(c.send(2));
    auto first = co_await early.receive();
    EXPECT_EQ(**first, 1U);
    for (auto* each : {&early, &late}) {
      auto got = co_await each->receive();
      EXPECT_EQ(**got, 2U);
      EXPECT_EQ(each->try_receive().error(), lv::broadcast_failure::would_block);
    }
  });
}

TEST(broadcast, a_slow_receiver_is_told_once_how_many_it_missed) {
  run_tasks(1, []() -> lv::task<> {
    numbers c{4};
    auto slow = c.subscribe();
    for (std::uint64_t i = 0; i < 10; i++) EXPECT_TRUE(c.send(i));
    auto lagged = co_await slow.receive();
    EXPECT_EQ(lagged.error(), lv::broadcast_failure::lagged);
    EXPECT_EQ(lagged.error().missed, 6U);
    for (std::uint64_t i = 6; i < 10; i++) {
      auto got = co_await slow.receive();
      EXPECT_EQ(**got, i);
    }
    EXPECT_EQ(slow.try_receive().error(), lv::broadcast_failure::would_block);
  });
}

TEST(broadcast, close_comes_after_what_was_sent) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> waits(numbers::receiver feed, int* ended) {
        auto got = co_await feed.receive();
        EXPECT_EQ(got.error(), lv::broadcast_failure::closed);
        ++*ended;
      }
    };
    numbers c{2};
    auto feed = c.subscribe();
    (void)c.send(1);
    lv::scope tasks;
    int ended = 0;
    for (int i = 0; i < 100; i++) tasks.spawn(probe::waits, c.subscribe(), &ended);
    co_await settle();
    c.close();
    c.close();
    co_await tasks.join();
    EXPECT_EQ(ended, 100);
    EXPECT_FALSE(c.send(2));
    auto got = co_await feed.receive();
    EXPECT_EQ(**got, 1U);
    auto end = co_await feed.receive();
    EXPECT_EQ(end.error(), lv::broadcast_failure::closed);
  });
}

TEST(broadcast, a_cancelled_receive_has_taken_nothing) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> receives(numbers::receiver* feed, lv::broadcast_failure expected) {
        auto got = co_await feed->receive();
        EXPECT_FALSE(got);
        EXPECT_EQ(got.error(), expected);
      }
    };
    numbers c{2};
    auto feed = c.subscribe();
    {  // while it waits
      lv::scope tasks;
      tasks.spawn(probe::receives, &feed, lv::broadcast_failure::cancelled);
      co_await settle();
      tasks.cancel();
      co_await tasks.join();
    }
    co_await lv::with_deadline(1ms, probe::receives(&feed, lv::broadcast_failure::timed_out));
    {  // before
      (void)c.send(1);
      lv::scope tasks;
      tasks.spawn(probe::receives, &feed, lv::broadcast_failure::cancelled);
      tasks.cancel();
      co_await tasks.join();
    }
    EXPECT_EQ(**feed.try_receive(), 1U);
  });
}

TEST(broadcast, values_are_shared_and_go_when_they_are_overwritten_and_dropped) {
  run_tasks(1, []() -> lv::task<> {
    auto witness = std::make_shared<int>(1);
    lv::broadcast<std::shared_ptr<int>> c{2};
    auto feed = c.subscribe();
    (void)c.send(witness);
    auto held = feed.try_receive();
    EXPECT_EQ(witness.use_count(), 2);
    (void)c.send(nullptr);
    (void)c.send(nullptr);
    EXPECT_EQ(witness.use_count(), 2) << "the receiver still has it";
    held->reset();
    EXPECT_EQ(witness.use_count(), 1);
    co_return;
  });
}

TEST(broadcast, on_two_workers_each_receiver_accounts_for_every_value) {
  run_tasks(2, []() -> lv::task<> {
    static constexpr std::uint64_t count = 100'000 / slow_build_factor;
    struct probe {
      // Receives until it is told to end, or the end; leaves the feed where it is.
      static lv::task<> follows(numbers::receiver* feed, std::uint64_t* next, bool* ended) {
        for (;;) {
          auto got = co_await feed->receive();
          if (got) {
            EXPECT_EQ(**got, *next);
            ++*next;
          } else if (got.error() == lv::broadcast_failure::lagged) {
            EXPECT_GT(got.error().missed, 0U);
            *next += got.error().missed;
          } else {
            *ended = got.error() == lv::broadcast_failure::closed;
            co_return;
          }
        }
      }
      static lv::task<> disturbed(numbers::receiver feed, std::uint64_t seed) {
        lv::rng random{seed};
        std::uint64_t next = 0;
        for (bool ended = false; !ended;) {
          lv::scope task;
          task.spawn(follows, &feed, &next, &ended);
          for (auto yields = random.below(8); yields > 0; yields--) co_await lv::yield();
          if (random.below(2) == 0) task.cancel();
          co_await task.join();
        }
        EXPECT_EQ(next, count);
      }
      static lv::task<> sends(numbers* to) {
        for (std::uint64_t i = 0; i < count; i++) {
          (void)to->send(i);
          if (i % 16 == 0) co_await lv::yield();
        }
        to->close();
      }
    };
    numbers c{64};
    lv::scope tasks;
    for (std::uint64_t i = 0; i < 4; i++) tasks.spawn(probe::disturbed, c.subscribe(), i + 1);
    tasks.spawn(probe::sends, &c);
    co_await tasks.join();
  });
}
