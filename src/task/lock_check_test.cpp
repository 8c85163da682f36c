// A std::mutex held across a co_await: found where the check is built in, and no trace of it elsewhere.

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;

#if defined(LEVITY_CHECK_LOCKS)

namespace {

std::mutex plain;
std::recursive_timed_mutex timed;
std::shared_mutex shared;

lv::task<> wait_inside() { co_await lv::sleep(1ms); }

lv::task<> hold_a_lock_guard() {
  const std::lock_guard held(plain);
  co_await wait_inside();
}

lv::task<> hold_several() {
  const std::scoped_lock held(plain, timed);
  co_await lv::sleep(1ms);
}

lv::task<> hold_shared() {
  const std::shared_lock held(shared);
  lv::event never;
  co_await never.wait();
}

lv::task<> hold_while_yielding() {
  const std::unique_lock held(plain, std::try_to_lock);
  co_await lv::yield();
}

template <class F>
void run_named(F task) {
  run_tasks(1, [](F what) -> lv::task<> {
    lv::scope children;
    children.spawn("the keeper", what);
    co_await children.join();
  }, task);
}

class lock_check : public testing::Test {
protected:
  lock_check() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

}  // namespace

TEST_F(lock_check, a_task_that_waits_with_a_mutex_is_named_with_where_it_waits_and_what_helps) {
  EXPECT_DEATH(run_named(&hold_a_lock_guard),
               "lock_check_test.cpp:[0-9]+: broken belief: task [0-9]+ \"the keeper\" spawned at lock_check_test.cpp:[0-9]+ waits "
               "\\(sleep\\) at lock_check_test.cpp:[0-9]+, called at lock_check_test.cpp:[0-9]+ and holds a lock .*use lv::mutex, "
               "or end the lock's scope before the co_await");
}

TEST_F(lock_check, every_kind_of_lock_and_of_wait_is_seen) {
  EXPECT_DEATH(run_named(&hold_several), "waits \\(sleep\\)");
  EXPECT_DEATH(run_named(&hold_shared), "waits \\(event wait\\)");
  EXPECT_DEATH(run_named(&hold_while_yielding), "waits \\(yield\\)");
}

TEST_F(lock_check, a_task_that_ends_without_unlocking_is_seen_too) {
  EXPECT_DEATH(run_named(+[]() -> lv::task<> {
    plain.lock();
    co_return;
  }), "has ended and left a lock");
}

TEST_F(lock_check, a_lock_that_ends_before_the_await_is_no_fault_nor_is_one_of_levity_or_of_a_blocking_call) {
  for (const unsigned workers : {1u, 2u}) {
    run_tasks(workers, []() -> lv::task<> {
      lv::mutex own;
      for (int i = 0; i < 100; i++) {
        {
          const std::scoped_lock held(plain, timed);
        }
        EXPECT_TRUE(shared.try_lock_shared());
        shared.unlock_shared();
        co_await lv::yield();
        {
          const auto held = co_await own.lock();
          co_await lv::yield();
        }
        co_await lv::blocking([] {
          const std::lock_guard held(plain);
          std::this_thread::yield();
        });
        const std::lock_guard again(plain);  // in the same thread or another: the next round waits after it has ended
      }
    });
  }
  // Long enough to lose the slot, and so to go on in another thread.
  run_tasks(2, []() -> lv::task<> {
    co_await lv::blocking([] {
      const std::lock_guard held(plain);
      std::this_thread::sleep_for(5ms);
    });
  });
}

TEST_F(lock_check, threads_of_the_user_may_hold_what_they_like) {
  const std::lock_guard held(plain);
  std::thread other([] {
    const std::lock_guard also(timed);
    run_tasks(1, []() -> lv::task<> { co_await lv::sleep(1ms); });
  });
  run_tasks(1, []() -> lv::task<> { co_await lv::sleep(1ms); });
  other.join();
}

#elif !defined(LEVITY_TSAN) && !defined(LEVITY_ASAN)

TEST(lock_check, a_build_without_it_calls_the_locks_of_the_system) {
  Dl_info where{};
  ASSERT_NE(::dladdr(reinterpret_cast<void*>(&::pthread_mutex_lock), &where), 0);
  EXPECT_NE(std::string(where.dli_fname).find("libc.so"), std::string::npos) << where.dli_fname;
}

#endif
