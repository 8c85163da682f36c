// What makes no sense ends the program with one sentence, which says what helps.

#include <gtest/gtest.h>

#include <cstdint>

#include "levity/model/explore.hpp"

namespace {

namespace model = levity::model;

TEST(refusals, are_of_futexes_outside_of_an_exploration) {
  const model::atomic<std::uint32_t> bell{0};
  EXPECT_DEATH(model::futex_wait(bell, 0), "levity: model/exploration_refusals_test.cpp:[0-9]+: futex_wait is for the inside");
  EXPECT_DEATH(model::futex_wake_one(bell), "levity: model/exploration_refusals_test.cpp:[0-9]+: futex_wake_one is for the inside");
}

TEST(refusals, are_of_more_steps_than_clocks_count) {
  EXPECT_DEATH(model::explore({.steps_max = 60'001}, [] {}),
               "^levity: options::steps_max is 60001, and 60000 at most: the clocks of threads have 16 bits\n$");
  EXPECT_TRUE(model::explore({.steps_max = 60'000}, [] {}).complete);
}

}  // namespace
