// Unbounded channels: what differs from a bounded one; and that the buffer, which is a list through the values, loses none.

#include "levity/sync/unbounded_channel.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/settle.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::settle;
using levity::test::slow_build_factor;

namespace {

using boxes = lv::unbounded_channel<std::unique_ptr<std::uint64_t>>;
std::unique_ptr<std::uint64_t> box(std::uint64_t number) { return std::make_unique<std::uint64_t>(number); }

}  // namespace

TEST(unbounded_channel, takes_everything_at_once_and_gives_it_back_in_order) {
  run_tasks(1, []() -> lv::task<> {
    boxes c;
    constexpr std::uint64_t count = 10'000;
    for (std::uint64_t i = 0; i < count; i++) EXPECT_TRUE(c.send(box(i)));
    EXPECT_EQ(c.size_approx(), count);
    for (std::uint64_t i = 0; i < count; i++) {
      auto got = co_await c.receive();
      EXPECT_EQ(**got, i);
    }
    EXPECT_EQ(c.try_receive().error(), lv::channel_error::would_block);
    c.core().check_invariants();
  });
}

TEST(unbounded_channel, a_send_wakes_who_waits_longest) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> receives(boxes* from, std::vector<std::uint64_t>* order, std::uint64_t number) {
        auto got = co_await from->receive();
        EXPECT_EQ(**got, number);
        order->push_back(number);
      }
    };
    boxes c;
    std::vector<std::uint64_t> order;
    lv::scope receivers;
    for (std::uint64_t i = 0; i < 3; i++) {
      receivers.spawn(probe::receives, &c, &order, i);
      co_await settle();
    }
    for (std::uint64_t i = 0; i < 3; i++) {
      (void)c.send(box(i));
      co_await settle();
    }
    co_await receivers.join();
    EXPECT_EQ(order, (std::vector<std::uint64_t>{0, 1, 2}));
  });
}

TEST(unbounded_channel, a_closed_one_gives_values_back_and_is_drained) {
  run_tasks(1, []() -> lv::task<> {
    boxes c;
    (void)c.send(box(1));
    c.close();
    EXPECT_TRUE(c.is_closed());
    auto late = c.send(box(2));
    EXPECT_EQ(late.error().error, lv::channel_error::closed);
    EXPECT_EQ(*late.error().value, 2U);
    auto got = co_await c.receive();
    EXPECT_EQ(**got, 1U);
    auto end = co_await c.receive();
    EXPECT_EQ(end.error(), lv::channel_error::closed);
  });
}

TEST(unbounded_channel, a_cancelled_receive_takes_nothing) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> receives(boxes* from, lv::channel_error expected) {
        auto got = co_await from->receive();
        EXPECT_FALSE(got);
        EXPECT_EQ(got.error(), expected);
      }
    };
    boxes c;
    {  // before
      lv::scope tasks;
      (void)c.send(box(1));
      tasks.spawn(probe::receives, &c, lv::channel_error::cancelled);
      tasks.cancel();
      co_await tasks.join();
      EXPECT_EQ(**c.try_receive(), 1U);
    }
    {  // while
      lv::scope tasks;
      tasks.spawn(probe::receives, &c, lv::channel_error::cancelled);
      co_await settle();
      tasks.cancel();
      (void)c.send(box(2));
      co_await tasks.join();
      EXPECT_EQ(**c.try_receive(), 2U);
    }
    co_await lv::with_deadline(1ms, probe::receives(&c, lv::channel_error::timed_out));
    c.core().check_invariants();
  });
}

TEST(unbounded_channel, destroys_what_nobody_took) {
  auto shared = std::make_shared<int>(1);
  run_tasks(1, [](std::shared_ptr<int> value) -> lv::task<> {
    lv::unbounded_channel<std::shared_ptr<int>> c;
    for (int i = 0; i < 3; i++) (void)c.send(value);
    (void)c.try_receive();
    EXPECT_EQ(value.use_count(), 4);
    co_return;
  }, shared);
  EXPECT_EQ(shared.use_count(), 1);
}

TEST(unbounded_channel, is_a_case_of_select) {
  run_tasks(1, []() -> lv::task<> {
    boxes a;
    lv::channel<int> b;
    (void)a.send(box(7));
    auto won = co_await lv::select(lv::receive_from(b), lv::receive_from(a));
    EXPECT_EQ(won->index(), 1U);
    EXPECT_EQ(**std::get<1>(*won), 7U);
    struct probe {
      static lv::task<> sends(boxes* to) {
        (void)to->send(box(8));
        co_return;
      }
    };
    lv::scope sender;
    sender.spawn(probe::sends, &a);
    auto next = co_await lv::select(lv::receive_from(b), lv::receive_from(a));
    EXPECT_EQ(**std::get<1>(*next), 8U);
    co_await sender.join();
  });
}

TEST(unbounded_channel, threads_send_and_tasks_under_cancellation_receive_each_value_once) {
  run_tasks(2, []() -> lv::task<> {
    constexpr std::uint64_t count = 200'000 / slow_build_factor;
    struct probe {
      static lv::task<> receives(boxes* from, lv::atomic<std::uint64_t>* sum) {
        for (;;) {
          auto got = co_await from->receive();
          if (!got) co_return;
          sum->fetch_add(**got, std::memory_order_relaxed);
        }
      }
      static lv::task<> disturbs(boxes* from, lv::atomic<std::uint64_t>* sum, std::uint64_t seed) {
        lv::rng random{seed};
        while (!from->is_closed() || from->size_approx() > 0) {
          lv::scope receivers;
          for (int i = 0; i < 3; i++) receivers.spawn(receives, from, sum);
          for (auto yields = random.below(8); yields > 0; yields--) co_await lv::yield();
          receivers.cancel();
          co_await receivers.join();
        }
      }
    };
    boxes c;
    lv::atomic<std::uint64_t> sum{0};
    std::thread sender([&c] {
      for (std::uint64_t i = 1; i <= count; i++) (void)c.send(box(i));
      c.close();
    });
    lv::scope tasks;
    tasks.spawn(probe::disturbs, &c, &sum, 1UL);
    tasks.spawn(probe::disturbs, &c, &sum, 2UL);
    co_await tasks.join();
    sender.join();
    EXPECT_EQ(sum.load(std::memory_order_relaxed), count * (count + 1) / 2);
    c.core().check_invariants();
  });
}
