// The order in which waiting tasks are served, of every primitive that keeps them in a wait list: strictly first come, first
// served where one is served at a time; all together, in no promised order, where all are.

#include "levity/sync/detail/wait_list.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

#include "levity/levity.hpp"
#include "levity/sync/barrier.hpp"
#include "levity/sync/condition.hpp"
#include "levity/sync/event.hpp"
#include "levity/sync/latch.hpp"
#include "levity/sync/mutex.hpp"
#include "levity/sync/once.hpp"
#include "levity/sync/semaphore.hpp"
#include "levity/sync/shared_mutex.hpp"
#include "levity/sync/wait_group.hpp"
#include "levity/sync/watch.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/settle.hpp"

namespace lv = levity;
using levity::test::run_tasks;
using levity::test::settle;

namespace {

constexpr int tasks = 100;  // more than are let go in one slice

constexpr bool one_by_one = true;
constexpr bool all_together = false;

// What the tasks wait for, and in which order they went on.
template <class Primitive>
struct parade {
  std::unique_ptr<Primitive> at;
  std::vector<int> went_on;
};

template <class Primitive>
lv::task<> wait_in(parade<Primitive>* of, int number, lv::task<> (*wait)(Primitive*)) {
  co_await wait(of->at.get());
  of->went_on.push_back(number);
}

// Lets tasks come one after the other, then lets them go, and looks who went on when.
template <class Primitive>
void expect_served(bool in_order, Primitive* made, lv::task<> (*wait)(Primitive*), void (*let_go)(Primitive*)) {
  struct probe {
    static lv::task<> runs(bool ordered, Primitive* owned, lv::task<> (*waits)(Primitive*), void (*lets_go)(Primitive*)) {
      parade<Primitive> all{std::unique_ptr<Primitive>(owned), {}};
      lv::scope children;
      for (int i = 0; i < tasks; i++) {
        children.spawn(wait_in<Primitive>, &all, i, waits);
        co_await settle();
      }
      EXPECT_TRUE(all.went_on.empty());
      lets_go(all.at.get());
      co_await children.join();
      std::vector<int> as_they_came;
      for (int i = 0; i < tasks; i++) as_they_came.push_back(i);
      if (!ordered) std::sort(all.went_on.begin(), all.went_on.end());
      EXPECT_EQ(all.went_on, as_they_came);
    }
  };
  run_tasks(1, probe::runs, in_order, made, wait, let_go);
}

struct owned_mutex {
  lv::mutex m;
  lv::mutex::guard first = m.try_lock();
};
struct owned_shared_mutex {
  lv::shared_mutex m;
  lv::shared_mutex::guard first = m.try_lock();
  int turn = 0;
};
struct guarded_condition {
  lv::mutex m;
  lv::condition c;
};

}  // namespace

TEST(wait_list, a_mutex_goes_to_who_waits_longest) {
  expect_served<owned_mutex>(
      one_by_one, new owned_mutex, [](owned_mutex* at) -> lv::task<> { const auto held = co_await at->m.lock(); },
      [](owned_mutex* at) { at->first.unlock(); });
}

TEST(wait_list, a_shared_mutex_passes_over_neither_readers_nor_writers) {
  expect_served<owned_shared_mutex>(
      one_by_one, new owned_shared_mutex,
      [](owned_shared_mutex* at) -> lv::task<> {
        if (at->turn++ % 2 == 0) {
          const auto held = co_await at->m.lock();
        } else {
          const auto held = co_await at->m.lock_shared();
        }
      },
      [](owned_shared_mutex* at) { at->first.unlock(); });
}

TEST(wait_list, permits_go_to_who_waits_longest) {
  expect_served<lv::semaphore>(
      one_by_one, new lv::semaphore(0),
      [](lv::semaphore* at) -> lv::task<> {
        co_await at->acquire();
        at->release();
      },
      [](lv::semaphore* at) { at->release(); });
}

TEST(wait_list, an_event_lets_all_go_at_once) {
  expect_served<lv::event>(
      all_together, new lv::event, [](lv::event* at) -> lv::task<> { co_await at->wait(); }, [](lv::event* at) { at->set(); });
}

TEST(wait_list, a_latch_lets_all_go_at_once) {
  expect_served<lv::latch>(
      all_together, new lv::latch(1), [](lv::latch* at) -> lv::task<> { co_await at->wait(); },
      [](lv::latch* at) { at->count_down(); });
}

TEST(wait_list, a_wait_group_lets_all_go_at_once) {
  expect_served<lv::wait_group>(
      all_together, new lv::wait_group(1), [](lv::wait_group* at) -> lv::task<> { co_await at->wait(); },
      [](lv::wait_group* at) { at->done(); });
}

TEST(wait_list, a_barrier_lets_all_go_at_once) {
  expect_served<lv::barrier>(
      all_together, new lv::barrier(tasks + 1), [](lv::barrier* at) -> lv::task<> { (void)co_await at->arrive_and_wait(); },
      [](lv::barrier* at) { at->arrive_and_drop(); });
}

TEST(wait_list, a_watch_lets_all_go_at_once) {
  expect_served<lv::watch<int>>(
      all_together, new lv::watch<int>(0), [](lv::watch<int>* at) -> lv::task<> { (void)co_await at->changed(0); },
      [](lv::watch<int>* at) { at->set(1); });
}

TEST(wait_list, a_condition_that_notifies_all_lets_all_go_at_once) {
  expect_served<guarded_condition>(
      all_together, new guarded_condition,
      [](guarded_condition* at) -> lv::task<> {
        lv::mutex::guard held = co_await at->m.lock();
        co_await at->c.wait(held);
      },
      [](guarded_condition* at) { at->c.notify_all(); });
}

TEST(wait_list, a_condition_that_notifies_one_notifies_who_waits_longest) {
  expect_served<guarded_condition>(
      one_by_one, new guarded_condition,
      [](guarded_condition* at) -> lv::task<> {
        lv::mutex::guard held = co_await at->m.lock();
        co_await at->c.wait(held);
        at->c.notify_one();
      },
      [](guarded_condition* at) { at->c.notify_one(); });
}

TEST(wait_list, work_that_failed_is_tried_next_by_who_waits_longest) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> fails(lv::semaphore* gate) {
        co_await gate->acquire();
        throw std::runtime_error("as told");
      }
      static lv::task<> calls(lv::once* once, lv::semaphore* gate, std::vector<int>* order, int number) {
        try {
          co_await once->call([gate] { return fails(gate); });
        } catch (const std::runtime_error&) {
          order->push_back(number);
        }
      }
    };
    lv::once once;
    lv::semaphore gate{0};
    std::vector<int> order;
    lv::scope callers;
    for (int i = 0; i < 4; i++) {
      callers.spawn(probe::calls, &once, &gate, &order, i);
      co_await settle();
    }
    gate.release(4);
    co_await callers.join();
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
  });
}
