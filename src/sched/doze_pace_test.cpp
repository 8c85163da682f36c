// Goal: the watchdog's looks use no more of a processor than they may, and are no rarer than they must be.
#include <gtest/gtest.h>

#include "sched/doze_pace.hpp"
#include "sched/watchdog.hpp"

namespace {

using levity::detail::doze_pace;
using levity::detail::watchdog;

// Who waits for two dozing looks waits for less than what is counted as a stall.
static_assert(doze_pace::pause_min_ns >= watchdog::doze_ns);
static_assert(doze_pace::pause_max_ns + doze_pace::slack_ns < watchdog::counted_ns);

struct dozer {
  doze_pace pace;
  std::int64_t cpu_ns = 0;

  void look(std::int64_t costs_ns, int times = 1000) {
    for (int i = 0; i < times; i++) {
      pace.begin_doze(cpu_ns);
      cpu_ns += costs_ns;
    }
  }
};

std::int64_t pause_where_a_look_costs(std::int64_t ns) {
  dozer one;
  one.look(ns);
  return one.pace.pause_ns();
}

TEST(doze_pace, where_a_look_is_cheap_there_are_as_many_as_there_may_be) {
  EXPECT_EQ(doze_pace().pause_ns(), doze_pace::pause_min_ns);
  EXPECT_EQ(pause_where_a_look_costs(1'000), doze_pace::pause_min_ns);
  EXPECT_EQ(pause_where_a_look_costs(18'000), doze_pace::pause_min_ns);
}

TEST(doze_pace, where_it_is_dear_there_are_fewer_and_all_cost_what_they_may) {
  for (const std::int64_t look_ns : {20'000, 22'000, 24'000}) {
    const std::int64_t period_ns = pause_where_a_look_costs(look_ns) + doze_pace::slack_ns;
    EXPECT_NEAR(static_cast<double>(look_ns) / static_cast<double>(period_ns), 1.0 / doze_pace::share, 1e-5) << look_ns;
  }
}

TEST(doze_pace, but_never_so_few_that_who_waits_for_one_waits_long) {
  EXPECT_EQ(pause_where_a_look_costs(100'000), doze_pace::pause_max_ns);
}

TEST(doze_pace, one_dear_moment_is_forgotten) {
  dozer one;
  one.look(10'000);
  one.look(50'000, doze_pace::looks_each + 1);
  EXPECT_EQ(one.pace.pause_ns(), doze_pace::pause_max_ns);
  one.look(10'000);
  EXPECT_EQ(one.pace.pause_ns(), doze_pace::pause_min_ns);
}

TEST(doze_pace, what_else_it_did_between_two_dozes_does_not_count) {
  dozer one;
  for (int i = 0; i < 1000; i++) {
    one.look(10'000, 3);
    one.cpu_ns += 1'000'000;
    one.pace.forget();
  }
  EXPECT_EQ(one.pace.pause_ns(), doze_pace::pause_min_ns);
}

}  // namespace
