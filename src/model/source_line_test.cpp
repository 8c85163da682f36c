#include "model/source_line.hpp"

#include <gtest/gtest.h>

namespace {

using levity::model::detail::name_of_called;
using levity::model::detail::name_of_guarded;
using levity::model::detail::source_lines;

// A line with the column of the call under a ^.
std::string called(std::string_view line, std::string_view mark) { return name_of_called(line, mark.size(), {"load", "fetch_"}); }
std::string guarded(std::string_view line, std::string_view mark) { return name_of_guarded(line, mark.size()); }

TEST(source_lines, call_what_a_member_is_called_of_by_its_last_name) {
  EXPECT_EQ(called("return idle_[of(worker) / 64].fetch_or(1);",  //
                   "                                      ^"),
            "idle_");
  EXPECT_EQ(called("return idle_[of(worker) / 64].fetch_or(1);",  //
                   "       ^"),
            "idle_");
  EXPECT_EQ(called("x = all->ring().end.load();",  //
                   "    ^"),
            "end");
  EXPECT_EQ(called("x = all->ring().end.load();",  //
                   "                        ^"),
            "end");
}

TEST(source_lines, know_two_calls_on_a_line_by_their_columns) {
  constexpr std::string_view line = "sum = x.load() + y.load();";
  EXPECT_EQ(called(line, "            ^"), "x");
  EXPECT_EQ(called(line, "      ^"), "x");
  EXPECT_EQ(called(line, "                       ^"), "y");
  EXPECT_EQ(called(line, "                 ^"), "y");
}

TEST(source_lines, call_nothing_by_a_name_that_may_be_anothers) {
  constexpr std::string_view chain = "p.load()->next.load();";
  EXPECT_EQ(called(chain, "^"), "");  // both begin there
  EXPECT_EQ(called(chain, "                   ^"), "next");
  EXPECT_EQ(called("sum = look(y) + x.load();",  //
                   "      ^"),
            "");
  EXPECT_EQ(called("sum = look(y) + x.load();",  //
                   "          ^"),
            "");
  EXPECT_EQ(name_of_called("x.load();", 0, {"load"}), "");
  EXPECT_EQ(called("(first ? x : y).load();",  //
                   "^"),
            "");
}

TEST(source_lines, call_an_argument_by_its_name) {
  const auto waits = [](std::string_view line, std::string_view mark) { return name_of_called(line, mark.size(), {"futex_"}); };
  EXPECT_EQ(waits("model::futex_wait(all.bells[1], 0);",  //
                  "                 ^"),
            "bells");
  EXPECT_EQ(waits("model::futex_wait(all.bells[1], 0);",  //
                  "^"),
            "bells");
  EXPECT_EQ(waits("futex_wait(*told, 0);",  //
                  "^"),
            "told");
  EXPECT_EQ(waits("futex_wait(first ? x : y, 0);",  //
                  "^"),
            "");
}

TEST(source_lines, call_a_mutex_as_its_guard_does) {
  constexpr std::string_view line = "const guard one{all.lock_}; guard other(of(x)[1].other_);";
  EXPECT_EQ(guarded(line, "            ^"), "lock_");
  EXPECT_EQ(guarded(line, "                         ^"), "lock_");
  EXPECT_EQ(guarded(line, "                                  ^"), "other_");
  EXPECT_EQ(guarded(line, "                                                       ^"), "other_");
  EXPECT_EQ(guarded("one.unlock();",  //
                    "^"),
            "");
  EXPECT_EQ(guarded("one.lock();",  //
                    "        ^"),
            "");
  EXPECT_EQ(guarded("}", "   ^"), "");
}

TEST(source_lines, are_read_without_margin_and_comment) {
  source_lines read;
  const auto here = std::source_location::current();  // not this
  EXPECT_EQ(read.code_at(here), "const auto here = std::source_location::current();");
  EXPECT_EQ(read.at({}), "");
}

}  // namespace
