// Goal: the watchdog's looks use no more of a processor than they may, and are no rarer than they must be.
#include <gtest/gtest.h>

#include "sched/doze_pace.hpp"

namespace {

using levity::detail::doze_pace;

// Looks that cost so much each, until the pause has settled.
std::int64_t pause_where_a_look_costs(std::int64_t ns) {
  doze_pace pace;
  std::int64_t cpu_ns = 0;
  for (int i = 0; i < 1000; i++) {
    cpu_ns += ns;
    if (pace.count()) pace.reckon(cpu_ns);
  }
  return pace.pause_ns();
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
  doze_pace pace;
  std::int64_t cpu_ns = 0;
  const auto look_at = [&](std::int64_t ns) {
    for (unsigned i = 0; i < doze_pace::dozes_each; i++) {
      cpu_ns += ns;
      if (pace.count()) pace.reckon(cpu_ns);
    }
  };
  look_at(10'000);
  look_at(50'000);
  EXPECT_EQ(pace.pause_ns(), doze_pace::pause_max_ns);
  look_at(10'000);
  EXPECT_EQ(pace.pause_ns(), doze_pace::pause_min_ns);
}

}  // namespace
