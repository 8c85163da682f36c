// The inject queue: first in, first out for one pusher, nothing lost or doubled with many.

#include "sched/inject_queue.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "tests/support/run_tasks.hpp"

namespace {

using levity::detail::inject_queue;
using levity::detail::task_record;

TEST(inject_queue, is_first_in_first_out) {
  std::vector<task_record> tasks(10);
  inject_queue queue;
  queue.push(tasks[0]);
  queue.push(tasks[1]);
  task_record* chain[3] = {&tasks[2], &tasks[3], &tasks[4]};
  queue.push_all(chain, 3);
  task_record* taken[16];
  ASSERT_EQ(queue.take(taken, 2), 2U);
  EXPECT_EQ(taken[0], &tasks[0]);
  EXPECT_EQ(taken[1], &tasks[1]);
  queue.push(tasks[5]);
  EXPECT_EQ(queue.size_approx(), 4);
  ASSERT_EQ(queue.take(taken, 16), 4U);
  for (std::size_t i = 0; i < 4; i++) EXPECT_EQ(taken[i], &tasks[i + 2]);
  EXPECT_TRUE(queue.empty_approx());
  EXPECT_EQ(queue.take(taken, 16), 0U);
}

TEST(inject_queue, takes_chains_of_any_length_in_order) {
  std::vector<task_record> tasks(1000);
  std::vector<task_record*> all;
  for (task_record& task : tasks) all.push_back(&task);
  inject_queue queue;
  std::size_t pushed = 0;
  std::size_t seen = 0;
  for (std::size_t length = 1; pushed + length <= all.size(); length++) {
    queue.push_all(all.data() + pushed, length);
    pushed += length;
    if (length % 3 != 0) continue;  // several at a time are turned round
    task_record* taken[7];
    const std::size_t count = queue.take(taken, 7);
    for (std::size_t i = 0; i < count; i++) EXPECT_EQ(taken[i], all[seen + i]);
    seen += count;
  }
  task_record* rest[1000];
  const std::size_t count = queue.take(rest, 1000);
  ASSERT_EQ(seen + count, pushed);
  for (std::size_t i = 0; i < count; i++) EXPECT_EQ(rest[i], all[seen + i]);
}

TEST(inject_queue, keeps_the_order_of_each_pusher_among_many) {
  const std::size_t each = 50'000 / static_cast<std::size_t>(levity::test::slow_build_factor);
  constexpr std::size_t pushers = 3;
  std::vector<std::vector<task_record>> tasks(pushers);
  for (std::size_t p = 0; p < pushers; p++) {
    tasks[p] = std::vector<task_record>(each);
    for (std::size_t i = 0; i < each; i++) {
      tasks[p][i].id = static_cast<std::uint32_t>(i);
      tasks[p][i].since_ms = static_cast<std::uint32_t>(p);
    }
  }
  inject_queue queue;
  std::vector<std::thread> threads;
  for (std::size_t p = 0; p < pushers; p++) {
    threads.emplace_back([&queue, &own = tasks[p]] {
      for (task_record& task : own) queue.push(task);
    });
  }
  std::vector<std::uint32_t> next(pushers, 0);
  std::size_t seen = 0;
  while (seen < pushers * each) {
    task_record* taken[64];
    const std::size_t count = queue.take(taken, 64);
    for (std::size_t i = 0; i < count; i++) EXPECT_EQ(taken[i]->id, next[taken[i]->since_ms]++);
    seen += count;
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(queue.empty_approx());
}

}  // namespace
