// Channels: what a sender and a receiver may rely on, on a real runtime; then the same under random cancellation, where every
// value must arrive exactly once or be given back, and against a model of the queue, step by step.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "levity/sync/channel.hpp"
#include "tests/support/parked_weight.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/settle.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::settle;
using levity::test::slow_build_factor;

namespace {

constexpr unsigned worker_counts[] = {1, 2, 4};

using number_channel = lv::channel<std::uint64_t>;

lv::task<> send_range(number_channel* to, std::uint64_t from, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; i++) EXPECT_TRUE(co_await to->send(from + i));
}

lv::task<> receive_all(number_channel* from, std::vector<std::uint64_t>* got) {
  while (auto value = co_await from->receive()) got->push_back(*value);
}

lv::task<> receive_one(number_channel* from, std::vector<std::uint64_t>* got) {
  if (auto value = co_await from->receive()) got->push_back(*value);
}

lv::task<> send_one(number_channel* to, std::uint64_t value, std::vector<lv::channel_error>* failures) {
  if (auto sent = co_await to->send(value); !sent) {
    EXPECT_EQ(sent.error().value, value);
    failures->push_back(sent.error().error);
  }
}

// Counts its instances; a moved-from one says so.
struct counted {
  static inline lv::atomic<long> alive{0};
  std::uint64_t number;
  bool whole = true;

  explicit counted(std::uint64_t n) noexcept : number(n) { alive.fetch_add(1, std::memory_order_relaxed); }
  counted(counted&& other) noexcept : number(other.number), whole(std::exchange(other.whole, false)) {
    alive.fetch_add(1, std::memory_order_relaxed);
  }
  counted& operator=(counted&&) = delete;
  ~counted() { alive.fetch_sub(1, std::memory_order_relaxed); }
};

}  // namespace

TEST(channel, that_is_waited_for_costs_a_task_no_more_memory_than_promised) {
  if (!levity::test::weighs_what_users_get) GTEST_SKIP() << "frames of this build are larger";
  run_tasks(1, []() -> lv::task<> {
    const auto receiver = [](number_channel* from, int* ends) -> lv::task<> {
      const auto got = co_await from->receive();
      if (!got) ++*ends;
    };
    int ends = 0;
    number_channel pipe;
    const auto spawn = [&](lv::scope& into) { into.spawn("receiver", receiver, &pipe, &ends); };
    const std::uint64_t bytes = co_await levity::test::parked_weight(spawn);
    EXPECT_LE(bytes, levity::test::parked_bytes_max);
    EXPECT_EQ(ends, 1000);
  });
}

TEST(channel, keeps_the_order_of_one_sender) {
  for (unsigned workers : worker_counts) {
    for (std::size_t capacity : {0U, 1U, 16U}) {
      run_tasks(workers, [](std::size_t room) -> lv::task<> {
        const std::uint64_t count = 100'000 / slow_build_factor;
        number_channel c{room};
        std::vector<std::uint64_t> got;
        lv::scope sender;
        lv::scope receiver;
        receiver.spawn(receive_all, &c, &got);
        sender.spawn(send_range, &c, 0UL, count);
        co_await sender.join();
        c.close();
        co_await receiver.join();
        EXPECT_EQ(got.size(), count);
        for (std::size_t i = 0; i < got.size(); i++) EXPECT_EQ(got[i], i);
        c.core().check_invariants();
      }, capacity);
    }
  }
}

TEST(channel, many_senders_and_receivers_lose_and_double_nothing) {
  for (unsigned workers : worker_counts) {
    for (std::size_t capacity : {0U, 1U, 16U}) {
      run_tasks(workers, [](std::size_t room) -> lv::task<> {
        const std::uint64_t count = 20'000 / slow_build_factor;
        number_channel c{room};
        std::vector<std::uint64_t> got[5];
        lv::scope senders;
        lv::scope receivers;
        for (auto& each : got) receivers.spawn(receive_all, &c, &each);
        for (std::uint64_t i = 0; i < 8; i++) senders.spawn(send_range, &c, i * count, count);
        co_await senders.join();
        c.close();
        co_await receivers.join();
        std::vector<std::uint64_t> all;
        for (auto& each : got) {
          // What one receiver gets of one sender is in order.
          std::uint64_t last[8] = {};
          for (const std::uint64_t value : each) {
            EXPECT_GE(value + 1, last[value / count] + 1);
            last[value / count] = value;
          }
          all.insert(all.end(), each.begin(), each.end());
        }
        std::sort(all.begin(), all.end());
        EXPECT_EQ(all.size(), 8 * count);
        for (std::size_t i = 0; i < all.size(); i++) EXPECT_EQ(all[i], i);
      }, capacity);
    }
  }
}

TEST(channel, carries_what_can_only_be_moved) {
  run_tasks(1, []() -> lv::task<> {
    lv::channel<std::unique_ptr<std::string>> c{1};
    EXPECT_TRUE(co_await c.send(std::make_unique<std::string>("here")));
    auto refused = c.try_send(std::make_unique<std::string>("back"));
    EXPECT_FALSE(refused);
    EXPECT_EQ(refused.error(), lv::channel_error::would_block);
    EXPECT_EQ(*refused.error().value, "back");
    auto got = co_await c.receive();
    EXPECT_EQ(**got, "here");
    EXPECT_EQ(c.try_receive().error(), lv::channel_error::would_block);
  });
}

TEST(channel, carries_what_is_aligned_beyond_the_ordinary) {
  struct alignas(64) wide {
    std::uint64_t number;
  };
  run_tasks(1, []() -> lv::task<> {
    lv::channel<wide> c{2};
    (void)co_await c.send(wide{5});
    auto got = co_await c.receive();
    EXPECT_EQ(got->number, 5U);
  });
}

TEST(channel, a_rendezvous_ends_when_the_value_was_taken) {
  run_tasks(1, []() -> lv::task<> {
    number_channel c;
    std::vector<lv::channel_error> failures;
    lv::scope sender;
    EXPECT_FALSE(c.try_send(1));
    sender.spawn(send_one, &c, 2UL, &failures);
    co_await settle();
    EXPECT_EQ(sender.size_approx(), 1U);
    EXPECT_EQ(c.size_approx(), 0U);
    EXPECT_EQ(*c.try_receive(), 2U);
    co_await sender.join();
    EXPECT_TRUE(failures.empty());
  });
}

TEST(channel, who_waits_longest_is_served_first) {
  for (std::size_t capacity : {0U, 3U}) {
    run_tasks(1, [](std::size_t room) -> lv::task<> {
      number_channel c{room};
      std::vector<lv::channel_error> failures;
      lv::scope senders;
      for (std::uint64_t i = 0; i < 50; i++) {
        senders.spawn(send_one, &c, i, &failures);
        co_await settle();
      }
      EXPECT_FALSE(c.try_send(99)) << "a newcomer passes nobody";
      for (std::uint64_t i = 0; i < 50; i++) EXPECT_EQ(*c.try_receive(), i);
      co_await senders.join();

      std::vector<std::uint64_t> got[50];
      lv::scope receivers;
      for (auto& each : got) {
        receivers.spawn(receive_one, &c, &each);
        co_await settle();
      }
      EXPECT_FALSE(c.try_receive());
      for (std::uint64_t i = 0; i < 50; i++) EXPECT_TRUE(c.try_send(i).has_value());
      co_await receivers.join();
      for (std::uint64_t i = 0; i < 50; i++) EXPECT_EQ(got[i], std::vector<std::uint64_t>{i});
    }, capacity);
  }
}

TEST(channel, close_fails_senders_and_drains_to_receivers) {
  run_tasks(1, []() -> lv::task<> {
    number_channel c{2};
    std::vector<lv::channel_error> failures;
    lv::scope senders;
    for (std::uint64_t i = 0; i < 4; i++) {
      senders.spawn(send_one, &c, i, &failures);
      co_await settle();
    }
    c.close();
    c.close();
    EXPECT_TRUE(c.is_closed());
    co_await senders.join();
    EXPECT_EQ(failures, (std::vector{lv::channel_error::closed, lv::channel_error::closed}));
    EXPECT_EQ((co_await c.send(9)).error(), lv::channel_error::closed);
    EXPECT_EQ(*co_await c.receive(), 0U);
    EXPECT_EQ(*co_await c.receive(), 1U);
    EXPECT_EQ((co_await c.receive()).error(), lv::channel_error::closed);
    c.core().check_invariants();
  });
}

TEST(channel, close_lets_every_waiting_receiver_go_and_may_be_followed_by_its_end) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      struct probe {
        static lv::task<> waits(number_channel* c, lv::atomic<int>* closed) {
          auto got = co_await c->receive();
          EXPECT_EQ(got.error(), lv::channel_error::closed);
          closed->fetch_add(1, std::memory_order_relaxed);
        }
      };
      for (int i = 0; i < 200 / slow_build_factor + 1; i++) {
        lv::atomic<int> closed{0};
        auto c = std::make_unique<number_channel>();
        lv::scope tasks;
        for (int j = 0; j < 500; j++) tasks.spawn(probe::waits, c.get(), &closed);
        co_await lv::yield();
        c->close();
        co_await tasks.join();
        c.reset();
        EXPECT_EQ(closed.load(std::memory_order_relaxed), 500);
      }
    });
  }
}

TEST(channel, cancellation_and_deadline_are_different_values) {
  run_tasks(2, []() -> lv::task<> {
    struct probe {
      static lv::task<> waits(number_channel* c, lv::channel_error* error) { *error = (co_await c->receive()).error(); }
      static lv::task<> tries_again(number_channel* c, lv::channel_error* error) {
        (void)co_await c->receive();
        (void)c->try_send(1);
        *error = (co_await c->receive()).error();
      }
    };
    number_channel c{1};
    auto error = lv::channel_error::closed;
    lv::scope tasks;
    tasks.spawn(probe::waits, &c, &error);
    tasks.cancel();
    co_await tasks.join();
    EXPECT_EQ(error, lv::channel_error::cancelled);
    co_await lv::with_deadline(1ms, probe::waits(&c, &error));
    EXPECT_EQ(error, lv::channel_error::timed_out);
    error = lv::channel_error::closed;
    co_await lv::with_deadline(1ms, probe::tries_again(&c, &error));
    EXPECT_EQ(error, lv::channel_error::timed_out) << "a cancelled task gets nothing, though a value is there";
    EXPECT_EQ(c.size_approx(), 1U);
  });
}

TEST(channel, a_wait_that_was_over_at_once_is_forgotten_by_a_later_yield) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> waits(number_channel* c, lv::channel_error* error) { *error = (co_await c->receive()).error(); }
    };
    number_channel c{1};
    for (int i = 0; i < 10; i++) {
      auto error = lv::channel_error::closed;
      co_await lv::with_deadline(0ms, probe::waits(&c, &error));
      EXPECT_EQ(error, lv::channel_error::timed_out);
      EXPECT_TRUE(c.try_send(i).has_value());
      co_await lv::yield();
      EXPECT_EQ(c.try_receive().value_or(-1), i);
    }
  });
}

TEST(channel, a_send_that_nobody_awaits_sends_nothing) {
  run_tasks(1, []() -> lv::task<> {
    lv::channel<counted> c{1};
    { auto never = c.send(counted{1}); }
    EXPECT_EQ(counted::alive.load(std::memory_order_relaxed), 0);
    EXPECT_EQ(c.size_approx(), 0U);
    co_return;
  });
}

TEST(channel, destroys_what_nobody_took) {
  run_tasks(1, []() -> lv::task<> {
    {
      lv::channel<counted> c{3};
      for (std::uint64_t i = 0; i < 3; i++) EXPECT_TRUE(co_await c.send(counted{i}));
      EXPECT_EQ(counted::alive.load(std::memory_order_relaxed), 3);
    }
    EXPECT_EQ(counted::alive.load(std::memory_order_relaxed), 0);
  });
}

TEST(channel, a_pair_that_never_waits_does_not_starve_others) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> spin(number_channel* c, const bool* stop) {
        while (!*stop) {
          (void)co_await c->send(1);
          (void)co_await c->receive();
        }
      }
      static lv::task<> ping(number_channel* c, const bool* stop) {
        while (!*stop) (void)co_await c->send(1);
        c->close();
      }
      static lv::task<> pong(number_channel* c) {
        while (auto got = co_await c->receive()) EXPECT_EQ(*got, 1U);
      }
      static lv::task<> stop(bool* flag) {
        *flag = true;
        co_return;
      }
    };
    for (int kind = 0; kind < 2; kind++) {
      number_channel c{static_cast<std::size_t>(kind == 0 ? 8 : 0)};
      bool flag = false;
      lv::scope tasks;
      if (kind == 0) {
        tasks.spawn(probe::spin, &c, &flag);
      } else {
        tasks.spawn(probe::ping, &c, &flag);
        tasks.spawn(probe::pong, &c);
      }
      co_await lv::yield();
      co_await lv::yield();
      tasks.spawn(probe::stop, &flag);
      co_await tasks.join();
    }
  });
}

TEST(channel, says_what_a_task_waits_for) {
  run_tasks(1, []() -> lv::task<> {
    number_channel c{4};
    for (std::uint64_t i = 0; i < 4; i++) (void)c.try_send(i);
    auto send = c.send(5);
    const lv::detail::waiter& waits = send;
    char text[100];
    waits.reason->describe(waits, text, sizeof text);
    EXPECT_STREQ(waits.reason->name, "channel send");
    EXPECT_NE(std::string(text).find("4 of 4 full"), std::string::npos) << text;
    co_return;
  });
}

// ---- under cancellation ----------------------------------------------------------------------------------------------

namespace {

// One entry a value: 1 for sent, 16 for each time it was received, 2 for given back.
struct ledger {
  std::vector<lv::atomic<std::uint8_t>> marks;
  lv::atomic<std::uint64_t> next{0};
  lv::atomic<std::uint64_t> cancelled{0};
  lv::atomic<std::uint64_t> timed_out{0};
  explicit ledger(std::size_t size) : marks(size) {}

  void mark(std::uint64_t number, std::uint8_t bit) { marks[number].fetch_add(bit, std::memory_order_relaxed); }
  void failed(lv::channel_error why) {
    if (why == lv::channel_error::cancelled) cancelled.fetch_add(1, std::memory_order_relaxed);
    if (why == lv::channel_error::timed_out) timed_out.fetch_add(1, std::memory_order_relaxed);
  }
};

lv::task<> keep_sending(lv::channel<counted>* to, ledger* book) {
  for (;;) {
    const std::uint64_t number = book->next.fetch_add(1, std::memory_order_relaxed);
    if (number >= book->marks.size()) co_return;
    auto sent = co_await to->send(counted{number});
    if (sent) {
      book->mark(number, 1);
      continue;
    }
    EXPECT_TRUE(sent.error().value.whole);
    EXPECT_EQ(sent.error().value.number, number);
    book->mark(number, 2);
    book->failed(sent.error().error);
    co_return;
  }
}

lv::task<> keep_receiving(lv::channel<counted>* from, ledger* book) {
  for (;;) {
    auto got = co_await from->receive();
    if (!got) {
      book->failed(got.error());
      co_return;
    }
    EXPECT_TRUE(got->whole);
    book->mark(got->number, 16);
  }
}

// Starts tasks and cancels them, by their scope or by a deadline, until the values are used up.
lv::task<> disturb(lv::channel<counted>* c, ledger* book, bool sends, std::uint64_t seed) {
  lv::rng random{seed};
  while (book->next.load(std::memory_order_relaxed) < book->marks.size()) {
    if (random.below(16) == 0) {
      // Not one await with a conditional inside: g++ 12 destroys both of its temporaries.
      const lv::duration span(random.below(200'000));
      if (sends) {
        co_await lv::with_deadline(span, keep_sending(c, book));
      } else {
        co_await lv::with_deadline(span, keep_receiving(c, book));
      }
      continue;
    }
    lv::scope tasks;
    for (int i = 0; i < 4; i++) {
      if (sends) {
        tasks.spawn(keep_sending, c, book);
      } else {
        tasks.spawn(keep_receiving, c, book);
      }
    }
    for (auto yields = random.below(3); yields > 0; yields--) co_await lv::yield();
    tasks.cancel();
    co_await tasks.join();
  }
}

void check(ledger& book) {
  for (std::size_t i = 0; i < book.marks.size(); i++) {
    const int mark = book.marks[i].load(std::memory_order_relaxed);
    EXPECT_TRUE(mark == 17 || mark == 2) << "value " << i << " has mark " << mark;
    if (mark != 17 && mark != 2) return;
  }
}

}  // namespace

TEST(channel, a_hundred_thousand_cancellations_lose_and_double_no_value) {
  constexpr std::uint64_t wanted = 100'000 / slow_build_factor;
  std::uint64_t cancellations = 0;
  // How many fall into one round depends on how busy the machine is.
  for (std::uint64_t round = 0; cancellations < wanted; round++) {
    for (unsigned workers : worker_counts) {
      for (std::size_t capacity : {0U, 1U, 8U}) {
        ledger book(400'000 / slow_build_factor);
        run_tasks(workers, [](ledger* all, std::size_t room, std::uint64_t seed) -> lv::task<> {
          lv::channel<counted> c{room};
          lv::scope tasks;
          for (std::uint64_t i = 0; i < 2; i++) {
            tasks.spawn(disturb, &c, all, true, seed + i);
            tasks.spawn(disturb, &c, all, false, seed + 10 + i);
          }
          co_await tasks.join();
          c.core().check_invariants();
          c.close();
          co_await keep_receiving(&c, all);
        }, &book, capacity, round * 1000 + workers * 100 + capacity);
        check(book);
        EXPECT_EQ(counted::alive.load(std::memory_order_relaxed), 0);
        const std::uint64_t cancelled = book.cancelled.load(std::memory_order_relaxed);
        ASSERT_GT(cancelled, 0U);  // else the rounds would never end
        cancellations += cancelled + book.timed_out.load(std::memory_order_relaxed);
      }
    }
  }
}

TEST(channel, close_races_with_everything) {
  for (unsigned workers : worker_counts) {
    for (int round = 0; round < 3'000 / slow_build_factor; round++) {
      ledger book(300);
      run_tasks(workers, [](ledger* all, std::uint64_t seed) -> lv::task<> {
        lv::rng random{seed};
        for (int times = 0; times < 10; times++) {
          lv::channel<counted> c{static_cast<std::size_t>(random.below(3))};
          lv::scope senders;
          lv::scope receivers;
          all->next.store(static_cast<std::uint64_t>(times) * 30, std::memory_order_relaxed);
          for (int i = 0; i < 3; i++) {
            senders.spawn([](lv::channel<counted>* to, ledger* into) -> lv::task<> {
              for (int j = 0; j < 10; j++) {
                const std::uint64_t number = into->next.fetch_add(1, std::memory_order_relaxed);
                auto sent = co_await to->send(counted{number});
                into->mark(number, sent ? 1 : 2);
              }
            }, &c, all);
            receivers.spawn(keep_receiving, &c, all);
          }
          for (auto yields = random.below(4); yields > 0; yields--) co_await lv::yield();
          c.close();
          co_await senders.join();
          co_await receivers.join();
          c.core().check_invariants();
        }
      }, &book, std::uint64_t{workers} * 10'000 + static_cast<std::uint64_t>(round));
      check(book);
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_EQ(counted::alive.load(std::memory_order_relaxed), 0);
}

// ---- against a model -------------------------------------------------------------------------------------------------

namespace {

// What became of an operation: a received value, or one of these.
constexpr std::int64_t sent_ok = -1;
constexpr std::int64_t was_closed = -2;
constexpr std::int64_t was_cancelled = -3;

using outcomes = std::map<int, std::int64_t>;

lv::task<> model_send(number_channel* c, int number, outcomes* seen) {
  auto sent = co_await c->send(static_cast<std::uint64_t>(number));
  (*seen)[number] = sent ? sent_ok : sent.error() == lv::channel_error::closed ? was_closed : was_cancelled;
}

lv::task<> model_receive(number_channel* c, int number, outcomes* seen) {
  auto got = co_await c->receive();
  (*seen)[number] = got ? static_cast<std::int64_t>(*got) : got.error() == lv::channel_error::closed ? was_closed : was_cancelled;
}

// A channel in plain words.
struct model {
  std::size_t capacity;
  bool closed = false;
  std::deque<int> buffer;
  std::deque<int> senders;
  std::deque<int> receivers;
  outcomes expected;

  void send(int number) {
    if (closed) {
      expected[number] = was_closed;
    } else if (!receivers.empty()) {
      expected[receivers.front()] = number;
      receivers.pop_front();
      expected[number] = sent_ok;
    } else if (buffer.size() < capacity) {
      buffer.push_back(number);
      expected[number] = sent_ok;
    } else {
      senders.push_back(number);
    }
  }
  void receive(int number) {
    if (buffer.empty() && senders.empty()) {
      if (closed) {
        expected[number] = was_closed;
      } else {
        receivers.push_back(number);
      }
      return;
    }
    if (!senders.empty()) {
      buffer.push_back(senders.front());
      expected[senders.front()] = sent_ok;
      senders.pop_front();
    }
    expected[number] = buffer.front();
    buffer.pop_front();
  }
  bool cancel(int number) {
    const auto gone = std::erase(senders, number) + std::erase(receivers, number);
    if (gone != 0) expected[number] = was_cancelled;
    return gone != 0;
  }
  void close() {
    closed = true;
    for (int each : senders) expected[each] = was_closed;
    for (int each : receivers) expected[each] = was_closed;
    senders.clear();
    receivers.clear();
  }
};

}  // namespace

TEST(channel, agrees_with_its_model) {
  run_tasks(1, []() -> lv::task<> {
    for (std::uint64_t seed = 1; seed <= 60; seed++) {
      lv::rng random{seed};
      number_channel c{static_cast<std::size_t>(seed % 4)};
      model plain{static_cast<std::size_t>(seed % 4), false, {}, {}, {}, {}};
      outcomes seen;
      std::map<int, std::unique_ptr<lv::scope>> running;
      for (int step = 1; step <= 600 / slow_build_factor + 50; step++) {
        const auto action = random.below(100);
        if (action < 40) {
          plain.send(step);
          auto scope = std::make_unique<lv::scope>();
          scope->spawn(model_send, &c, step, &seen);
          running[step] = std::move(scope);
        } else if (action < 80) {
          plain.receive(step);
          auto scope = std::make_unique<lv::scope>();
          scope->spawn(model_receive, &c, step, &seen);
          running[step] = std::move(scope);
        } else if (action < 99) {
          if (!running.empty()) {
            auto victim = running.begin();
            std::advance(victim, static_cast<std::ptrdiff_t>(random.below(running.size())));
            plain.cancel(victim->first);
            victim->second->cancel();
          }
        } else if (step > 400) {
          plain.close();
          c.close();
        }
        co_await settle(2);
        c.core().check_invariants();
        EXPECT_EQ(seen, plain.expected) << "seed " << seed << " step " << step;
        EXPECT_EQ(c.size_approx(), plain.buffer.size());
        if (seen != plain.expected) co_return;
        for (const auto& each : seen) {
          if (auto found = running.find(each.first); found != running.end()) {
            co_await found->second->join();
            running.erase(found);
          }
        }
        seen.clear();
        plain.expected.clear();
      }
      c.close();
      for (auto& each : running) co_await each.second->join();
    }
  });
}
