// The deque under an owner and thieves: every task is taken exactly once, in the order each side is promised.

#include "sched/deque.hpp"

#include <gtest/gtest.h>

#include <array>
#include <thread>
#include <vector>

#include "levity/base/rng.hpp"
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

TEST(deque, every_task_is_taken_once_by_owner_or_thieves) {
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
      while (taken.load(std::memory_order_relaxed) < count) take(ready.steal());
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
    for (auto burst = random.below(20); burst > 0; burst--) take(ready.pop());
  }
  for (auto& thief : thieves) thief.join();
  EXPECT_EQ(taken.load(std::memory_order_relaxed), count);
}

}  // namespace
