// The deque under an owner and thieves: every task is taken exactly once, in the order each side is promised.

#include "sched/deque.hpp"

#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

#include "levity/base/rng.hpp"
#include "platform/process_barrier.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

using levity::detail::deque;
using levity::detail::task_record;

TEST(deque, pops_newest_first_and_steals_oldest_first) {
  std::vector<task_record> tasks(4);
  deque ready;
  for (task_record& task : tasks) ASSERT_TRUE(ready.push(task));
  EXPECT_EQ(ready.size_approx(), 4);
  EXPECT_EQ(ready.steal(), &tasks[0]);
  EXPECT_EQ(ready.pop(), &tasks[3]);
  EXPECT_EQ(ready.steal(), &tasks[1]);
  EXPECT_EQ(ready.pop(), &tasks[2]);
  EXPECT_EQ(ready.pop(), nullptr);
  EXPECT_EQ(ready.steal(), nullptr);
}

TEST(deque, refuses_what_does_not_fit_and_gives_its_older_half) {
  std::vector<task_record> tasks(deque::capacity + 1);
  deque ready;
  for (std::size_t i = 0; i < deque::capacity; i++) ASSERT_TRUE(ready.push(tasks[i]));
  EXPECT_FALSE(ready.push(tasks.back()));
  std::array<task_record*, deque::capacity / 2> older;
  ASSERT_EQ(ready.take_half(older), older.size());
  for (std::size_t i = 0; i < older.size(); i++) EXPECT_EQ(older[i], &tasks[i]);
  EXPECT_TRUE(ready.push(tasks.back()));
  EXPECT_EQ(ready.steal(), &tasks[older.size()]);
}

// Thieves see nothing of what the owner has set aside until it pushes again, or somebody opens it.
TEST(deque, what_is_set_aside_is_out_of_reach_until_a_push_or_an_opening) {
  ASSERT_TRUE(levity::detail::prepare_process_barrier());
  std::vector<task_record> tasks(6);
  deque ready;
  for (std::size_t i = 0; i < 4; i++) ASSERT_TRUE(ready.push(tasks[i]));
  EXPECT_FALSE(ready.keeps_aside_approx());
  EXPECT_EQ(ready.pop(true), &tasks[3]);
  EXPECT_TRUE(ready.keeps_aside_approx());
  EXPECT_EQ(ready.size_approx(), 3);
  EXPECT_EQ(ready.steal(), &tasks[0]);  // the oldest is always within reach
  EXPECT_EQ(ready.steal(), nullptr);
  EXPECT_EQ(ready.pop(true), &tasks[2]);
  ASSERT_TRUE(ready.push(tasks[4]));
  EXPECT_EQ(ready.steal(), &tasks[1]);
  ASSERT_TRUE(ready.push(tasks[5]));
  EXPECT_EQ(ready.pop(true), &tasks[5]);
  EXPECT_EQ(ready.steal(), &tasks[4]);

  for (task_record& task : tasks) ASSERT_TRUE(ready.push(task));
  EXPECT_EQ(ready.pop(true), &tasks[5]);
  ready.open();
  EXPECT_FALSE(ready.keeps_aside_approx());
  for (std::size_t i = 0; i < 3; i++) EXPECT_EQ(ready.steal(), &tasks[i]);
  EXPECT_EQ(ready.pop(true), &tasks[4]);
  EXPECT_EQ(ready.pop(true), &tasks[3]);
  EXPECT_EQ(ready.pop(true), nullptr);
  EXPECT_EQ(ready.steal(), nullptr);
}

TEST(deque, every_task_is_taken_once_by_owner_or_thieves) {
  ASSERT_TRUE(levity::detail::prepare_process_barrier());
  const std::size_t count = 400'000 / static_cast<std::size_t>(levity::test::slow_build_factor);
  std::vector<task_record> tasks(count);
  deque ready;
  levity::atomic<std::size_t> taken{0};
  auto take = [&taken](task_record* task) {
    if (task == nullptr) return;
    EXPECT_EQ(task->word.fetch_add(1, std::memory_order_relaxed), 0U);
    taken.fetch_add(1, std::memory_order_relaxed);
  };
  std::vector<std::thread> thieves;
  for (int i = 0; i < 3; i++) {
    thieves.emplace_back([&] {
      while (taken.load(std::memory_order_relaxed) < count) {
        task_record* task = ready.steal();
        take(task);
        if (task == nullptr && ready.keeps_aside_approx()) ready.open();
      }
    });
  }
  levity::rng random{7};
  std::size_t pushed = 0;
  std::array<task_record*, deque::capacity / 2> older;
  while (taken.load(std::memory_order_relaxed) < count) {
    for (auto burst = random.below(20); burst > 0 && pushed < count; burst--) {
      while (!ready.push(tasks[pushed])) {
        const std::size_t half = ready.take_half(older);
        for (std::size_t i = 0; i < half; i++) take(older[i]);
      }
      pushed++;
    }
    for (auto burst = random.below(20); burst > 0; burst--) take(ready.pop(random.below(8) != 0));
  }
  for (auto& thief : thieves) thief.join();
  EXPECT_EQ(taken.load(std::memory_order_relaxed), count);
}

}  // namespace
