// shared_mutex, barrier, latch, condition, once and watch: what a task that waits may rely on, on a real runtime; each also under
// cancellations at random, against counts that must come out even.

#include "levity/sync/shared_mutex.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "levity/sync/barrier.hpp"
#include "levity/sync/condition.hpp"
#include "levity/sync/latch.hpp"
#include "levity/sync/once.hpp"
#include "levity/sync/watch.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/settle.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::settle;
using levity::test::slow_build_factor;

namespace {

constexpr unsigned worker_counts[] = {1, 2, 4};

// What happens inside: counted with relaxed atomics, so that a second writer shows as a wrong count and as a data race.
struct inside {
  lv::shared_mutex m;
  long plain = 0;  // written by writers only
  lv::atomic<int> readers{0};
  lv::atomic<int> writers{0};
  lv::atomic<int> readers_most{0};
  lv::atomic<long> done{0};
  lv::atomic<long> cancelled{0};
};

lv::task<> a_turn() {
  co_await lv::yield();
}

lv::task<> come_and_go(inside* at, std::uint64_t seed, int rounds) {
  lv::rng random{seed};
  for (int i = 0; i < rounds; i++) {
    try {
      if (random.below(4) == 0) {
        auto held = co_await at->m.lock();
        EXPECT_EQ(at->writers.fetch_add(1, std::memory_order_relaxed), 0);
        EXPECT_EQ(at->readers.load(std::memory_order_relaxed), 0);
        const long before = at->plain;
        if (random.below(3) == 0) co_await lv::shield(a_turn());
        at->plain = before + 1;
        at->writers.fetch_sub(1, std::memory_order_relaxed);
      } else {
        auto held = co_await at->m.lock_shared();
        const int now = at->readers.fetch_add(1, std::memory_order_relaxed) + 1;
        if (now > at->readers_most.load(std::memory_order_relaxed)) at->readers_most.store(now, std::memory_order_relaxed);
        EXPECT_EQ(at->writers.load(std::memory_order_relaxed), 0);
        const long before = at->plain;
        if (random.below(3) == 0) co_await lv::shield(a_turn());
        EXPECT_EQ(at->plain, before);
        at->readers.fetch_sub(1, std::memory_order_relaxed);
      }
      at->done.fetch_add(1, std::memory_order_relaxed);
    } catch (const lv::cancelled&) {
      at->cancelled.fetch_add(1, std::memory_order_relaxed);
      co_return;
    }
  }
}

}  // namespace

TEST(shared_mutex, keeps_writers_alone_and_lets_readers_in_together) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      inside at;
      lv::scope tasks;
      const int rounds = 4'000 / slow_build_factor;
      for (std::uint64_t i = 0; i < 12; i++) tasks.spawn(come_and_go, &at, i + 1, rounds);
      co_await tasks.join();
      EXPECT_EQ(at.done.load(std::memory_order_relaxed), 12L * rounds);
      EXPECT_GT(at.readers_most.load(std::memory_order_relaxed), 1);
      EXPECT_TRUE(at.m.try_lock());
    });
  }
}

TEST(shared_mutex, a_writer_that_waits_holds_back_the_readers_behind_it) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> writes(lv::shared_mutex* m, std::string* log) {
        auto held = co_await m->lock();
        *log += 'w';
      }
      static lv::task<> reads(lv::shared_mutex* m, std::string* log) {
        auto held = co_await m->lock_shared();
        *log += 'r';
        co_await settle();
        *log += '.';
      }
    };
    lv::shared_mutex m;
    std::string log;
    lv::scope tasks;
    auto first = co_await m.lock_shared();
    tasks.spawn(probe::writes, &m, &log);
    co_await settle();
    EXPECT_FALSE(m.try_lock_shared()) << "a newcomer passes nobody";
    for (int i = 0; i < 2; i++) {
      tasks.spawn(probe::reads, &m, &log);
      co_await settle();
    }
    EXPECT_EQ(log, "");
    first.unlock();
    co_await tasks.join();
    EXPECT_EQ(log, "wrr..");
  });
}

TEST(shared_mutex, a_writer_that_gives_up_lets_the_readers_behind_it_in) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> writes(lv::shared_mutex* m) { auto held = co_await m->lock(); }
      static lv::task<> reads(lv::shared_mutex* m, bool* in) {
        auto held = co_await m->lock_shared();
        *in = true;
      }
    };
    lv::shared_mutex m;
    bool in = false;
    auto first = co_await m.lock_shared();
    lv::scope writer;
    lv::scope reader;
    writer.spawn(probe::writes, &m);
    co_await settle();
    reader.spawn(probe::reads, &m, &in);
    co_await settle();
    EXPECT_FALSE(in);
    writer.cancel();
    co_await writer.join();
    co_await reader.join();
    EXPECT_TRUE(in);
  });
}

TEST(shared_mutex, cancellations_at_random_leave_no_trace) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      inside at;
      for (int round = 0; round < 400 / slow_build_factor; round++) {
        lv::scope tasks;
        for (std::uint64_t i = 0; i < 8; i++) tasks.spawn(come_and_go, &at, static_cast<std::uint64_t>(round) * 8 + i, 10);
        for (int turns = round % 7; turns > 0; turns--) co_await lv::yield();
        tasks.cancel();
        co_await tasks.join();
      }
      EXPECT_TRUE(at.m.try_lock());
      EXPECT_GT(at.cancelled.load(std::memory_order_relaxed), 0);
    });
  }
}

TEST(barrier, nobody_is_a_phase_ahead_and_one_of_each_phase_is_told) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      struct probe {
        static lv::task<> goes(lv::barrier* at, lv::atomic<int>* arrived, lv::atomic<int>* last, int phases, int parties) {
          for (int phase = 0; phase < phases; phase++) {
            arrived->fetch_add(1, std::memory_order_relaxed);
            if (co_await at->arrive_and_wait()) last->fetch_add(1, std::memory_order_relaxed);
            EXPECT_GE(arrived->load(std::memory_order_relaxed), (phase + 1) * parties);
          }
        }
      };
      const int phases = 2'000 / slow_build_factor;
      constexpr int parties = 7;
      lv::barrier at{parties};
      lv::atomic<int> arrived{0};
      lv::atomic<int> last{0};
      lv::scope tasks;
      for (int i = 0; i < parties; i++) tasks.spawn(probe::goes, &at, &arrived, &last, phases, parties);
      co_await tasks.join();
      EXPECT_EQ(last.load(std::memory_order_relaxed), phases);
    });
  }
}

TEST(barrier, who_is_cancelled_takes_its_arrival_back_and_who_drops_is_not_waited_for) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> arrives(lv::barrier* at, int* through) {
        co_await at->arrive_and_wait();
        ++*through;
      }
    };
    lv::barrier at{3};
    int through = 0;
    lv::scope gives_up;
    gives_up.spawn(probe::arrives, &at, &through);
    co_await settle();
    gives_up.cancel();
    co_await gives_up.join();
    lv::scope tasks;
    tasks.spawn(probe::arrives, &at, &through);
    tasks.spawn(probe::arrives, &at, &through);
    co_await settle();
    EXPECT_EQ(through, 0) << "two of three";
    at.arrive_and_drop();
    co_await tasks.join();
    EXPECT_EQ(through, 2);
  });
}

TEST(barrier, cancellations_at_random_and_phases_never_mix) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      struct probe {
        static lv::task<> arrives(lv::barrier* at, lv::atomic<int>* through, lv::atomic<int>* last) {
          const bool is_last = co_await at->arrive_and_wait();
          if (is_last) last->fetch_add(1, std::memory_order_relaxed);
          through->fetch_add(1, std::memory_order_relaxed);
        }
      };
      lv::barrier at{2};
      lv::atomic<int> through{0};
      lv::atomic<int> last{0};
      for (int round = 0; round < 2'000 / slow_build_factor; round++) {
        lv::scope one;
        lv::scope two;
        one.spawn(probe::arrives, &at, &through, &last);
        two.spawn(probe::arrives, &at, &through, &last);
        if (round % 3 == 0) co_await lv::yield();
        one.cancel();
        if (round % 2 == 0) co_await lv::yield();
        two.cancel();
        co_await one.join();
        co_await two.join();
        EXPECT_EQ(through.load(std::memory_order_relaxed), 2 * last.load(std::memory_order_relaxed)) << "both or none";
      }
    });
  }
}

TEST(latch, lets_go_when_all_have_come_and_stays_open) {
  run_tasks(2, []() -> lv::task<> {
    struct probe {
      static lv::task<> counts(lv::latch* l, lv::atomic<int>* before) {
        before->fetch_add(1, std::memory_order_relaxed);
        co_await l->arrive_and_wait();
        EXPECT_EQ(before->load(std::memory_order_relaxed), 10);
      }
    };
    lv::latch l{10};
    lv::atomic<int> before{0};
    lv::scope tasks;
    for (int i = 0; i < 10; i++) tasks.spawn(probe::counts, &l, &before);
    co_await l.wait();
    co_await l.wait();
    co_await tasks.join();
  });
}

TEST(condition, a_queue_with_many_on_both_sides_loses_nothing) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      struct queue {
        lv::mutex m;
        lv::condition not_empty;
        std::vector<int> items;
        bool closed = false;
      };
      struct probe {
        static lv::task<> puts(queue* q, int count) {
          for (int i = 0; i < count; i++) {
            auto held = co_await q->m.lock();
            q->items.push_back(i);
            q->not_empty.notify_one();
          }
        }
        static lv::task<> takes(queue* q, lv::atomic<int>* taken) {
          for (;;) {
            auto held = co_await q->m.lock();
            while (q->items.empty() && !q->closed) co_await q->not_empty.wait(held);
            if (q->items.empty()) co_return;
            q->items.pop_back();
            taken->fetch_add(1, std::memory_order_relaxed);
          }
        }
      };
      const int each = 4'000 / slow_build_factor;
      queue q;
      lv::atomic<int> taken{0};
      lv::scope takers;
      for (int i = 0; i < 4; i++) takers.spawn(probe::takes, &q, &taken);
      lv::scope quitters;  // come and go: a notification that one of them had is not lost
      {
        lv::scope putters;
        for (int i = 0; i < 4; i++) putters.spawn(probe::puts, &q, each);
        for (int i = 0; i < 50; i++) {
          lv::scope quits;
          quits.spawn(probe::takes, &q, &taken);
          co_await lv::yield();
          quits.cancel();
          co_await quits.join();
        }
        co_await putters.join();
      }
      for (;;) {
        const auto held = co_await q.m.lock();
        if (q.items.empty()) break;
        // Every item that is left has a notification on its way.
        co_await lv::yield();
      }
      {
        const auto held = co_await q.m.lock();
        q.closed = true;
        q.not_empty.notify_all();
      }
      co_await takers.join();
      EXPECT_EQ(taken.load(std::memory_order_relaxed), 4 * each);
    });
  }
}

TEST(condition, a_predicate_is_looked_at_under_the_mutex_and_a_cancelled_wait_has_none) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> waits(lv::mutex* m, lv::condition* c, const bool* flag, std::string* log) {
        auto held = co_await m->lock();
        try {
          auto is_true = [flag] { return *flag; };
          co_await c->wait(held, is_true);
          *log += held ? 'h' : '-';
        } catch (const lv::cancelled&) {
          *log += held ? '!' : 'c';
        }
      }
    };
    lv::mutex m;
    lv::condition c;
    bool flag = false;
    std::string log;
    lv::scope stays;
    lv::scope quits;
    stays.spawn(probe::waits, &m, &c, &flag, &log);
    quits.spawn(probe::waits, &m, &c, &flag, &log);
    co_await settle();
    EXPECT_TRUE(m.try_lock()) << "waiting gives the mutex back";
    c.notify_all();
    co_await settle();
    EXPECT_EQ(log, "");
    quits.cancel();
    co_await quits.join();
    EXPECT_EQ(log, "c");
    flag = true;
    c.notify_one();
    co_await stays.join();
    EXPECT_EQ(log, "ch");
  });
}

TEST(condition, keeps_the_predicate_for_as_long_as_it_waits_and_no_longer) {
  run_tasks(1, []() -> lv::task<> {
    lv::mutex m;
    lv::condition c;
    const auto looks_left = std::make_shared<int>(3);
    auto held = co_await m.lock();
    lv::scope notifiers;
    notifiers.spawn([](lv::mutex* guards, lv::condition* changed, const int* left) -> lv::task<> {
      while (*left > 0) {
        const auto mine = co_await guards->lock();
        changed->notify_one();
        co_await lv::yield();
      }
    }, &m, &c, looks_left.get());
    const auto starts = [&] {
      const auto is_ready = [looks_left] { return --*looks_left == 0; };
      return c.wait(held, is_ready);
    };
    co_await starts();
    EXPECT_TRUE(held);
    EXPECT_EQ(looks_left.use_count(), 1);
    held.unlock();
    co_await notifiers.join();
  });
}

TEST(once, keeps_the_work_for_as_long_as_it_runs_and_no_longer) {
  run_tasks(1, []() -> lv::task<> {
    lv::once first;
    const auto runs = std::make_shared<int>(0);
    const auto starts = [&] {
      const auto counts = [runs]() -> lv::task<> {
        co_await lv::yield();
        ++*runs;
      };
      return first.call(counts);
    };
    co_await starts();
    co_await starts();
    EXPECT_EQ(*runs, 1);
    EXPECT_EQ(runs.use_count(), 1);
  });
}

TEST(once, is_done_once_and_a_failure_is_the_next_ones_turn) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      struct work {
        lv::once first;
        int runs = 0;
        lv::atomic<int> failed{0};
      };
      struct probe {
        static lv::task<> does(work* w) {
          w->runs++;
          co_await lv::yield();
          if (w->runs <= 2) throw std::runtime_error("not yet");
        }
        static lv::task<> calls(work* w) {
          try {
            auto begin = [w] { return does(w); };
            co_await w->first.call(begin);
            EXPECT_EQ(w->runs, 3);
          } catch (const std::runtime_error&) {
            w->failed.fetch_add(1, std::memory_order_relaxed);
          }
        }
      };
      work w;
      lv::scope tasks;
      for (int i = 0; i < 50; i++) tasks.spawn(probe::calls, &w);
      co_await tasks.join();
      EXPECT_EQ(w.runs, 3);
      EXPECT_EQ(w.failed.load(std::memory_order_relaxed), 2);
      EXPECT_TRUE(w.first.is_done());
    });
  }
}

TEST(watch, a_slow_follower_misses_versions_but_never_the_last) {
  for (unsigned workers : worker_counts) {
    run_tasks(workers, []() -> lv::task<> {
      struct probe {
        static lv::task<> follows(lv::watch<std::string>* w, int pause, std::string* last) {
          auto seen = w->get();
          while (!seen.closed) {
            const auto before = seen.version;
            seen = co_await w->changed(before);
            EXPECT_TRUE(seen.version > before || seen.closed);
            co_await settle(pause);
          }
          *last = *seen.value;
        }
      };
      lv::watch<std::string> w{"0"};
      std::vector<std::string> last(8);
      lv::scope tasks;
      for (int i = 0; i < 8; i++) tasks.spawn(probe::follows, &w, i, &last[static_cast<std::size_t>(i)]);
      const int versions = 2'000 / slow_build_factor;
      for (int i = 1; i <= versions; i++) {
        EXPECT_TRUE(w.set(std::to_string(i)));
        if (i % 3 == 0) co_await lv::yield();
      }
      w.close();
      EXPECT_FALSE(w.set("late"));
      co_await tasks.join();
      for (const std::string& each : last) EXPECT_EQ(each, std::to_string(versions));
    });
  }
}
