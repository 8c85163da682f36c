#include "platform/looker.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include "platform/thread_state.hpp"
#include "tests/support/stalls.hpp"

namespace levity::inline v0::detail {
namespace {

using namespace levity::test;

constexpr std::int64_t ms = 1'000'000;

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
  EXPECT_GE(by.look().outage_ns + self.look().waited_ns - waited_ns, 39 * ms);
}

TEST(looker, a_sleep_that_was_wanted_and_work_are_no_outage) {
  looker by;
  const std::int64_t until_ns = kernel_now_ns() + 20 * ms;
  while (kernel_now_ns() < until_ns) {
  }
  sleep_as_said(by, std::numeric_limits<std::int64_t>::max(), 20 * ms);
  EXPECT_LT(by.look().outage_ns, 20 * ms);
}

TEST(looker, an_outage_between_two_sleeps_counts_too) {
  looker by;
  thread_reader self(thread_sign::here());
  const std::int64_t waited_ns = self.look().waited_ns;
  sleep_as_said(by, ms, ms);
  ::poll(nullptr, 0, 40);
  sleep_as_said(by, ms, ms);
  EXPECT_GE(by.look().outage_ns + self.look().waited_ns - waited_ns, 39 * ms);
}

TEST(looker, what_a_hypervisor_took_is_what_the_kernel_counts) {
  looker by;
  unsigned long long stolen = 0;
  for (int i = 0; i < 1000; i++) {  // until nothing is stolen between the two readings
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
