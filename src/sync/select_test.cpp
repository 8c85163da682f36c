// Select: exactly one case happens, none of the others leaves a trace, no value is lost; on a real runtime, then with many
// selects against each other under random cancellation.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "levity/sync/channel.hpp"
#include "levity/sync/select.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/settle.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::settle;
using levity::test::slow_build_factor;

namespace {

constexpr unsigned worker_counts[] = {1, 2, 4};
using text_channel = lv::channel<std::unique_ptr<std::string>>;
using number_channel = lv::channel<std::uint64_t>;

std::unique_ptr<std::string> text(const char* of) { return std::make_unique<std::string>(of); }

}  // namespace

TEST(select, takes_what_is_there) {
  run_tasks(1, []() -> lv::task<> {
    text_channel a{1};
    number_channel b{1};
    (void)b.try_send(7);
    auto won = co_await lv::select(lv::receive_from(a), lv::receive_from(b), lv::after(1s));
    EXPECT_EQ(won->index(), 1U);
    EXPECT_EQ(*std::get<1>(*won), 7U);
  });
}

TEST(select, waits_for_the_first_and_leaves_the_others) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      struct probe {
        static lv::task<> sends(number_channel* to, std::uint64_t value) { (void)co_await to->send(value); }
      };
      number_channel a;
      number_channel b;
      for (std::uint64_t i = 0; i < 2'000 / slow_build_factor; i++) {
        lv::scope sender;
        sender.spawn(probe::sends, i % 2 == 0 ? &a : &b, i);
        auto won = co_await lv::select(lv::receive_from(a), lv::receive_from(b));
        EXPECT_EQ(won->index(), i % 2);
        EXPECT_EQ(i % 2 == 0 ? *std::get<0>(*won) : *std::get<1>(*won), i);
        co_await sender.join();
        EXPECT_FALSE(a.try_send(1));
        EXPECT_FALSE(b.try_send(1));
      }
    });
  }
}

TEST(select, a_send_that_loses_keeps_its_value) {
  run_tasks(2, []() -> lv::task<> {
    text_channel full{1};
    text_channel other{1};
    (void)full.try_send(text("first"));
    auto value = text("second");
    auto won = co_await lv::select(lv::send_to(full, value), lv::after(1ms));
    EXPECT_EQ(won->index(), 1U);
    EXPECT_EQ(*value, "second");

    (void)other.try_send(text("third"));
    auto next = co_await lv::select(lv::send_to(full, value), lv::receive_from(other));
    EXPECT_EQ(next->index(), 1U);
    EXPECT_EQ(*value, "second");

    (void)full.try_receive();
    auto last = co_await lv::select(lv::send_to(full, value), lv::receive_from(other));
    EXPECT_EQ(last->index(), 0U);
    EXPECT_TRUE(std::get<0>(*last));
    EXPECT_EQ(value, nullptr);
    EXPECT_EQ(**full.try_receive(), "second");
  });
}

TEST(select, a_closed_channel_is_ready_and_says_so) {
  run_tasks(1, []() -> lv::task<> {
    text_channel c{1};
    number_channel never;
    c.close();
    auto value = text("kept");
    auto sent = co_await lv::select(lv::send_to(c, value), lv::receive_from(never));
    EXPECT_EQ(std::get<0>(*sent).error(), lv::channel_error::closed);
    EXPECT_EQ(*value, "kept");
    auto got = co_await lv::select(lv::receive_from(never), lv::receive_from(c));
    EXPECT_EQ(std::get<1>(*got).error(), lv::channel_error::closed);
  });
}

TEST(select, close_wakes_a_select_that_waits) {
  run_tasks(2, []() -> lv::task<> {
    struct probe {
      static lv::task<> waits(text_channel* a, text_channel* b) {
        auto value = text("kept");
        auto won = co_await lv::select(lv::receive_from(*a), lv::send_to(*b, value));
        EXPECT_EQ(won->index(), 1U);
        EXPECT_EQ(std::get<1>(*won).error(), lv::channel_error::closed);
        EXPECT_EQ(*value, "kept");
      }
    };
    text_channel a;
    text_channel b;
    lv::scope tasks;
    for (int i = 0; i < 300; i++) tasks.spawn(probe::waits, &a, &b);
    co_await lv::sleep(1ms);
    b.close();
    co_await tasks.join();
    a.core().check_invariants();
    b.core().check_invariants();
  });
}

TEST(select, a_timer_alone_is_a_sleep_and_is_never_early) {
  run_tasks(1, []() -> lv::task<> {
    const lv::time_point from = lv::clock::now();
    auto won = co_await lv::select(lv::after(3ms), lv::at(from + 1h));
    EXPECT_EQ(won->index(), 0U);
    EXPECT_GE(lv::clock::now() - from, 3ms);
    number_channel c;
    auto again = co_await lv::select(lv::receive_from(c), lv::at(from));
    EXPECT_EQ(again->index(), 1U);
  });
}

TEST(select, cancellation_and_deadline_come_back_as_values) {
  run_tasks(2, []() -> lv::task<> {
    struct probe {
      static lv::task<> waits(text_channel* c, lv::channel_error* error) {
        auto value = text("kept");
        auto won = co_await lv::select(lv::receive_from(*c), lv::send_to(*c, value), lv::after(1h));
        EXPECT_FALSE(won);
        *error = won.error();
        EXPECT_EQ(*value, "kept");
      }
    };
    text_channel c;
    auto error = lv::channel_error::closed;
    lv::scope tasks;
    tasks.spawn(probe::waits, &c, &error);
    co_await lv::sleep(1ms);
    tasks.cancel();
    co_await tasks.join();
    EXPECT_EQ(error, lv::channel_error::cancelled);
    co_await lv::with_deadline(1ms, probe::waits(&c, &error));
    EXPECT_EQ(error, lv::channel_error::timed_out);
    EXPECT_FALSE(c.try_receive());
    c.core().check_invariants();
  });
}

TEST(select, never_meets_itself_but_another_of_its_kind) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      struct probe {
        static lv::task<> both(number_channel* c, std::uint64_t mine, int* received) {
          auto won = co_await lv::select(lv::receive_from(*c), lv::send_to(*c, mine));
          if (won->index() == 0) {
            EXPECT_NE(*std::get<0>(*won), mine);
            ++*received;
          }
        }
      };
      for (int i = 0; i < 2'000 / slow_build_factor; i++) {
        number_channel c;
        int received[2] = {};
        lv::scope two;
        two.spawn(probe::both, &c, 1UL, &received[0]);
        two.spawn(probe::both, &c, 2UL, &received[1]);
        co_await two.join();
        EXPECT_EQ(received[0] + received[1], 1);
      }
    });
  }
}

TEST(select, one_ready_case_is_as_likely_as_another) {
  run_tasks(1, []() -> lv::task<> {
    constexpr int rounds = 12'000;
    number_channel a{1};
    number_channel b{1};
    number_channel c{1};
    number_channel empty{1};
    int wins[4] = {};
    for (int i = 0; i < rounds; i++) {
      (void)a.try_send(1);
      (void)b.try_send(1);
      (void)c.try_send(1);
      auto won = co_await lv::select(lv::receive_from(a), lv::receive_from(empty), lv::receive_from(b), lv::receive_from(c));
      wins[won->index()]++;
    }
    EXPECT_EQ(wins[1], 0);
    // Five standard deviations of a binomial with p = 1/3.
    for (int ready : {0, 2, 3}) EXPECT_NEAR(wins[ready], rounds / 3, 260) << "case " << ready;
  });
}

TEST(select, waiting_in_line_counts_as_in_line) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> by_select(number_channel* a, number_channel* b, std::vector<int>* order, int number) {
        (void)co_await lv::select(lv::receive_from(*a), lv::receive_from(*b));
        order->push_back(number);
      }
      static lv::task<> plainly(number_channel* a, std::vector<int>* order, int number) {
        (void)co_await a->receive();
        order->push_back(number);
      }
    };
    number_channel a;
    number_channel b;
    std::vector<int> order;
    lv::scope tasks;
    tasks.spawn(probe::by_select, &b, &a, &order, 0);
    co_await settle();
    tasks.spawn(probe::plainly, &a, &order, 1);
    co_await settle();
    tasks.spawn(probe::by_select, &a, &b, &order, 2);
    co_await settle();
    for (std::uint64_t i = 0; i < 3; i++) {
      EXPECT_TRUE(a.try_send(i));
      co_await settle();
    }
    co_await tasks.join();
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
    EXPECT_FALSE(b.try_send(1));
  });
}

TEST(select, always_ready_does_not_starve_others) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> spin(number_channel* c, const bool* stop) {
        std::uint64_t value = 1;
        while (!*stop) (void)co_await lv::select(lv::receive_from(*c), lv::send_to(*c, value));
      }
      static lv::task<> stop(bool* flag) {
        *flag = true;
        co_return;
      }
    };
    number_channel c{2};
    bool flag = false;
    lv::scope tasks;
    tasks.spawn(probe::spin, &c, &flag);
    co_await lv::yield();
    tasks.spawn(probe::stop, &flag);
    co_await tasks.join();
  });
}

TEST(select, otherwise_is_done_when_nothing_else_can_be) {
  run_tasks(1, []() -> lv::task<> {
    number_channel c{1};
    std::uint64_t value = 5;
    auto empty = co_await lv::select(lv::receive_from(c), lv::after(0ns), lv::otherwise());
    EXPECT_EQ(empty->index(), 2U);
    auto room = co_await lv::select(lv::otherwise(), lv::send_to(c, value));
    EXPECT_EQ(room->index(), 1U);
    auto full = co_await lv::select(lv::send_to(c, value), lv::otherwise());
    EXPECT_EQ(full->index(), 1U);
    auto there = co_await lv::select(lv::otherwise(), lv::receive_from(c));
    EXPECT_EQ(*std::get<1>(*there), 5U);
    struct probe {
      static lv::task<> selects(number_channel* from, lv::channel_error* error) {
        auto won = co_await lv::select(lv::receive_from(*from), lv::otherwise());
        *error = won.error();
      }
    };
    auto error = lv::channel_error::closed;
    lv::scope told;
    told.spawn(probe::selects, &c, &error);
    told.cancel();
    co_await told.join();
    EXPECT_EQ(error, lv::channel_error::cancelled);
  });
}

// ---- over calls ------------------------------------------------------------------------------------------------------

namespace {

// A call, and what became of it.
struct called {
  lv::event gate;
  bool made = false;
  bool gone = false;
  lv::cancel_reason why = lv::cancel_reason::none;
};

lv::task<std::string> wait_for(called* of, std::string result) {
  struct mark {
    bool& gone;
    explicit mark(bool& at) : gone(at) {}
    mark(const mark&) = delete;
    ~mark() { gone = true; }
  };
  const mark end(of->gone);
  of->made = true;
  try {
    co_await of->gate.wait();
  } catch (const lv::cancelled& thrown) {
    of->why = thrown.reason();
    throw;
  }
  co_return result;
}

lv::task<std::string> fail(called* of) {
  co_await wait_for(of, "");
  throw std::runtime_error("as told");
}

lv::task<> set_gate(called* of) {
  of->gate.set();
  co_return;
}

}  // namespace

TEST(select, a_call_that_ends_first_wins_and_the_others_have_ended) {
  run_tasks(1, []() -> lv::task<> {
    called fast;
    called slow;
    number_channel c;
    lv::scope opener;
    opener.spawn(set_gate, &fast);
    auto won = co_await lv::select(wait_for(&slow, "slow"), lv::receive_from(c), wait_for(&fast, "fast"), lv::after(1h));
    EXPECT_EQ(won->index(), 2U);
    EXPECT_EQ(std::get<2>(*won), "fast");
    EXPECT_TRUE(slow.gone);
    EXPECT_EQ(slow.why, lv::cancel_reason::lost_race);
    EXPECT_FALSE(c.try_send(1)) << "nobody waits in it";
    co_await opener.join();
  });
}

TEST(select, a_call_is_not_made_when_another_case_can_be_done_at_once) {
  run_tasks(1, []() -> lv::task<> {
    called never;
    number_channel c{1};
    (void)c.try_send(7);
    auto won = co_await lv::select(wait_for(&never, ""), lv::receive_from(c));
    EXPECT_EQ(*std::get<1>(*won), 7U);
    EXPECT_FALSE(never.made);
  });
}

TEST(select, a_value_or_a_timer_that_comes_first_cancels_the_call) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> sends(number_channel* to) { (void)co_await to->send(7); }
    };
    called one;
    called two;
    number_channel c;
    lv::scope sender;
    sender.spawn(probe::sends, &c);
    auto won = co_await lv::select(lv::receive_from(c), wait_for(&one, ""));
    EXPECT_EQ(*std::get<0>(*won), 7U);
    EXPECT_TRUE(one.gone);
    EXPECT_EQ(one.why, lv::cancel_reason::lost_race);
    auto late = co_await lv::select(wait_for(&two, ""), lv::after(1ms));
    EXPECT_EQ(late->index(), 1U);
    EXPECT_TRUE(two.gone);
    co_await sender.join();
  });
}

TEST(select, takes_any_awaitable_as_a_call) {
  run_tasks(1, []() -> lv::task<> {
    lv::mutex m;
    lv::event e;
    auto sleeps = co_await lv::select(e.wait(), lv::sleep(1ms));
    EXPECT_EQ(sleeps->index(), 1U);
    {
      auto locks = co_await lv::select(e.wait(), m.lock());
      EXPECT_TRUE(std::get<1>(*locks));
      EXPECT_FALSE(m.try_lock());
    }
    EXPECT_TRUE(m.try_lock());
  });
}

TEST(select, the_exception_of_the_first_is_thrown_when_all_have_ended) {
  run_tasks(1, []() -> lv::task<> {
    called fails;
    called other;
    fails.gate.set();
    bool thrown = false;
    try {
      (void)co_await lv::select(wait_for(&other, ""), fail(&fails));
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
    EXPECT_TRUE(!other.made || other.gone);
  });
}

TEST(select, a_cancelled_select_over_calls_says_so_and_its_calls_have_ended) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> selects(called* of, text_channel* c, lv::channel_error* error) {
        auto value = text("kept");
        auto won = co_await lv::select(wait_for(of, ""), lv::send_to(*c, value));
        EXPECT_FALSE(won);
        *error = won.error();
        EXPECT_EQ(*value, "kept");
        EXPECT_TRUE(!of->made || of->gone);
      }
    };
    text_channel c;
    called told_before;
    called told_while;
    called late;
    auto error = lv::channel_error::closed;
    {
      lv::scope tasks;
      tasks.spawn(probe::selects, &told_before, &c, &error);
      tasks.cancel();
      co_await tasks.join();
      EXPECT_EQ(error, lv::channel_error::cancelled);
      EXPECT_FALSE(told_before.made);
    }
    error = lv::channel_error::closed;
    {
      lv::scope tasks;
      tasks.spawn(probe::selects, &told_while, &c, &error);
      co_await settle();
      EXPECT_TRUE(told_while.made);
      tasks.cancel();
      co_await tasks.join();
      EXPECT_EQ(error, lv::channel_error::cancelled);
      EXPECT_TRUE(told_while.gone);
    }
    co_await lv::with_deadline(1ms, probe::selects(&late, &c, &error));
    EXPECT_EQ(error, lv::channel_error::timed_out);
    EXPECT_TRUE(late.gone);
    EXPECT_FALSE(c.try_receive());
  });
}

TEST(select, what_a_call_brings_too_late_is_put_back) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> selects(number_channel* c, lv::semaphore* permits, std::string* log) {
        auto won = co_await lv::select(lv::receive_from(*c), lv::call(permits->acquire(), [permits, log](std::monostate) {
                                         permits->release();
                                         *log += "put back,";
                                       }));
        *log += won->index() == 0 ? "received" : "acquired";
      }
    };
    number_channel c;
    lv::semaphore permits{0};
    std::string log;
    lv::scope tasks;
    tasks.spawn(probe::selects, &c, &permits, &log);
    co_await settle();
    EXPECT_TRUE(c.try_send(1));  // this one is first
    permits.release();
    co_await tasks.join();
    EXPECT_EQ(log, "put back,received");
    EXPECT_EQ(permits.available_approx(), 1U);
  });
}

TEST(select, keeps_what_puts_back_for_as_long_as_it_selects_and_no_longer) {
  run_tasks(1, []() -> lv::task<> {
    number_channel c{1};
    lv::semaphore permits{0};
    const auto log = std::make_shared<std::string>();
    const auto put_back = [log](std::monostate) { *log += "put back"; };
    lv::scope tasks;
    tasks.spawn([](number_channel* to, lv::semaphore* later) -> lv::task<> {
      co_await settle();
      EXPECT_TRUE(to->try_send(1));  // this one is first
      later->release();
    }, &c, &permits);
    auto won = co_await lv::select(lv::receive_from(c), lv::call(permits.acquire(), put_back));
    EXPECT_EQ(won->index(), 0U);
    co_await tasks.join();
    EXPECT_EQ(*log, "put back");
    EXPECT_EQ(log.use_count(), 2) << "ours, and the one that has a name";
  });
}

TEST(select, over_calls_under_cancellation_conserves_permits_and_values) {
  std::uint64_t cancellations = 0;
  for (unsigned workers : worker_counts) {
    struct town {
      lv::semaphore permits{2};
      number_channel numbers{1};
      lv::atomic<std::uint64_t> sent{0};
      lv::atomic<std::uint64_t> received{0};
      lv::atomic<std::uint64_t> cancelled{0};
    };
    struct probe {
      static lv::task<> trades(town* at, std::uint64_t seed) {
        lv::rng random{seed};
        for (;;) {
          std::uint64_t value = 1;
          lv::semaphore* const permits = &at->permits;
          auto put_back = [permits](std::monostate) { permits->release(); };
          const bool sends = random.below(2) == 0;
          std::size_t winner = 2;
          if (sends) {
            auto won = co_await lv::select(lv::send_to(at->numbers, value), lv::call(permits->acquire(), put_back));
            if (won) winner = won->index();
          } else {
            auto won = co_await lv::select(lv::receive_from(at->numbers), lv::call(permits->acquire(), put_back));
            if (won) winner = won->index();
          }
          if (winner == 2) break;
          if (winner == 0) (sends ? at->sent : at->received).fetch_add(1, std::memory_order_relaxed);
          if (winner == 1) permits->release();
        }
        at->cancelled.fetch_add(1, std::memory_order_relaxed);
      }
      static lv::task<> disturbs(town* at, std::uint64_t seed) {
        lv::rng random{seed};
        while (at->cancelled.load(std::memory_order_relaxed) < 10'000 / slow_build_factor) {
          lv::scope traders;
          for (int i = 0; i < 4; i++) traders.spawn(trades, at, random());
          for (auto yields = random.below(4); yields > 0; yields--) co_await lv::yield();
          traders.cancel();
          co_await traders.join();
        }
      }
    };
    run_tasks(workers, [](std::uint64_t* count) -> lv::task<> {
      town at;
      lv::scope tasks;
      for (std::uint64_t i = 0; i < 3; i++) tasks.spawn(probe::disturbs, &at, i + 1);
      co_await tasks.join();
      EXPECT_EQ(at.permits.available_approx(), 2U);
      while (at.numbers.try_receive()) at.received.fetch_add(1, std::memory_order_relaxed);
      EXPECT_EQ(at.sent.load(std::memory_order_relaxed), at.received.load(std::memory_order_relaxed));
      at.numbers.core().check_invariants();
      *count += at.cancelled.load(std::memory_order_relaxed);
    }, &cancellations);
  }
  EXPECT_GE(cancellations, 30'000U / slow_build_factor);
}

// ---- under cancellation ----------------------------------------------------------------------------------------------

namespace {

struct book {
  explicit book(std::size_t size) : marks(size) {}
  std::vector<lv::atomic<std::uint8_t>> marks;  // 1: sent; 16 for each time received; 2: given back
  lv::atomic<std::uint64_t> next{0};
  lv::atomic<std::uint64_t> cancelled{0};
  lv::atomic<std::uint64_t> timers{0};

  [[nodiscard]] bool used_up() const { return next.load(std::memory_order_relaxed) >= marks.size(); }
  void received(const std::unique_ptr<std::uint64_t>& value) {
    EXPECT_NE(value, nullptr);
    if (value) marks[*value].fetch_add(16, std::memory_order_relaxed);
  }
};

using owned_channel = lv::channel<std::unique_ptr<std::uint64_t>>;

struct crowd {
  std::vector<std::unique_ptr<owned_channel>> channels;
  book* all;
  owned_channel& any(lv::rng& random) { return *channels[random.below(channels.size())]; }
};

// Sends its values by whichever way comes first, and takes what comes.
lv::task<> trade(crowd* among, std::uint64_t seed) {
  lv::rng random{seed};
  book& all = *among->all;
  while (!all.used_up()) {
    const std::uint64_t number = all.next.fetch_add(1, std::memory_order_relaxed);
    if (number >= all.marks.size()) co_return;
    auto value = std::make_unique<std::uint64_t>(number);
    if (random.below(512) == 0) {
      owned_channel nobody_else;
      auto alone = co_await lv::select(lv::receive_from(nobody_else), lv::send_to(nobody_else, value),
                                       lv::after(lv::duration(random.below(100'000))));
      (alone ? all.timers : all.cancelled).fetch_add(1, std::memory_order_relaxed);
    }
    while (value != nullptr) {
      auto won = co_await lv::select(lv::send_to(among->any(random), value), lv::receive_from(among->any(random)),
                                     lv::receive_from(among->any(random)), lv::after(lv::duration(random.below(300'000))));
      if (!won) {
        EXPECT_NE(value, nullptr);
        EXPECT_EQ(*value, number);
        all.marks[number].fetch_add(2, std::memory_order_relaxed);
        all.cancelled.fetch_add(1, std::memory_order_relaxed);
        co_return;
      }
      EXPECT_EQ(value == nullptr, won->index() == 0);
      if (won->index() == 0) all.marks[number].fetch_add(1, std::memory_order_relaxed);
      if (won->index() == 1) all.received(*std::get<1>(*won));
      if (won->index() == 2) all.received(*std::get<2>(*won));
      if (won->index() == 3) all.timers.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

lv::task<> plain_receiver(crowd* among, std::uint64_t seed) {
  lv::rng random{seed};
  while (!among->all->used_up()) {
    auto got = co_await among->any(random).receive();
    if (!got) {
      among->all->cancelled.fetch_add(1, std::memory_order_relaxed);
      co_return;
    }
    among->all->received(*got);
  }
}

lv::task<> disturb(crowd* among, std::uint64_t seed) {
  lv::rng random{seed};
  while (!among->all->used_up()) {
    lv::scope traders;
    for (int i = 0; i < 4; i++) traders.spawn(trade, among, random());
    if (random.below(2) == 0) traders.spawn(plain_receiver, among, random());
    for (auto yields = random.below(2); yields > 0; yields--) co_await lv::yield();
    if (random.below(8) == 0) co_await lv::sleep(lv::duration(random.below(300'000)));
    traders.cancel();
    co_await traders.join();
  }
}

}  // namespace

TEST(select, a_crowd_under_cancellation_loses_and_doubles_no_value) {
  std::uint64_t cancellations = 0;
  std::uint64_t timers = 0;
  for (unsigned workers : worker_counts) {
    for (std::size_t capacity : {0U, 2U}) {
      book all(800'000 / slow_build_factor);
      run_tasks(workers, [](book* into, std::size_t room, std::uint64_t seed) -> lv::task<> {
        crowd among;
        among.all = into;
        for (int i = 0; i < 3; i++) among.channels.push_back(std::make_unique<owned_channel>(room));
        lv::scope tasks;
        for (std::uint64_t i = 0; i < 4; i++) tasks.spawn(disturb, &among, seed + i);
        co_await tasks.join();
        for (auto& each : among.channels) {
          each->core().check_invariants();
          while (auto left = each->try_receive()) into->received(*left);
        }
      }, &all, capacity, std::uint64_t{workers} * 1000 + capacity);
      for (std::size_t i = 0; i < all.marks.size(); i++) {
        const int mark = all.marks[i].load(std::memory_order_relaxed);
        EXPECT_TRUE(mark == 17 || mark == 2) << "value " << i << " has mark " << mark;
        if (mark != 17 && mark != 2) return;
      }
      cancellations += all.cancelled.load(std::memory_order_relaxed);
      timers += all.timers.load(std::memory_order_relaxed);
    }
  }
  EXPECT_GT(cancellations, 100'000U / slow_build_factor);
  EXPECT_GT(timers, 0U);
}
