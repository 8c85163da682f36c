// Of pinned parts of tasks first, of turns that others call then.
// Goal: a pinned part of a task runs on one thread only, whatever wakes it, and nothing pinned is ever lost or stranded.
// Method: every way of waiting and waking, with thieves hungry all the time.
#include <gtest/gtest.h>

#include <set>
#include <source_location>
#include <thread>
#include <utility>
#include <vector>

#include "levity/levity.hpp"
#include "reactor/sim/sim_reactor.hpp"
#include "sched/scheduler.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

lv::task<int> strays(int rounds, lv::channel<int>* in, lv::channel<int>* out) {
  const std::thread::id home = std::this_thread::get_id();
  int strayed = 0;
  for (int i = 0; i < rounds; i++) {
    switch (i % 5) {
      case 0: co_await lv::yield(); break;
      case 1: co_await lv::sleep(10us); break;
      case 2: (void)co_await lv::blocking([] {}); break;
      case 3: (void)co_await out->send(i); break;
      default: (void)co_await in->receive();
    }
    if (std::this_thread::get_id() != home) strayed++;
  }
  co_return strayed;
}

lv::task<> answers(lv::channel<int>* in, lv::channel<int>* out) {
  while (auto number = co_await in->receive()) {
    if (!co_await out->send(*number)) co_return;
  }
}

lv::task<> keeps_busy(const lv::atomic<bool>* stop) {
  while (!stop->load(std::memory_order_relaxed)) co_await lv::yield();
}

}  // namespace

TEST(pin, every_resumption_is_on_the_same_thread) {
  run_tasks(3, []() -> lv::task<> {
    lv::atomic<bool> stop{false};
    lv::scope others;
    for (int i = 0; i < 4; i++) others.spawn(keeps_busy, &stop);
    lv::scope pins;
    lv::atomic<int> strayed{0};
    for (int i = 0; i < 6; i++) {
      pins.spawn([](lv::atomic<int>* sum) -> lv::task<> {
        lv::channel<int> there(0);
        lv::channel<int> back(0);
        lv::scope partner;
        partner.spawn(answers, &there, &back);
        co_await lv::yield();
        sum->fetch_add(co_await lv::pinned(strays(500 / slow_build_factor * 5, &back, &there)), std::memory_order_relaxed);
        there.close();
        back.close();
        co_await partner.join();
      }, &strayed);
    }
    co_await pins.join();
    stop.store(true, std::memory_order_relaxed);
    co_await others.join();
    EXPECT_EQ(strayed.load(std::memory_order_relaxed), 0);
  });
}

TEST(pin, a_cancelled_task_ends_where_it_is_pinned) {
  run_tasks(2, []() -> lv::task<> {
    for (int i = 0; i < 200 / slow_build_factor + 1; i++) {
      lv::scope tasks;
      bool strayed = false;
      tasks.spawn([](bool* elsewhere) -> lv::task<> {
        co_await lv::pinned([](bool* out) -> lv::task<> {
          const std::thread::id home = std::this_thread::get_id();
          try {
            co_await lv::sleep(1h);
          } catch (const lv::cancelled&) {
            *out = std::this_thread::get_id() != home;
          }
        }(elsewhere));
      }, &strayed);
      co_await lv::sleep(20us);
      tasks.cancel();
      co_await tasks.join();
      EXPECT_FALSE(strayed);
    }
  });
}

// The guest pushes the task; the worker, awake, runs it to its end and that of the runtime; only then the guest looks whether the
// worker sleeps.
TEST(pin, who_wakes_the_last_task_from_outside_finds_the_worker_alive) {
  for (int i = 0; i < 2000 / slow_build_factor; i++) {
    lv::channel<int> line(1);
    std::thread guest;
    run_tasks(1, [](lv::channel<int>* from, std::thread* waker) -> lv::task<> {
      lv::atomic<bool> stop{false};
      lv::scope others;
      others.spawn(keeps_busy, &stop);
      co_await lv::pinned([](lv::channel<int>* in, std::thread* starts) -> lv::task<> {
        *starts = std::thread([in] { (void)in->try_send(1); });
        (void)co_await in->receive();
      }(from, waker));
      stop.store(true, std::memory_order_relaxed);
      co_await others.join();
    }, &line, &guest);
    guest.join();
  }
}

TEST(pin, in_a_seeded_run_it_changes_nothing) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  const int code = lv::run_with(options, []() -> lv::task<int> {
    lv::channel<int> there(0);
    lv::channel<int> back(0);
    lv::scope partner;
    partner.spawn(answers, &there, &back);
    const int strayed = co_await lv::pinned(strays(50, &back, &there));
    there.close();
    back.close();
    co_await partner.join();
    co_return strayed;
  });
  EXPECT_EQ(code, 0);
}

namespace {

using levity::detail::poll_lease;
using levity::detail::ready_batch;
using levity::detail::scheduler;
using levity::detail::scheduler_options;
using levity::detail::sim_reactor;

// A seeded scheduler that somebody turns, as the world of a simulated host does.
class turned_scheduler {
public:
  explicit turned_scheduler(std::uint64_t seed) : runs(options_for(seed)) {}

  void adopt(lv::task<> main) {
    auto frame = std::move(main).release_frame();
    runs.root().adopt(frame, frame.promise(), "main", std::source_location::current());
  }
  void run_by_turns(unsigned tasks_max) {
    while (!runs.turn_here(tasks_max)) continue;
  }
  sim_reactor& home() { return static_cast<sim_reactor&>(runs.reactor_at(0)); }

  scheduler runs;

private:
  static scheduler_options options_for(std::uint64_t seed) {
    scheduler_options made;
    made.reactors.push_back(lv::detail::make_sim_reactor(seed));
    made.seed = seed | 1;
    return made;
  }
};

lv::task<> says(int number, std::vector<int>* order) {
  for (int i = 0; i < 3; i++) {
    order->push_back(number);
    co_await lv::yield();
  }
}

lv::task<> eight_say(std::vector<int>* order) {
  lv::scope all;
  for (int i = 0; i < 8; i++) all.spawn(says, i, order);
  co_await all.join();
}

std::vector<int> order_of(std::uint64_t seed, unsigned tasks_max) {
  std::vector<int> order;
  turned_scheduler turned(seed);
  turned.adopt(eight_say(&order));
  turned.run_by_turns(tasks_max);
  return order;
}

lv::task<> sleeps(lv::time_point* woke) {
  co_await lv::sleep(1ms);
  *woke = lv::clock::now();
}

}  // namespace

TEST(turn, of_a_seeded_scheduler_runs_tasks_in_the_order_of_the_seed) {
  for (const unsigned tasks_max : {1U, 3U, 1000U}) {
    std::set<std::vector<int>> orders;
    for (std::uint64_t seed = 1; seed < 40; seed += 2) {
      const std::vector<int> order = order_of(seed, tasks_max);
      EXPECT_EQ(order.size(), 24U);
      EXPECT_EQ(order_of(seed, tasks_max), order) << "seed " << seed;
      orders.insert(order);
    }
    EXPECT_EQ(orders.size(), 20U) << "at most " << tasks_max << " tasks a turn";
  }
}

TEST(turn, of_a_seeded_scheduler_is_in_its_time_and_leaves_the_threads_own_as_it_was) {
  turned_scheduler turned(5);
  const std::int64_t began = turned.home().now_ns();
  lv::time_point woke;
  turned.adopt(sleeps(&woke));
  turned.run_by_turns(1000);
  EXPECT_GE(woke.time_since_epoch().count(), began + 1'000'000);
  EXPECT_LE(woke.time_since_epoch().count(), turned.home().now_ns());
  EXPECT_EQ(lv::detail::this_time_source(), nullptr);
}

// Whoever turns it sleeps in its reactor when a turn has ended: tasks that were not run for want of room must end that sleep.
TEST(turn, of_a_seeded_scheduler_that_leaves_tasks_is_followed_by_no_sleep) {
  std::vector<int> order;
  turned_scheduler turned(7);
  turned.adopt(eight_say(&order));
  for (bool over = false; !over;) {
    over = turned.runs.turn_here(1);
    if (over) break;
    const std::int64_t before = turned.home().now_ns();
    ready_batch none;
    const poll_lease lease(turned.home().lease);
    turned.home().poll(lease, before + 1'000'000'000, none);
    EXPECT_EQ(turned.home().now_ns(), before);
  }
  EXPECT_EQ(order.size(), 24U);
}

namespace {

lv::task<> takes_a_number(std::vector<std::uint32_t>* ids) {
  ids->push_back(lv::detail::running_task().id);
  co_return;
}

lv::task<> takes_numbers(std::vector<std::uint32_t>* ids) {
  for (int i = 0; i < 200; i++) {
    lv::scope one;
    one.spawn(takes_a_number, ids);
    co_await one.join();
  }
}

}  // namespace

// A world has many millions of turns, and numbers of 32 bits.
TEST(turn, of_a_seeded_scheduler_uses_up_no_numbers_of_tasks) {
  std::vector<std::uint32_t> ids;
  turned_scheduler turned(9);
  turned.adopt(takes_numbers(&ids));
  turned.run_by_turns(1);
  ASSERT_EQ(ids.size(), 200U);
  for (std::size_t i = 1; i < ids.size(); i++) EXPECT_EQ(ids[i], ids[i - 1] + 1);
}
