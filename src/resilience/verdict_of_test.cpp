#include "levity/resilience/verdict_of.hpp"

#include <gtest/gtest.h>

#include "levity/resilience/judgement.hpp"

namespace lv = levity;
using lv::io_failure;
using lv::verdict;
using namespace std::chrono_literals;

namespace {

lv::io_result<int> failed(io_failure why) { return std::unexpected(lv::io_error(why)); }

TEST(verdict_of, a_value_is_a_success) {
  EXPECT_EQ(lv::verdict_of(lv::io_result<int>(5)), verdict::success);
  EXPECT_EQ(lv::verdict_of(lv::io_result<void>()), verdict::success);
}

TEST(verdict_of, what_the_other_side_did_not_do_is_its_failure) {
  for (const io_failure each : {io_failure::eof, io_failure::reset, io_failure::timed_out, io_failure::refused,
                                io_failure::unreachable, io_failure::truncated, io_failure::unavailable, io_failure::other}) {
    EXPECT_EQ(lv::verdict_of(failed(each)), verdict::failure) << lv::to_string(each);
  }
}

TEST(verdict_of, what_this_side_did_says_nothing_about_the_other) {
  for (const io_failure each :
       {io_failure::cancelled, io_failure::closed, io_failure::no_descriptors, io_failure::no_memory, io_failure::no_address,
        io_failure::would_block, io_failure::invalid, io_failure::not_found, io_failure::too_large}) {
    EXPECT_EQ(lv::verdict_of(failed(each)), verdict::neutral) << lv::to_string(each);
  }
}

TEST(verdict_of, a_time_out_is_the_callers_own_when_its_deadline_has_passed) {
  const lv::time_point deadline{100s};
  EXPECT_EQ(lv::verdict_of(failed(io_failure::timed_out), deadline, deadline), verdict::neutral);
  EXPECT_EQ(lv::verdict_of(failed(io_failure::timed_out), deadline, deadline - 1ns), verdict::failure);
  EXPECT_EQ(lv::verdict_of(failed(io_failure::reset), deadline, deadline + 1s), verdict::failure);
  EXPECT_EQ(lv::verdict_of(lv::io_result<int>(1), deadline, deadline + 1s), verdict::success);
  EXPECT_EQ(lv::verdict_of(failed(io_failure::timed_out), lv::time_point::max(), deadline), verdict::failure);
}

// Over all that there are: who asks the one and who asks the other do not hear two things.
TEST(verdict_of, the_default_judge_says_the_same_and_repeats_only_failures) {
  for (int each = 0; each <= static_cast<int>(io_failure::other); each++) {
    const auto why = static_cast<io_failure>(each);
    const verdict said = lv::verdict_of(lv::io_error(why));
    const lv::judgement by_default = lv::default_judge{}(failed(why));
    EXPECT_EQ(by_default, (lv::judgement{said, said == verdict::failure, {}})) << lv::to_string(why);
  }
}

}  // namespace
