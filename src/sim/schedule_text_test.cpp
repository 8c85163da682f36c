#include "sim/schedule_text.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace levity::inline v0::sim {
namespace {

schedule read_schedule(const std::string& text) {
  const auto read = parse_schedule(text, {.runs_max = 7, .delays_max = 3});
  EXPECT_TRUE(read) << text;
  return read.value_or(schedule{});
}

}  // namespace

TEST(schedule_text, says_a_schedule_and_is_read_again_with_the_bounds_that_were_there) {
  for (const std::string text : {"random", "random+detaching", "fifo", "exhaustive", "exhaustive+detaching", "pct:1", "pct:3:412",
                                 "pct:2+detaching", "pct:2:18446744073709551615+detaching"}) {
    const schedule read = read_schedule(text);
    EXPECT_EQ(schedule_text(read), text);
    EXPECT_EQ(read.runs_max, 7U);
    EXPECT_EQ(read.delays_max, 3U);
  }
  const schedule pct = read_schedule("pct:4:20");
  EXPECT_EQ(pct.what, schedule_kind::pct);
  EXPECT_EQ(pct.depth, 4U);
  EXPECT_EQ(pct.steps, 20U);
  EXPECT_FALSE(pct.detaching);
}

TEST(schedule_text, that_is_none_is_refused_with_what_to_write) {
  for (const std::string text : {"", "best", "pct", "pct:0", "pct:x", "pct:3:", "pct:3:x", "pct:3:1:2", "pct:-1", "fifo:3", "fifo:",
                                 "random+", "+detaching", "random+detaching+detaching"}) {
    const auto read = parse_schedule(text, {});
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().find("\"" + text + "\" is no schedule; write random, fifo, pct:3 or exhaustive"), 0U) << read.error();
  }
}

TEST(schedule_text, of_choices_is_their_numbers) {
  EXPECT_EQ(choices_text(std::vector<unsigned>{0, 1, 20}), "0,1,20");
  EXPECT_EQ(choices_text({}), "");
  EXPECT_EQ(parse_choices("0,1,20"), (std::vector<unsigned>{0, 1, 20}));
  EXPECT_EQ(parse_choices(""), std::vector<unsigned>{});
  for (const std::string text : {"x", "1,x", "1,,2", "1,2,", ",1", "1 2", "-1", "4294967296"}) {
    const auto read = parse_choices(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().find("\"" + text + "\" are no choices"), 0U) << read.error();
  }
}

}  // namespace levity::sim
