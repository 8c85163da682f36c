// Goal: a task that keeps its worker is told of, on standard error and in the counts, with what kept it; whoever had no processor
// is not blamed.
// Method: real stalls of real tasks, under a runtime as a user starts it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iterator>
#include <mutex>
#include <regex>
#include <semaphore>
#include <string>
#include <thread>

#include "levity/levity.hpp"
#include "levity/runtime/statistics.hpp"
#include "platform/thread_stack.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

// Names that stacks show.
[[gnu::noinline]] void sleep_here(std::chrono::milliseconds time) {
  const timespec for_ns{.tv_sec = time.count() / 1000, .tv_nsec = time.count() % 1000 * 1'000'000};
  ::nanosleep(&for_ns, nullptr);
  asm volatile("" ::: "memory");  // no tail call
}

[[gnu::noinline]] void compute(std::chrono::microseconds time) {
  timespec now{};
  std::int64_t end_ns = 0;
  do {
    for (int i = 0; i < 1'000; i++) lv::spin_hint();  // most of the time it is here and not in the clock
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    const std::int64_t now_ns = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    if (end_ns == 0) end_ns = now_ns + std::chrono::nanoseconds(time).count();
    if (now_ns >= end_ns) return;
  } while (true);
}

// So long the calling thread has waited for a CPU, ever.
std::chrono::nanoseconds waited_for_cpu() {
  char text[96] = "";
  long long waited = 0;
  const int fd = ::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  if (::read(fd, text, sizeof text - 1) > 0) static_cast<void>(std::sscanf(text, "%*d %lld", &waited));
  ::close(fd);
  return std::chrono::nanoseconds(waited);
}

struct outcome {
  lv::stall_counts stalls;
  lv::thread_counts threads;
  std::string told;
  std::chrono::nanoseconds waited{};  // of `stall`, for a CPU
  // On a busy machine that may have been the larger part of it. Only then may it be called so.
  [[nodiscard]] bool was_crowded_out() const { return waited > 50ms; }
};

std::uint64_t counted(const lv::stall_counts& of) {
  return of.computed + of.in_calls + of.in_locks + of.in_faults + of.off_cpu + of.unknown;
}

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
    all.spawn("reserve", [](F inner, outcome* seen_by_it) -> lv::task<> {
      co_await lv::sleep(1ms);
      const std::chrono::nanoseconds before = waited_for_cpu();
      inner();
      seen_by_it->waited = waited_for_cpu() - before;
    }, body, into);
    co_await all.join();
    // It is counted at the watchdog's next look; a machine that is busy may delay that, and others may be counted beside it.
    const auto until = std::chrono::steady_clock::now() + 20s;
    std::uint64_t blamed = 0;
    do {
      co_await lv::sleep(10ms);
      into->stalls = lv::stalls_of_runtime();
      blamed = counted(into->stalls) - (into->was_crowded_out() ? 0 : into->stalls.off_cpu);
    } while (blamed == 0 && std::chrono::steady_clock::now() < until);
    into->threads = lv::threads_of_runtime();
  }, stall, &seen);
  seen.told = ::testing::internal::GetCapturedStderr();
  return seen;
}

bool has(const std::string& text, const char* pattern) { return std::regex_search(text, std::regex(pattern)); }

TEST(stall_printer, one_that_computes_is_told_of_with_its_name_and_where_it_was_spawned) {
  const outcome seen = run_stalled([] { compute(300ms); });
  EXPECT_TRUE(has(seen.told, "levity: task \\d+ \"reserve\" spawned at stall_printer_test\\.cpp:\\d+ has kept worker \\d+ "
                             "for \\d+\\.\\d ms: it (computes|is ready to run)")) << seen.told;
  EXPECT_GE(seen.stalls.computed + seen.stalls.off_cpu, 1U);
}

TEST(stall_printer, one_that_sleeps_is_told_of_with_the_call) {
  const outcome seen = run_stalled([] { sleep_here(300ms); });
  if (seen.was_crowded_out()) GTEST_SKIP() << "this machine gave it no CPU for longer than it slept before it was told of";
  EXPECT_TRUE(has(seen.told, "it waits in the system call (clock_)?nanosleep")) << seen.told;
  EXPECT_EQ(seen.stalls.in_calls, 1U);
}

// Whether by the chain of frames or, with a question mark, by a guess: that is for the C library to say.
TEST(stall_printer, a_report_shows_where_the_task_sleeps) {
#ifdef LEVITY_ASAN
  GTEST_SKIP() << "with some layouts of an instrumented program no names are found";
#endif
  const outcome seen = run_stalled([] { sleep_here(300ms); });
  EXPECT_TRUE(has(seen.told, "\n    [ ?] \\(anonymous namespace\\)::sleep_here\\+0x[0-9a-f]+ in inspect_test\n")) << seen.told;
  EXPECT_TRUE(has(seen.told, "levity::v0::detail::worker::run\\+0x[0-9a-f]+ in inspect_test\n$")) << seen.told;
}

#ifndef LEVITY_TSAN  // it keeps signals back

// Whoever gets no CPU for 20 ms after it was asked does not answer in time, so it is tried more than once.
TEST(stall_printer, a_report_shows_where_the_task_computes) {
  if (!lv::detail::stack_sampler::is_possible()) GTEST_SKIP() << "this kernel cannot ask a thread without disturbing its calls";
#ifdef LEVITY_ASAN
  GTEST_SKIP() << "with some layouts of an instrumented program no names are found";
#endif
  std::string told;
  for (int attempt = 0; attempt < 5; attempt++) {
    told = run_stalled([] { compute(300ms); }).told;
    if (has(told, "\n      \\(anonymous namespace\\)::compute\\+0x[0-9a-f]+ in inspect_test\n")) return;
  }
  FAIL() << told;
}

#endif

// Who sleeps is told of when it has lasted for 100 ms, and for 1 s.
TEST(stall_printer, one_that_lasts_is_told_of_again) {
  const outcome seen = run_stalled([] { sleep_here(1500ms); });
  if (seen.was_crowded_out()) GTEST_SKIP() << "this machine gave it no CPU for longer than it slept before it was told of";
  const std::regex report("has kept worker \\d+ for \\d+\\.\\d ms: it waits in the system call");
  const auto reports = std::distance(std::sregex_iterator(seen.told.begin(), seen.told.end(), report), std::sregex_iterator());
  EXPECT_EQ(reports, 2) << seen.told;
  EXPECT_FALSE(has(seen.told, "like it")) << seen.told;
}

TEST(stall_printer, one_that_waits_for_a_lock_is_told_of) {
  std::mutex lock;
  const outcome seen = run_stalled([&lock] {
    std::binary_semaphore is_locked{0};
    std::jthread holder([&lock, &is_locked] {
      const std::lock_guard held{lock};
      is_locked.release();
      sleep_here(300ms);
    });
    is_locked.acquire();
    const std::lock_guard held{lock};
  });
  if (seen.was_crowded_out()) GTEST_SKIP() << "this machine gave it no CPU for longer than it waited before it was told of";
  EXPECT_TRUE(has(seen.told, "it waits for a lock \\(futex\\)")) << seen.told;
  EXPECT_EQ(seen.stalls.in_locks, 1U);
}

TEST(stall_printer, a_short_one_is_counted_and_not_told_of) {
  const outcome seen = run_stalled([] { sleep_here(300ms); }, 60'000);
  EXPECT_EQ(seen.told, "");
  EXPECT_EQ(seen.stalls.in_calls + (seen.was_crowded_out() ? seen.stalls.off_cpu : 0), 1U);
}

TEST(stall_printer, where_nobody_wants_to_know_nothing_is_told) {
  const outcome seen = run_stalled([] { sleep_here(300ms); }, 0);
  EXPECT_EQ(seen.told, "");
  EXPECT_EQ(seen.stalls.in_calls + (seen.was_crowded_out() ? seen.stalls.off_cpu : 0), 1U);
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

std::uint64_t blamed(const lv::stall_counts& of) { return of.computed + of.in_calls + of.in_locks + of.in_faults; }

// Tasks that compute for 4 ms, and for 100 ms more stand still with their process. The watchdog must have begun to take notes of
// them when that happens, so a task that is rightly replaced goes before: from then on two looks, each 1 ms, are enough for a
// suspicion. Of processor time they use less than what makes one stuck.
// 0: so it was. 1: it was blamed, 2: it was replaced, 4: nobody was replaced before.
int outcome_of_stops() {
  constexpr int rounds = 5;
  const pid_t child = ::fork();
  if (child == 0) {
    struct {
      outcome before;
      outcome after;
    } seen;
    lv::runtime_options options;
    options.workers = 2;
    options.handle_signals = false;
    options.stalls_told_after_ms = 0;
    lv::run_with(options, [](outcome* before, outcome* after) -> lv::task<> {
      lv::scope all;
      all.spawn("keeps its worker", []() -> lv::task<> {
        co_await lv::sleep(1ms);
        sleep_here(100ms);
      });
      co_await all.join();
      for (int i = 0; i < 1'000 && blamed(lv::stalls_of_runtime()) == 0; i++) co_await lv::sleep(10ms);
      before->stalls = lv::stalls_of_runtime();
      before->threads = lv::threads_of_runtime();
      for (int round = 0; round < rounds; round++) {
        const auto until = std::chrono::steady_clock::now() + 2200us;
        while (std::chrono::steady_clock::now() < until) {
        }
        ::raise(SIGSTOP);  // the parent continues us
        compute(1600us);   // and is still here at the look after the one that is left out for coming late
        co_await lv::sleep(5ms);
      }
      co_await lv::sleep(60ms);
      after->stalls = lv::stalls_of_runtime();
      after->threads = lv::threads_of_runtime();
    }, &seen.before, &seen.after);
    if (seen.before.threads.replaced == 0 || blamed(seen.before.stalls) == 0) ::_exit(4);
    const bool is_blamed = blamed(seen.after.stalls) != blamed(seen.before.stalls);
    ::_exit((is_blamed ? 1 : 0) + (seen.after.threads.replaced != seen.before.threads.replaced ? 2 : 0));
  }
  int status = 0;
  for (int round = 0; round < rounds; round++) {
    if (::waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status)) return WEXITSTATUS(status);
    sleep_here(100ms);
    ::kill(child, SIGCONT);
  }
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Who looks may wait for a processor himself when the stop comes; then he does not know of it. So more than once.
TEST(stall_printer, who_was_stopped_with_the_process_is_neither_replaced_nor_blamed) {
  int outcome = -1;
  for (int attempt = 0; attempt < 5 && outcome != 0; attempt++) outcome = outcome_of_stops();
  EXPECT_EQ(outcome, 0) << "1: it was blamed, 2: it was replaced, 4: nobody was replaced before";
}

}  // namespace
