// Goal: a task that keeps its worker is told of, on standard error and in the counts, with what kept it; whoever had no processor
// is not blamed.
// Method: real stalls of real tasks, under a runtime as a user starts it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mutex>
#include <regex>
#include <semaphore>
#include <string>
#include <thread>

#include "levity/levity.hpp"
#include "levity/runtime/statistics.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

void sleep_here(std::chrono::milliseconds time) {
  const timespec for_ns{.tv_sec = time.count() / 1000, .tv_nsec = time.count() % 1000 * 1'000'000};
  ::nanosleep(&for_ns, nullptr);
}

void compute(std::chrono::milliseconds time) {
  timespec now{};
  std::int64_t end_ns = 0;
  do {
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    const std::int64_t now_ns = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    if (end_ns == 0) end_ns = now_ns + std::chrono::nanoseconds(time).count();
    if (now_ns >= end_ns) return;
  } while (true);
}

struct outcome {
  lv::stall_counts stalls;
  lv::thread_counts threads;
  std::string told;
};

// Runs `stall` as a task named "reserve", after it has waited once, and waits until all is counted.
template <class F>
outcome run_stalled(F stall, std::uint32_t told_after_ms = 100) {
  lv::runtime_options options;
  options.workers = 2;
  options.handle_signals = false;
  options.stalls_told_after_ms = told_after_ms;
  outcome seen;
  ::testing::internal::CaptureStderr();
  lv::run_with(options, [](F body, outcome* into) -> lv::task<> {
    lv::scope all;
    all.spawn("reserve", [](F inner) -> lv::task<> {
      co_await lv::sleep(1ms);
      inner();
    }, body);
    co_await all.join();
    co_await lv::sleep(60ms);
    into->stalls = lv::stalls_of_runtime();
    into->threads = lv::threads_of_runtime();
  }, stall, &seen);
  seen.told = ::testing::internal::GetCapturedStderr();
  return seen;
}

bool has(const std::string& text, const char* pattern) { return std::regex_search(text, std::regex(pattern)); }

TEST(stall_printer, one_that_computes_is_told_of_with_its_name_and_where_it_was_spawned) {
  const outcome seen = run_stalled([] { compute(150ms); });
  EXPECT_TRUE(has(seen.told, "levity: task \\d+ \"reserve\" spawned at stall_printer_test\\.cpp:\\d+ has kept worker \\d+ "
                             "for \\d+\\.\\d ms: it (computes|is ready to run)")) << seen.told;
  EXPECT_GE(seen.stalls.computed + seen.stalls.off_cpu, 1U);
}

TEST(stall_printer, one_that_sleeps_is_told_of_with_the_call) {
  const outcome seen = run_stalled([] { sleep_here(150ms); });
  EXPECT_TRUE(has(seen.told, "it waits in the system call (clock_)?nanosleep")) << seen.told;
  EXPECT_EQ(seen.stalls.in_calls, 1U);
}

TEST(stall_printer, one_that_waits_for_a_lock_is_told_of) {
  std::mutex lock;
  const outcome seen = run_stalled([&lock] {
    std::binary_semaphore is_locked{0};
    std::jthread holder([&lock, &is_locked] {
      const std::lock_guard held{lock};
      is_locked.release();
      sleep_here(150ms);
    });
    is_locked.acquire();
    const std::lock_guard held{lock};
  });
  EXPECT_TRUE(has(seen.told, "it waits for a lock \\(futex\\)")) << seen.told;
  EXPECT_EQ(seen.stalls.in_locks, 1U);
}

TEST(stall_printer, a_short_one_is_counted_and_not_told_of) {
  const outcome seen = run_stalled([] { sleep_here(50ms); });
  EXPECT_EQ(seen.told, "");
  EXPECT_EQ(seen.stalls.in_calls, 1U);
}

TEST(stall_printer, where_nobody_wants_to_know_nothing_is_told) {
  const outcome seen = run_stalled([] { sleep_here(150ms); }, 0);
  EXPECT_EQ(seen.told, "");
  EXPECT_EQ(seen.stalls.in_calls, 1U);
}

TEST(stall_printer, a_declared_call_is_none) {
  lv::runtime_options options;
  options.workers = 1;
  options.handle_signals = false;
  ::testing::internal::CaptureStderr();
  lv::run_with(options, []() -> lv::task<> {
    co_await lv::blocking([] { sleep_here(150ms); });
    const lv::stall_counts seen = lv::stalls_of_runtime();
    EXPECT_EQ(seen.in_calls, 0U);
    EXPECT_EQ(lv::threads_of_runtime().replaced, 0U);
  });
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

// The task has computed for half a second of wall time, and not for a millisecond of its own.
TEST(stall_printer, who_was_stopped_with_the_process_is_neither_replaced_nor_blamed) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    outcome seen;
    lv::runtime_options options;
    options.workers = 2;
    options.handle_signals = false;
    lv::run_with(options, [](outcome* into) -> lv::task<> {
      co_await lv::sleep(1ms);
      ::raise(SIGSTOP);  // the parent continues us
      co_await lv::sleep(60ms);
      into->stalls = lv::stalls_of_runtime();
      into->threads = lv::threads_of_runtime();
    }, &seen);
    const bool blamed = seen.stalls.computed + seen.stalls.in_calls + seen.stalls.in_locks + seen.stalls.in_faults != 0;
    ::_exit((blamed ? 1 : 0) + (seen.threads.replaced != 0 ? 2 : 0));
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  sleep_here(500ms);
  ASSERT_EQ(::kill(child, SIGCONT), 0);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: it was blamed, 2: it was replaced";
}

}  // namespace
