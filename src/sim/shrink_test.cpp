#include "sim/shrink.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace levity::inline v0::sim {
namespace {

fault_plan twenty_faults() {
  fault_plan plan;
  for (int i = 0; i < 20; i++) {
    plan.faults.push_back({.at = duration(1'234'567'891) * (i + 1),
                           .what = i % 3 == 0 ? fault_kind::kill : fault_kind::pause,
                           .host = "host" + std::to_string(i),
                           .lasts = 777'777us});
  }
  return plan;
}

const fault* find(const fault_plan& in, std::string_view host) {
  const auto found = std::ranges::find(in.faults, host, &fault::host);
  return found != in.faults.end() ? &*found : nullptr;
}

}  // namespace

TEST(shrink, one_fault_of_twenty_is_found_whichever_it_is) {
  for (int i = 0; i < 20; i++) {
    const std::string guilty = "host" + std::to_string(i);
    unsigned asked = 0;
    const shrunk_plan least = shrink(twenty_faults(), [&](const fault_plan& plan) {
      asked++;
      return find(plan, guilty) != nullptr;
    }, 200);
    ASSERT_EQ(least.plan.faults.size(), 1u) << guilty;
    EXPECT_EQ(least.plan.faults[0].host, guilty);
    EXPECT_EQ(least.runs, asked);
    EXPECT_TRUE(least.is_least);
    EXPECT_LE(asked, 60u);
    EXPECT_LT(least.plan.faults[0].lasts, 2ms) << "it need not last";
    EXPECT_EQ(least.plan.faults[0].at, 0s) << "nor come late";
  }
}

TEST(shrink, two_faults_that_are_needed_together_are_found_wherever_they_are) {
  for (int i = 0; i < 20; i++) {
    for (int j = i + 1; j < 20; j++) {
      const std::string one = "host" + std::to_string(i);
      const std::string other = "host" + std::to_string(j);
      const auto fails = [&](const fault_plan& plan) { return find(plan, one) != nullptr && find(plan, other) != nullptr; };
      const shrunk_plan least = shrink(twenty_faults(), fails, 300);
      ASSERT_EQ(least.plan.faults.size(), 2u) << one << " and " << other << ": " << least.plan.to_string();
      EXPECT_TRUE(find(least.plan, one) != nullptr && find(least.plan, other) != nullptr);
    }
  }
}

TEST(shrink, times_become_short_and_round_as_far_as_it_still_fails) {
  // It must be there at 5 s, for 200 ms at least.
  const auto fails = [](const fault_plan& plan) {
    return std::ranges::any_of(plan.faults, [](const fault& one) {
      return one.at <= 5s && one.at + one.lasts >= 5s && one.lasts >= 200ms;
    });
  };
  fault_plan plan;
  plan.faults.push_back({.at = 4'321'987'654ns, .what = fault_kind::kill, .host = "orders", .lasts = 1'876'543'219ns});
  ASSERT_TRUE(fails(plan));
  const shrunk_plan least = shrink(plan, fails, 200);
  ASSERT_TRUE(fails(least.plan));
  EXPECT_EQ(least.plan.to_string(), "5s kill orders 900ms");
}

TEST(shrink, a_fault_that_is_not_needed_any_more_when_another_has_moved_goes_too) {
  const auto fails = [](const fault_plan& plan) {
    const fault* const one = find(plan, "host9");
    return one != nullptr && (one->at < 1s || find(plan, "host4") != nullptr);
  };
  const shrunk_plan least = shrink(twenty_faults(), fails, 300);
  ASSERT_EQ(least.plan.faults.size(), 1u) << least.plan.to_string();
  EXPECT_EQ(least.plan.faults[0].host, "host9");
}

TEST(shrink, what_fails_without_any_fault_has_none_left_after_one_run) {
  const shrunk_plan least = shrink(twenty_faults(), [](const fault_plan&) { return true; }, 200);
  EXPECT_TRUE(least.plan.faults.empty());
  EXPECT_TRUE(least.is_least);
  EXPECT_EQ(least.runs, 1u);
}

TEST(shrink, it_asks_no_more_than_it_may_and_gives_the_best_so_far_as_no_more_than_that) {
  unsigned asked = 0;
  const auto fails = [&](const fault_plan& plan) {
    asked++;
    return find(plan, "host3") != nullptr && find(plan, "host17") != nullptr;
  };
  const shrunk_plan all = shrink(twenty_faults(), fails, 1000);
  ASSERT_TRUE(all.is_least && all.runs < 60) << all.runs;
  for (unsigned runs_max = 0; runs_max < 60; runs_max++) {
    asked = 0;
    const shrunk_plan least = shrink(twenty_faults(), fails, runs_max);
    EXPECT_LE(asked, runs_max);
    EXPECT_EQ(least.runs, asked);
    EXPECT_EQ(least.is_least, runs_max >= all.runs) << runs_max << " runs of " << all.runs;
    EXPECT_TRUE(find(least.plan, "host3") != nullptr && find(least.plan, "host17") != nullptr);
  }
}

}  // namespace levity::sim
