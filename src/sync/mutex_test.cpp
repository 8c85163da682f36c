// Mutex, semaphore, event and wait group: what a task that waits may rely on, on a real runtime; then the same under random
// cancellation, against counts that must come out even.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "levity/sync/event.hpp"
#include "levity/sync/mutex.hpp"
#include "levity/sync/semaphore.hpp"
#include "levity/sync/wait_group.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/settle.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::settle;
using levity::test::slow_build_factor;

namespace {

constexpr unsigned worker_counts[] = {1, 2, 4};

lv::task<> lock_and_note(lv::mutex* m, std::vector<int>* order, int number) {
  auto held = co_await m->lock();
  order->push_back(number);
}

lv::task<> count_under_lock(lv::mutex* m, long* counter, int rounds) {
  for (int i = 0; i < rounds; i++) {
    auto held = co_await m->lock();
    const long before = *counter;
    if (i % 7 == 0) co_await lv::yield();
    *counter = before + 1;
  }
}

// Counted with relaxed atomics: the joins order them.
struct tally {
  lv::atomic<long> done{0};
  lv::atomic<long> cancelled{0};
};

}  // namespace

TEST(mutex, excludes_while_its_owner_waits) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      const int rounds = 40'000 / slow_build_factor;
      lv::mutex m;
      long counter = 0;
      lv::scope tasks;
      for (int i = 0; i < 8; i++) tasks.spawn(count_under_lock, &m, &counter, rounds);
      co_await tasks.join();
      EXPECT_EQ(counter, 8L * rounds);
    });
  }
}

TEST(mutex, is_handed_over_first_come_first_served) {
  run_tasks(1, []() -> lv::task<> {
    lv::mutex m;
    std::vector<int> order;
    lv::scope tasks;
    auto held = co_await m.lock();
    for (int i = 0; i < 100; i++) {
      tasks.spawn(lock_and_note, &m, &order, i);
      co_await settle();
    }
    EXPECT_EQ(m.waiters_approx(), 100U);
    held.unlock();
    EXPECT_FALSE(m.try_lock()) << "a newcomer passes nobody";
    co_await tasks.join();
    for (int i = 0; i < 100; i++) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
    EXPECT_TRUE(m.try_lock());
  });
}

TEST(mutex, guard_moves_and_unlocks_once) {
  run_tasks(1, []() -> lv::task<> {
    lv::mutex m;
    lv::mutex::guard outer;
    EXPECT_FALSE(outer);
    {
      auto held = co_await m.lock();
      outer = std::move(held);
      EXPECT_FALSE(held);  // NOLINT: what a moved guard is, is the fact
    }
    EXPECT_FALSE(m.try_lock());
    outer.unlock();
    outer.unlock();
    EXPECT_TRUE(m.try_lock());
  });
}

TEST(mutex, a_cancelled_waiter_throws_and_leaves_no_trace) {
  run_tasks(1, []() -> lv::task<> {
    lv::mutex m;
    std::vector<int> order;
    auto held = co_await m.lock();
    lv::scope first;
    lv::scope second;
    first.spawn(lock_and_note, &m, &order, 1);
    co_await settle();
    second.spawn(lock_and_note, &m, &order, 2);
    co_await settle();
    first.cancel();
    co_await first.join();
    EXPECT_EQ(m.waiters_approx(), 1U);
    held.unlock();
    co_await second.join();
    EXPECT_EQ(order, std::vector<int>{2});
    EXPECT_TRUE(m.try_lock());
  });
}

TEST(mutex, a_deadline_ends_the_wait_with_its_reason) {
  run_tasks(2, []() -> lv::task<> {
    lv::mutex m;
    auto held = co_await m.lock();
    lv::cancel_reason why = lv::cancel_reason::none;
    try {
      std::vector<int> order;
      co_await lv::with_deadline(1ms, lock_and_note(&m, &order, 1));
    } catch (const lv::cancelled& ended) {
      why = ended.reason();
    }
    EXPECT_EQ(why, lv::cancel_reason::deadline);
    held.unlock();
    auto again = co_await m.lock();
    EXPECT_TRUE(again);
  });
}

TEST(mutex, tasks_that_need_not_wait_do_not_starve_others) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> spin(lv::mutex* m, bool* stop) {
        while (!*stop) auto held = co_await m->lock();
      }
      static lv::task<> stop(bool* flag) {
        *flag = true;
        co_return;
      }
    };
    lv::mutex m;
    bool flag = false;
    lv::scope tasks;
    tasks.spawn(probe::spin, &m, &flag);
    co_await lv::yield();
    tasks.spawn(probe::stop, &flag);
    co_await tasks.join();
  });
}

namespace {

lv::task<> fight(lv::mutex* m, long* inside, long* entries, tally* counts, std::uint64_t seed) {
  lv::rng random{seed};
  try {
    for (;;) {
      auto held = co_await m->lock();
      EXPECT_EQ(++*inside, 1);
      ++*entries;
      counts->done.fetch_add(1, std::memory_order_relaxed);
      if (random.below(4) == 0) {
        try {
          co_await lv::yield();
        } catch (const lv::cancelled&) {
        }
      }
      --*inside;
    }
  } catch (const lv::cancelled&) {
    counts->cancelled.fetch_add(1, std::memory_order_relaxed);
  }
}

lv::task<> cancel_fights(lv::mutex* m, long* inside, long* entries, tally* counts, int rounds, std::uint64_t seed) {
  lv::rng random{seed};
  for (int i = 0; i < rounds; i++) {
    lv::scope fighters;
    for (int j = 0; j < 8; j++) fighters.spawn(fight, m, inside, entries, counts, random());
    for (auto yields = random.below(4); yields > 0; yields--) co_await lv::yield();
    fighters.cancel();
    co_await fighters.join();
  }
}

}  // namespace

TEST(mutex, a_hundred_thousand_cancellations_lose_no_hand_over) {
  for (unsigned workers : worker_counts) {
    tally counts;
    long entries = 0;
    run_tasks(workers, [](tally* all, long* entered, std::uint64_t seed) -> lv::task<> {
      lv::mutex m;
      long inside = 0;
      lv::scope tasks;
      const int rounds = 4'500 / slow_build_factor;
      for (std::uint64_t i = 0; i < 3; i++) tasks.spawn(cancel_fights, &m, &inside, entered, all, rounds, seed + i);
      co_await tasks.join();
      EXPECT_EQ(inside, 0);
      EXPECT_EQ(m.waiters_approx(), 0U);
      EXPECT_TRUE(m.try_lock());
    }, &counts, &entries, std::uint64_t{workers});
    EXPECT_EQ(counts.cancelled.load(std::memory_order_relaxed), 4'500 / slow_build_factor * 3 * 8);
    EXPECT_EQ(counts.done.load(std::memory_order_relaxed), entries);
  }
}

// ---- semaphore -------------------------------------------------------------------------------------------------------

namespace {

lv::task<> acquire_and_note(lv::semaphore* s, std::uint64_t permits, std::vector<int>* order, int number) {
  try {
    co_await s->acquire(permits);
    order->push_back(number);
  } catch (const lv::cancelled&) {
    order->push_back(-number);
  }
}

lv::task<> borrow(lv::semaphore* s, lv::atomic<long>* out, long most, tally* counts, std::uint64_t seed) {
  lv::rng random{seed};
  try {
    for (;;) {
      const auto wanted = random.below(4) + 1;
      co_await s->acquire(wanted);
      EXPECT_LE(out->fetch_add(static_cast<long>(wanted), std::memory_order_relaxed) + static_cast<long>(wanted), most);
      try {
        if (random.below(2) == 0) co_await lv::yield();
      } catch (const lv::cancelled&) {
      }
      out->fetch_sub(static_cast<long>(wanted), std::memory_order_relaxed);
      s->release(wanted);
      counts->done.fetch_add(1, std::memory_order_relaxed);
    }
  } catch (const lv::cancelled&) {
    counts->cancelled.fetch_add(1, std::memory_order_relaxed);
  }
}

lv::task<> cancel_borrowers(lv::semaphore* s, lv::atomic<long>* out, long most, tally* counts, int rounds,
                            std::uint64_t seed) {
  lv::rng random{seed};
  for (int i = 0; i < rounds; i++) {
    lv::scope borrowers;
    for (int j = 0; j < 8; j++) borrowers.spawn(borrow, s, out, most, counts, random());
    for (auto yields = random.below(4); yields > 0; yields--) co_await lv::yield();
    borrowers.cancel();
    co_await borrowers.join();
  }
}

}  // namespace

TEST(semaphore, one_who_wants_much_is_not_passed) {
  run_tasks(1, []() -> lv::task<> {
    lv::semaphore s{2};
    std::vector<int> order;
    lv::scope tasks;
    tasks.spawn(acquire_and_note, &s, 3UL, &order, 1);
    co_await settle();
    tasks.spawn(acquire_and_note, &s, 1UL, &order, 2);
    co_await settle();
    EXPECT_TRUE(order.empty());
    EXPECT_FALSE(s.try_acquire(1)) << "it would pass those who wait";
    s.release(1);
    co_await settle();
    EXPECT_EQ(order, std::vector<int>{1});
    s.release(1);
    co_await tasks.join();
    EXPECT_EQ(order, (std::vector<int>{1, 2}));
    EXPECT_EQ(s.available_approx(), 0U);
  });
}

TEST(semaphore, a_cancelled_head_lets_those_behind_it_go) {
  run_tasks(1, []() -> lv::task<> {
    lv::semaphore s{2};
    std::vector<int> order;
    lv::scope much;
    lv::scope few;
    much.spawn(acquire_and_note, &s, 3UL, &order, 1);
    co_await settle();
    few.spawn(acquire_and_note, &s, 1UL, &order, 2);
    few.spawn(acquire_and_note, &s, 1UL, &order, 3);
    co_await settle();
    EXPECT_TRUE(order.empty());
    much.cancel();
    co_await much.join();
    co_await few.join();
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, (std::vector<int>{-1, 2, 3}));
    EXPECT_EQ(s.available_approx(), 0U);
  });
}

TEST(semaphore, a_hundred_thousand_cancellations_conserve_the_permits) {
  for (unsigned workers : worker_counts) {
    tally counts;
    run_tasks(workers, [](tally* all, std::uint64_t seed) -> lv::task<> {
      lv::semaphore s{5};
      lv::atomic<long> out{0};
      lv::scope tasks;
      const int rounds = 4'500 / slow_build_factor;
      for (std::uint64_t i = 0; i < 3; i++) tasks.spawn(cancel_borrowers, &s, &out, 5L, all, rounds, seed + i);
      co_await tasks.join();
      EXPECT_EQ(out.load(std::memory_order_relaxed), 0);
      EXPECT_EQ(s.available_approx(), 5U);
      EXPECT_TRUE(s.try_acquire(5));
    }, &counts, std::uint64_t{workers});
    EXPECT_EQ(counts.cancelled.load(std::memory_order_relaxed), 4'500 / slow_build_factor * 3 * 8);
  }
}

// Random acquires, releases and cancellations on one worker; after each, who has been served is compared with a queue.
TEST(semaphore, agrees_with_its_model) {
  run_tasks(1, []() -> lv::task<> {
    for (std::uint64_t seed = 1; seed <= 20; seed++) {
      lv::rng random{seed};
      lv::semaphore s{3};
      struct entry {
        std::unique_ptr<lv::scope> scope;
        std::uint64_t wanted;
        int number;
      };
      std::uint64_t free = 3;
      std::deque<entry> waiting;
      std::vector<std::unique_ptr<lv::scope>> ended;
      std::vector<int> seen;
      std::vector<int> expected;
      auto serve = [&] {
        while (!waiting.empty() && waiting.front().wanted <= free) {
          free -= waiting.front().wanted;
          expected.push_back(waiting.front().number);
          ended.push_back(std::move(waiting.front().scope));
          waiting.pop_front();
        }
      };
      for (int step = 1; step <= 2'000 / slow_build_factor; step++) {
        const auto action = random.below(10);
        if (action < 5) {
          auto scope = std::make_unique<lv::scope>();
          const std::uint64_t wanted = random.below(4);
          scope->spawn(acquire_and_note, &s, wanted, &seen, step);
          waiting.push_back({std::move(scope), wanted, step});
          serve();
        } else if (action < 8) {
          const std::uint64_t given = random.below(3);
          s.release(given);
          free += given;
          serve();
        } else if (!waiting.empty()) {
          const auto which = static_cast<std::ptrdiff_t>(random.below(waiting.size()));
          expected.push_back(-waiting[static_cast<std::size_t>(which)].number);
          waiting[static_cast<std::size_t>(which)].scope->cancel();
          ended.push_back(std::move(waiting[static_cast<std::size_t>(which)].scope));
          waiting.erase(waiting.begin() + which);
          serve();
        }
        co_await settle(2);
        // Tasks served by one step may run in any order.
        std::sort(seen.begin(), seen.end());
        std::sort(expected.begin(), expected.end());
        EXPECT_EQ(seen, expected) << "seed " << seed << " step " << step;
        EXPECT_EQ(s.available_approx(), free) << "seed " << seed << " step " << step;
        if (seen != expected) co_return;
        for (auto& each : ended) co_await each->join();
        ended.clear();
        seen.clear();
        expected.clear();
      }
      for (auto& each : waiting) {
        each.scope->cancel();
        co_await each.scope->join();
      }
    }
  });
}

// ---- event -----------------------------------------------------------------------------------------------------------

namespace {

lv::task<> await_event(lv::event* e, tally* counts) {
  try {
    co_await e->wait();
    counts->done.fetch_add(1, std::memory_order_relaxed);
  } catch (const lv::cancelled&) {
    counts->cancelled.fetch_add(1, std::memory_order_relaxed);
  }
}


}  // namespace

TEST(event, set_lets_all_go_even_if_reset_follows_at_once) {
  for (unsigned workers : worker_counts) {
    tally counts;
    run_tasks(workers, [](tally* all) -> lv::task<> {
      lv::event e;
      lv::scope tasks;
      for (int i = 0; i < 1'000; i++) tasks.spawn(await_event, &e, all);
      co_await lv::sleep(20ms);  // not for order: late ones are let go below
      e.set();
      e.reset();
      EXPECT_FALSE(e.is_set());
      co_await lv::sleep(1ms);
      e.set();
      co_await tasks.join();
      co_await e.wait();
    }, &counts);
    EXPECT_EQ(counts.done.load(std::memory_order_relaxed), 1'000);
  }
}

TEST(event, those_who_come_after_reset_wait) {
  run_tasks(1, []() -> lv::task<> {
    tally counts;
    lv::event e;
    lv::scope tasks;
    tasks.spawn(await_event, &e, &counts);
    co_await settle();
    e.set();
    e.reset();
    tasks.spawn(await_event, &e, &counts);
    co_await settle();
    EXPECT_EQ(counts.done.load(std::memory_order_relaxed), 1);
    tasks.cancel();
    co_await tasks.join();
    EXPECT_EQ(counts.cancelled.load(std::memory_order_relaxed), 1);
  });
}

TEST(event, what_was_written_before_set_is_read_after_wait) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      struct probe {
        static lv::task<> reads(lv::event* e, const int* value) {
          co_await e->wait();
          EXPECT_EQ(*value, 7);
        }
        static lv::task<> writes(lv::event* e, int* value) {
          *value = 7;
          e->set();
          co_return;
        }
      };
      for (int i = 0; i < 4'000 / slow_build_factor; i++) {
        lv::event e;
        int value = 0;
        lv::scope both;
        both.spawn(probe::reads, &e, &value);
        both.spawn(probe::writes, &e, &value);
        both.spawn(probe::reads, &e, &value);
        co_await both.join();
      }
    });
  }
}

TEST(event, set_races_with_cancellation_and_everybody_ends_once) {
  for (unsigned workers : worker_counts) {
    tally counts;
    const int rounds = 3'000 / slow_build_factor;
    run_tasks(workers, [](tally* all, int times, std::uint64_t seed) -> lv::task<> {
      lv::rng random{seed};
      for (int i = 0; i < times; i++) {
        lv::event e;
        lv::scope others;
        lv::scope tasks;
        for (int j = 0; j < 100; j++) tasks.spawn(await_event, &e, all);
        for (auto yields = random.below(3); yields > 0; yields--) co_await lv::yield();
        others.spawn([](lv::event* on) -> lv::task<> {
          on->set();
          co_return;
        }, &e);
        tasks.cancel();
        co_await tasks.join();
        co_await others.join();
      }
    }, &counts, rounds, std::uint64_t{workers});
    EXPECT_EQ(counts.done.load(std::memory_order_relaxed) + counts.cancelled.load(std::memory_order_relaxed), rounds * 100);
    EXPECT_GT(counts.cancelled.load(std::memory_order_relaxed), 0);
  }
}

// ---- wait group ------------------------------------------------------------------------------------------------------

TEST(wait_group, waits_for_all_and_may_be_gone_at_once) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      struct probe {
        static lv::task<> work(lv::wait_group* group, lv::atomic<int>* done) {
          done->fetch_add(1, std::memory_order_relaxed);
          group->done();
          co_return;
        }
      };
      lv::scope tasks;
      for (int i = 0; i < 5'000 / slow_build_factor; i++) {
        lv::atomic<int> done{0};
        auto group = std::make_unique<lv::wait_group>();
        group->add(8);
        for (int j = 0; j < 8; j++) tasks.spawn(probe::work, group.get(), &done);
        co_await group->wait();
        EXPECT_EQ(done.load(std::memory_order_relaxed), 8);
        group.reset();  // the last done() must be over with it
      }
      co_await tasks.join();
    });
  }
}

TEST(wait_group, a_cancelled_wait_throws_and_the_count_stays) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> waits(lv::wait_group* group, int* ended) {
        co_await group->wait();
        ++*ended;
      }
    };
    lv::wait_group group{2};
    int ended = 0;
    lv::scope first;
    lv::scope second;
    first.spawn(probe::waits, &group, &ended);
    second.spawn(probe::waits, &group, &ended);
    co_await settle();
    first.cancel();
    co_await first.join();
    EXPECT_EQ(ended, 0);
    group.done();
    co_await settle();
    EXPECT_EQ(ended, 0);
    group.done();
    co_await second.join();
    EXPECT_EQ(ended, 1);
    co_await group.wait();
  });
}
