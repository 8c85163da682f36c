#include "levity/resilience/rejection.hpp"

#include <gtest/gtest.h>

#include "levity/resilience/verdict.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

TEST(rejection, says_when_to_ask_again_where_it_knows) {
  EXPECT_EQ((lv::rejection{lv::rejection_cause::breaker_open, 1500ms}.message()),
            "the breaker is open, for too many of the last calls failed; ask again in 1500 ms");
  EXPECT_EQ(lv::rejection{lv::rejection_cause::limit_reached}.message(),
            "as many calls are under way as the other side answers in time");
  EXPECT_EQ(lv::rejection{lv::rejection_cause::bulkhead_full}.message(),
            "the bulkhead is full: all its places are taken, and none came free in time; call less or raise concurrent_max");
}

TEST(rejection, every_cause_has_a_name_and_a_sentence) {
  for (int each = 0; each <= static_cast<int>(lv::rejection_cause::too_late); each++) {
    const auto cause = static_cast<lv::rejection_cause>(each);
    EXPECT_NE(lv::to_string(cause), "unknown");
    EXPECT_EQ(lv::rejection{cause}.message().find("unknown"), std::string::npos);
  }
}

TEST(verdict, has_names) {
  EXPECT_EQ(lv::to_string(lv::verdict::success), "success");
  EXPECT_EQ(lv::to_string(lv::verdict::failure), "failure");
  EXPECT_EQ(lv::to_string(lv::verdict::neutral), "neutral");
}

}  // namespace
