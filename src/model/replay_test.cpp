#include "model/replay.hpp"

#include <gtest/gtest.h>

#include "levity/model/explore.hpp"

namespace {

namespace model = levity::model;
using model::detail::answer_list;
using model::detail::line_of;
using model::detail::read_line;

TEST(replays, are_read_as_they_are_written) {
  const answer_list all[] = {{}, {-1}, {-1, 3, -2, 2}, {0, 0, 0, 12, 1}, {-8, -8, 7, 7, -8}, answer_list(40'000, -1)};
  for (const answer_list& given : all) {
    answer_list read{5};
    EXPECT_EQ(read_line(line_of(given), read), "");
    EXPECT_EQ(read, given) << line_of(given);
  }
}

TEST(replays, that_nobody_has_printed_are_refused) {
  answer_list read;
  EXPECT_EQ(read_line("", read), "is empty; give it the line that a failure has printed, or none at all");
  for (const char* const wrong : {"i", "A", "x3", "ax", "ax0", "a b", "a-1", "99999", "ax99999999999", "a3\n", "REPLAY"}) {
    EXPECT_NE(read_line(wrong, read).find("cannot be read at \""), std::string::npos) << wrong;
  }
}

TEST(replays, that_cannot_be_read_explore_nothing) {
  const auto explore = [](const char* line) {
    model::options wanted;
    wanted.replay = line;
    model::explore(wanted, [] {});
  };
  EXPECT_DEATH(explore(""), "levity: options::replay is empty; give it the line that a failure has printed");
  EXPECT_DEATH(explore("?"), "levity: options::replay cannot be read at \"\\?\"");
}

TEST(replays, of_a_failure_without_a_step_bring_it_again) {
  const auto fails = [] { model::require(false, "it shall not be"); };
  const model::result first = model::explore({}, fails);
  ASSERT_TRUE(first.failure);
  model::options wanted;
  wanted.replay = first.failure->replay;
  const model::result again = model::explore(wanted, fails);
  EXPECT_EQ(again.failure->what, first.failure->what);
  EXPECT_FALSE(again.astray);
}

}  // namespace
