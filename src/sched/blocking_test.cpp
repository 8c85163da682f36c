// blocking(): calls run where they hold no worker up.

#include "levity/sched/blocking.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace lv = levity;
using namespace std::chrono_literals;
using lv::test::run_tasks;

TEST(blocking, returns_values_and_exceptions) {
  run_tasks(1, []() -> lv::task<> {
    EXPECT_EQ(co_await lv::blocking([](int a, int b) { return a + b; }, 2, 3), 5);
    EXPECT_EQ(*co_await lv::blocking([](std::unique_ptr<int> moved) { return moved; }, std::make_unique<int>(7)), 7);
    bool caught = false;
    try {
      co_await lv::blocking([] { throw std::runtime_error("inside"); });
    } catch (const std::runtime_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
  });
}

TEST(blocking, holds_no_worker_up) {
  run_tasks(1, []() -> lv::task<> {
    int pipes[2];
    EXPECT_EQ(::pipe(pipes), 0);
    lv::scope calls;
    // All of them block until the one worker, which must be free, has written a byte for each.
    for (int i = 0; i < 20; i++) {
      calls.spawn([](int fd) -> lv::task<> {
        const auto got = co_await lv::blocking([](int from) {
          char byte;
          return ::read(from, &byte, 1);
        }, fd);
        EXPECT_EQ(got, 1);
      }, pipes[0]);
    }
    co_await lv::sleep(5ms);
    EXPECT_EQ(::write(pipes[1], "12345678901234567890", 20), 20);
    co_await calls.join();
    ::close(pipes[0]);
    ::close(pipes[1]);
  });
}

TEST(blocking, many_calls_from_many_tasks_all_return) {
  run_tasks(4, []() -> lv::task<> {
    lv::atomic<int> sum{0};
    lv::scope calls;
    const int tasks = 500 / lv::test::slow_build_factor + 10;
    for (int i = 0; i < tasks; i++) {
      calls.spawn([](lv::atomic<int>* total) -> lv::task<> {
        for (int n = 0; n < 10; n++) {
          total->fetch_add(co_await lv::blocking([](int x) { return x; }, 1), std::memory_order_relaxed);
        }
      }, &sum);
    }
    co_await calls.join();
    EXPECT_EQ(sum.load(std::memory_order_relaxed), tasks * 10);
  });
}

}  // namespace
