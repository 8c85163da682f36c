// Goal: a detached task is the runtime's: it goes on without whoever detached it, is cancelled when the main task ends, has ended
// when the runtime has, and what it throws is said.
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;

namespace {

lv::task<> ends_late(lv::atomic<int>* seen, lv::duration span) {
  try {
    co_await lv::sleep(span);
    seen->store(1, std::memory_order_relaxed);
  } catch (const lv::cancelled& why) {
    seen->store(why.reason() == lv::cancel_reason::shutdown ? 2 : 3, std::memory_order_relaxed);
    throw;
  }
}

lv::task<int> throws() {
  co_await lv::yield();
  throw std::runtime_error("nobody was there to see it");
}

}  // namespace

TEST(detach, outlives_the_task_that_detached_it) {
  run_tasks(2, []() -> lv::task<> {
    struct probe {
      static lv::task<> starts(lv::event* done) {
        lv::detach("late", [](lv::event* end) -> lv::task<> {
          co_await lv::sleep(2ms);
          end->set();
        }, done);
        co_return;
      }
    };
    lv::event done;
    lv::scope tasks;
    tasks.spawn(probe::starts, &done);
    co_await tasks.join();
    EXPECT_FALSE(done.is_set());
    co_await done.wait();
  });
}

TEST(detach, is_cancelled_and_joined_when_the_main_task_ends) {
  for (unsigned workers : {1U, 4U}) {
    lv::atomic<int> waiting{0};
    lv::atomic<int> fresh{0};
    run_tasks(workers, [](lv::atomic<int>* one, lv::atomic<int>* other) -> lv::task<> {
      lv::detach(ends_late, one, lv::duration{1h});
      co_await lv::sleep(2ms);
      lv::detach(ends_late, other, lv::duration{1h});  // has not begun when the main task ends
    }, &waiting, &fresh);
    EXPECT_EQ(waiting.load(std::memory_order_relaxed), 2);
    EXPECT_EQ(fresh.load(std::memory_order_relaxed), 2);
  }
}

TEST(detach, says_what_it_threw_and_harms_nobody) {
  testing::internal::CaptureStderr();
  run_tasks(2, []() -> lv::task<> {
    lv::detach("doomed", throws);
    co_await lv::sleep(5ms);
  });
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("nobody was there to see it"), std::string::npos) << said;
  EXPECT_NE(said.find("doomed"), std::string::npos) << said;
  EXPECT_NE(said.find("detach_test.cpp"), std::string::npos) << said;
}

TEST(detach, the_main_task_may_fail_beside_it) {
  lv::atomic<int> seen{0};
  testing::internal::CaptureStderr();
  const int code = lv::run([](lv::atomic<int>* at) -> lv::task<int> {
    lv::detach(ends_late, at, lv::duration{1h});
    co_await lv::yield();
    throw std::runtime_error("main failed");
  }, &seen);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(code, 1);
  EXPECT_NE(said.find("main failed"), std::string::npos) << said;
  EXPECT_EQ(seen.load(std::memory_order_relaxed), 2);
}
