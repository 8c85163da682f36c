// Goal: time in which the machine stood still is told from time in which the looker was slow itself.
// Method: sleeps as a machine may give them, by numbers; then real ones.
#include "platform/looker.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <thread>

#include "levity/base/rng.hpp"
#include "platform/thread_state.hpp"
#include "tests/support/stalls.hpp"

namespace levity::inline v0::detail {
namespace {

using namespace levity::test;

constexpr std::int64_t us = 1'000;
constexpr std::int64_t ms = 1'000'000;

TEST(late_sleeps, who_is_in_time_knows_of_no_outage) {
  late_sleeps at;
  for (int i = 0; i < 100; i++) EXPECT_EQ(at.outage_of(ms + 60 * us, ms, 10 * us), 0);
}

TEST(late_sleeps, what_a_stop_adds_is_outage_with_the_sleep_that_it_hides) {
  late_sleeps at;
  EXPECT_EQ(at.outage_of(61 * ms, ms, 0), 61 * ms);
  EXPECT_EQ(at.outage_of(ms, ms, 0), 0);
  EXPECT_EQ(at.outage_of(61 * ms, ms, 20 * ms), 41 * ms) << "it ran, or waited for a CPU, for 20 ms";
  // One that is not much longer than the sleep may have begun near its end.
  late_sleeps brief;
  EXPECT_EQ(brief.outage_of(ms, ms, 0), 0);
  EXPECT_EQ(brief.outage_of(3 * ms, ms, 0), 2 * ms);
  EXPECT_EQ(brief.outage_of(22 * ms, 10 * ms, 0), 12 * ms);
}

// Timers that tick each 4 ms, slack that cannot be taken away, a hypervisor: who sleeps among such is not "stopped".
TEST(late_sleeps, on_a_machine_whose_timers_are_always_late_that_is_no_outage) {
  rng random{5};
  for (const std::int64_t usual_ns : {700 * us, ms, 4 * ms, 12 * ms}) {
    late_sleeps at;
    std::int64_t outage_ns = 0;
    for (int i = 0; i < 200; i++) {
      const auto jitter_ns = static_cast<std::int64_t>(random.below(400'000));
      outage_ns += at.outage_of(ms + usual_ns + jitter_ns, ms, 0);
    }
    EXPECT_LE(outage_ns, usual_ns + 2 * ms) << "the first sleep alone may be taken for a stop";
    EXPECT_NEAR(static_cast<double>(at.outage_of(ms + usual_ns + 60 * ms, ms, 0)), 61e6, 1e6) << "and a stop is seen there, too";
  }
}

// cpulimit stops and continues a process ten times a second: so seldom that it never becomes usual.
TEST(late_sleeps, stops_that_come_again_and_again_stay_outages) {
  late_sleeps at;
  std::int64_t outage_ns = 0;
  for (int stop = 0; stop < 20; stop++) {
    for (int i = 0; i < 5; i++) EXPECT_EQ(at.outage_of(10 * ms, 10 * ms, 0), 0);
    outage_ns += at.outage_of(60 * ms, 10 * ms, 0);
  }
  EXPECT_EQ(outage_ns, 20 * 60 * ms);
}

TEST(late_sleeps, who_is_woken_early_or_sleeps_forever_is_never_late) {
  late_sleeps at;
  EXPECT_EQ(at.outage_of(300 * us, 10 * ms, 0), 0);
  EXPECT_EQ(at.outage_of(500 * ms, std::numeric_limits<std::int64_t>::max(), 0), 0);
}

// How often this thread has read something; -1 where the kernel does not count.
long long reads_so_far() {
  long long reads = -1;
  FILE* file = std::fopen("/proc/thread-self/io", "re");
  if (file == nullptr) return -1;
  if (std::fscanf(file, "rchar: %*u wchar: %*u syscr: %lld", &reads) != 1) reads = -1;
  std::fclose(file);
  return reads;
}

void sleep_as_said(looker& by, std::int64_t said_ns, std::int64_t real_ns) {
  by.fall_asleep(said_ns);
  const timespec pause{.tv_sec = 0, .tv_nsec = real_ns};
  ::nanosleep(&pause, nullptr);
  by.wake_up();
}

TEST(looker, time_that_it_neither_wanted_to_sleep_nor_ran_is_outage) {
  looker by;
  thread_reader self(thread_sign::here());
  const std::int64_t waited_ns = self.look().waited_ns;
  sleep_as_said(by, ms, 40 * ms);
  // On a busy machine it has waited for a CPU as well, and that is none.
  EXPECT_GE(by.look().outage_ns + self.look().waited_ns - waited_ns, 38 * ms);
}

TEST(looker, a_sleep_that_was_wanted_is_no_outage) {
  looker by;
  sleep_as_said(by, 50 * ms, 50 * ms);
  EXPECT_LT(by.look().outage_ns, 25 * ms);
}

// A report that it writes, a name that it reads from a disk: others who sleep meanwhile are not stopped.
TEST(looker, what_holds_it_up_between_two_sleeps_may_be_its_own) {
  for (const bool looks_before_sleep : {true, false}) {
    bool counted_once = false;  // or the machine stood still, too
    for (int attempt = 0; attempt < 20 && !counted_once; attempt++) {
      looker by;
      thread_reader self(thread_sign::here());
      const std::int64_t waited_ns = self.look().waited_ns;
      sleep_as_said(by, ms, ms);
      ::poll(nullptr, 0, 50);
      if (looks_before_sleep) {
        EXPECT_GE(by.look().lapse_ns + self.look().waited_ns - waited_ns, 49 * ms);
      }
      sleep_as_said(by, ms, ms);
      const machine_state seen = by.look();
      EXPECT_GE(seen.lapse_ns + self.look().waited_ns - waited_ns, 49 * ms);
      counted_once = seen.outage_ns < 25 * ms && seen.lapse_ns < 75 * ms;
    }
    EXPECT_TRUE(counted_once) << looks_before_sleep;
  }
}

// Where the machine stood still meanwhile it has missed that: once in a while it did not.
TEST(looker, who_computes_between_two_sleeps_has_missed_nothing) {
  std::int64_t least_ns = std::numeric_limits<std::int64_t>::max();
  for (int attempt = 0; attempt < 20 && least_ns >= 10 * ms; attempt++) {
    looker by;
    for (int i = 0; i < 20; i++) {
      sleep_as_said(by, ms, ms);
      for (const std::int64_t until = kernel_now_ns() + 2 * ms; kernel_now_ns() < until;) {
      }
    }
    least_ns = std::min(least_ns, by.look().lapse_ns);
  }
  EXPECT_LT(least_ns, 10 * ms);
}

// A watchdog that suspects nobody sleeps most of the time, and wakes on a cold cache.
TEST(looker, a_sleep_that_is_forgotten_reads_nothing_and_is_in_no_sum) {
  looker by;
  static_cast<void>(by.look());
  static_cast<void>(reads_so_far());
  const long long before = reads_so_far();
  if (before < 0) GTEST_SKIP() << "/proc/thread-self/io cannot be read";
  for (int i = 0; i < 100; i++) by.forget();
  const long long own = 4;  // of this test, between the two
  EXPECT_LE(reads_so_far() - before, own);
  ::poll(nullptr, 0, 50);  // neither a sleep that it has told of, nor a lapse
  by.forget();
  sleep_as_said(by, ms, ms);
  EXPECT_LT(by.look().lapse_ns + by.look().outage_ns, 25 * ms);
}

TEST(looker, has_timers_without_slack_as_long_as_it_wants_them_and_lives) {
  std::thread([] {
    ASSERT_EQ(::prctl(PR_SET_TIMERSLACK, 3'000'000UL), 0);
    {
      looker by;
      EXPECT_EQ(::prctl(PR_GET_TIMERSLACK), 1);
      by.keep_timers_exact(false);
      EXPECT_EQ(::prctl(PR_GET_TIMERSLACK), 3'000'000);
      by.keep_timers_exact(true);
      EXPECT_EQ(::prctl(PR_GET_TIMERSLACK), 1);
    }
    EXPECT_EQ(::prctl(PR_GET_TIMERSLACK), 3'000'000);
  }).join();
}

TEST(looker, looks_that_follow_each_other_closely_read_nothing) {
  looker by;
  static_cast<void>(reads_so_far());
  const long long before = reads_so_far();
  if (before < 0) GTEST_SKIP() << "/proc/thread-self/io cannot be read";
  const std::int64_t from_ns = kernel_now_ns();
  for (int i = 0; i < 1000; i++) static_cast<void>(by.look());
  const long long own = 4;  // of this test, between the two
  EXPECT_LE(reads_so_far() - before, own + 1 + (kernel_now_ns() - from_ns) / looker::stolen_pause_ns);
}

TEST(looker, what_a_hypervisor_took_is_what_the_kernel_counts) {
  unsigned long long stolen = 0;
  for (int i = 0; i < 1000; i++) {  // until nothing is stolen between the two readings
    looker by;  // a new one has not read it yet
    const auto seen = static_cast<unsigned long long>(by.look().stolen_ns) / 10'000'000;
    FILE* file = std::fopen("/proc/stat", "re");
    ASSERT_NE(file, nullptr);
    const int fields = std::fscanf(file, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &stolen);
    std::fclose(file);
    ASSERT_EQ(fields, 1);
    if (seen == stolen) return;
  }
  FAIL() << stolen;
}

}  // namespace
}  // namespace levity::detail
