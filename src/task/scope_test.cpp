// Goal: a join sees the end of every child, whoever spawned it, wherever it ended and whether it ever waited.
// Method: children of all kinds, spawned by the owner, by children and by foreign threads, against plain counters.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

lv::task<> counts(lv::atomic<std::uint64_t>* ends) {
  ends->fetch_add(1, std::memory_order_relaxed);
  co_return;
}

lv::task<> waits_and_counts(lv::atomic<std::uint64_t>* ends) {
  co_await lv::yield();
  ends->fetch_add(1, std::memory_order_relaxed);
}

// A child that adds children to its own scope while the owner may be joining it.
lv::task<> breeds(lv::scope* family, int generations, lv::atomic<std::uint64_t>* ends) {
  if (generations > 0) {
    family->spawn(breeds, family, generations - 1, ends);
    family->spawn(generations % 2 == 0 ? counts : waits_and_counts, ends);
    if (generations % 3 == 0) co_await lv::yield();
  }
  ends->fetch_add(1, std::memory_order_relaxed);
}

lv::task<std::uint64_t> leaves(int depth) {
  if (depth == 0) co_return 1;
  std::array<std::uint64_t, 5> below{};
  lv::scope children;
  for (std::uint64_t& each : below) {
    children.spawn([](int deeper, std::uint64_t* sum) -> lv::task<> { *sum = co_await leaves(deeper); }, depth - 1, &each);
  }
  co_await children.join();
  std::uint64_t sum = 0;
  for (const std::uint64_t each : below) sum += each;
  co_return sum;
}

}  // namespace

TEST(scope, a_join_sees_what_children_spawned_beside_themselves) {
  run_tasks(2, []() -> lv::task<> {
    for (int round = 0; round < 2000 / slow_build_factor; round++) {
      lv::atomic<std::uint64_t> ends{0};
      lv::scope family;
      for (int i = 0; i < 3; i++) family.spawn(breeds, &family, 6, &ends);
      co_await family.join();
      EXPECT_EQ(ends.load(std::memory_order_relaxed), 3u * (1 + 6 * 2));
      EXPECT_EQ(family.size_approx(), 0u);
      // Open again.
      family.spawn(counts, &ends);
      co_await family.join();
      EXPECT_EQ(ends.load(std::memory_order_relaxed), 3u * (1 + 6 * 2) + 1);
    }
  });
}

TEST(scope, threads_from_outside_may_spawn_while_it_is_joined) {
  run_tasks(2, []() -> lv::task<> {
    const int spawns = 20'000 / slow_build_factor;
    lv::atomic<std::uint64_t> ends{0};
    lv::scope guests;
    lv::atomic<int> spawning{2};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; t++) {
      threads.emplace_back([&guests, &ends, &spawning, many = spawns] {
        for (int i = 0; i < many; i++) guests.spawn(i % 3 == 0 ? waits_and_counts : counts, &ends);
        spawning.fetch_sub(1, std::memory_order_release);
      });
    }
    // Joins again and again, with nothing, with something and with the last child ending meanwhile.
    while (spawning.load(std::memory_order_acquire) > 0) {
      co_await guests.join();
      co_await lv::yield();
    }
    for (std::thread& each : threads) each.join();
    co_await guests.join();
    EXPECT_EQ(ends.load(std::memory_order_relaxed), 2u * static_cast<unsigned>(spawns));
    EXPECT_EQ(guests.size_approx(), 0u);
  });
}

TEST(scope, a_tree_of_tasks_that_never_wait_adds_up_on_several_workers) {
  run_tasks(3, []() -> lv::task<> {
    for (int i = 0; i < 30 / slow_build_factor + 1; i++) EXPECT_EQ(co_await leaves(6), 15'625u);
    EXPECT_EQ(lv::live_tasks(), 1u);
  });
}

TEST(scope, more_fresh_tasks_than_a_worker_holds_run_once_each) {
  lv::runtime_options options;
  options.workers = 1;
  options.stuck_threads_max = 0;  // the task that spawns for long is not replaced: nobody runs the others meanwhile
  options.handle_signals = false;
  lv::run_with(options, []() -> lv::task<> {
    const std::uint64_t many = 100'000 / slow_build_factor;
    lv::atomic<std::uint64_t> ends{0};
    lv::scope crowd;
    for (std::uint64_t i = 0; i < many; i++) crowd.spawn(i % 7 == 0 ? waits_and_counts : counts, &ends);
    EXPECT_EQ(crowd.size_approx(), many);
    EXPECT_EQ(lv::live_tasks(), many + 1);
    co_await crowd.join();
    EXPECT_EQ(ends.load(std::memory_order_relaxed), many);
  });
}

TEST(scope, a_task_that_starts_in_a_cancelled_scope_ends_at_its_first_wait) {
  run_tasks(1, []() -> lv::task<> {
    int reached = 0;
    lv::scope tasks;
    tasks.cancel();
    for (int i = 0; i < 3; i++) {
      tasks.spawn(
          [](int* count) -> lv::task<> {
            ++*count;
            co_await lv::sleep(1h);
            *count += 1000;
          },
          &reached);
    }
    co_await tasks.join();
    EXPECT_EQ(reached, 3);
  });
}

TEST(scope, one_cancelled_while_its_child_runs_for_the_first_time_ends_that_child_at_its_first_wait) {
  run_tasks(2, []() -> lv::task<> {
    lv::atomic<int> stage{0};
    lv::scope tasks;
    tasks.spawn(
        [](lv::atomic<int>* at) -> lv::task<> {
          at->store(1, std::memory_order_release);
          while (at->load(std::memory_order_acquire) != 2) std::this_thread::yield();
          co_await lv::sleep(1h);
          at->store(3, std::memory_order_relaxed);
        },
        &stage);
    co_await lv::yield();
    while (stage.load(std::memory_order_acquire) != 1) co_await lv::yield();
    tasks.cancel();
    stage.store(2, std::memory_order_release);
    co_await tasks.join();
    EXPECT_EQ(stage.load(std::memory_order_relaxed), 2);
  });
}

TEST(scope, left_with_children_that_never_waited_holds_its_task_until_they_ended) {
  run_tasks(2, []() -> lv::task<> {
    for (int round = 0; round < 500 / slow_build_factor + 1; round++) {
      lv::atomic<std::uint64_t> ends{0};
      lv::scope outer;
      outer.spawn(
          [](lv::atomic<std::uint64_t>* seen) -> lv::task<> {
            lv::scope inner(lv::on_failure::keep_going);
            for (int i = 0; i < 4; i++) inner.spawn(counts, seen);
            for (int i = 0; i < 4; i++) inner.spawn(waits_and_counts, seen);
            co_return;  // without a join: they are cancelled, and end before this task does
          },
          &ends);
      co_await outer.join();
      EXPECT_GE(ends.load(std::memory_order_relaxed), 4u);
    }
    EXPECT_EQ(lv::live_tasks(), 1u);
  });
}
