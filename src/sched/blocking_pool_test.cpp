// blocking_pool: each job is made once, and by whom.

#include "sched/blocking.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <latch>
#include <thread>

#include "levity/base/atomic.hpp"
#include "tests/support/planned_faults.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace lv = levity;
using namespace std::chrono_literals;
using lv::detail::blocking_job;
using lv::detail::blocking_pool;
using lv::detail::fault_plan;

struct told_job : blocking_job {
  told_job() : blocking_job{} {
    run = [](blocking_job& self) noexcept {
      auto& job = static_cast<told_job&>(self);
      job.made_by = std::this_thread::get_id();
      job.made.store(true, std::memory_order_release);
    };
  }
  [[nodiscard]] bool is_made_in_time() const {
    const auto since = std::chrono::steady_clock::now();
    while (!made.load(std::memory_order_acquire) && std::chrono::steady_clock::now() < since + 30s) ::usleep(50);
    return made.load(std::memory_order_acquire);
  }
  std::thread::id made_by;
  lv::atomic<bool> made{false};
};

// The watchdog submits what need not wait, and must never stand in the call of a task whose thread was refused at the same moment.
TEST(blocking_pool, whose_threads_are_refused_lets_nobody_make_the_job_of_another) {
  const lv::test::planned_faults end_here;
  ASSERT_EQ(fault_plan::install("nothread=1"), std::nullopt);  // all but every fourth
  int strange = 0;
  int alone = 0;
  for (int round = 0; round < 4000 / lv::test::slow_build_factor; round++) {
    told_job of_task;
    told_job of_watchdog;
    blocking_pool pool;  // the jobs outlive it: its end waits for all
    std::latch both{2};
    std::thread::id watchdog;
    bool submitted = false;
    std::jthread watches([&] {
      watchdog = std::this_thread::get_id();
      both.arrive_and_wait();
      submitted = pool.submit_at_once(of_watchdog);
    });
    both.arrive_and_wait();
    pool.submit(of_task);
    watches.join();
    ASSERT_TRUE(of_task.is_made_in_time());
    ASSERT_TRUE(!submitted || of_watchdog.is_made_in_time());
    strange += of_task.made_by == watchdog || (submitted && of_watchdog.made_by == std::this_thread::get_id()) ? 1 : 0;
    alone += of_task.made_by == std::this_thread::get_id() ? 1 : 0;
  }
  EXPECT_EQ(strange, 0);
  EXPECT_GT(alone, 0);
}

}  // namespace
