// The walk over the choices of all runs: each leaf once, in which order, and within which bounds.

#include "sim/choice_path.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace levity::inline v0::sim {
namespace {

using line = std::vector<unsigned>;

// One run: `of_first` things to choose from, and behind the first of them two more.
line run_once(choice_path& path, unsigned of_first) {
  path.begin();
  line chosen{path.choose(of_first)};
  if (chosen[0] == 0) chosen.push_back(path.choose(2));
  EXPECT_TRUE(path.end());
  return chosen;
}

std::vector<line> all_runs(choice_path& path, unsigned of_first) {
  std::vector<line> all;
  do {
    all.push_back(run_once(path, of_first));
  } while (path.next());
  return all;
}

constexpr std::uint64_t without_bound = ~std::uint64_t{0};

}  // namespace

TEST(choice_path, comes_by_each_leaf_once_the_plainest_first) {
  choice_path path(without_bound);
  EXPECT_EQ(all_runs(path, 3), (std::vector<line>{{0, 0}, {0, 1}, {1}, {2}}));
  EXPECT_FALSE(path.is_bounded());
}

TEST(choice_path, has_one_run_where_there_is_nothing_to_choose) {
  choice_path path(without_bound);
  path.begin();
  EXPECT_TRUE(path.end());
  EXPECT_TRUE(path.choices().empty());
  EXPECT_FALSE(path.next());
}

TEST(choice_path, makes_no_more_delays_than_it_may_and_says_that_some_are_left) {
  choice_path one(1);
  EXPECT_EQ(all_runs(one, 3), (std::vector<line>{{0, 0}, {0, 1}, {1}}));
  EXPECT_TRUE(one.is_bounded());
  choice_path two(2);
  EXPECT_EQ(all_runs(two, 3).size(), 4U);
  EXPECT_FALSE(two.is_bounded()) << "nothing needs more";
}

TEST(choice_path, knows_the_choices_of_the_run_that_is_about_to_begin) {
  choice_path path(without_bound);
  (void)run_once(path, 3);
  EXPECT_EQ(path.choices(), line{}) << "zeros at the end go without saying";
  ASSERT_TRUE(path.next());
  path.begin();
  EXPECT_EQ(path.choices(), (line{0, 1}));
}

TEST(choice_path, that_is_given_is_made_and_then_zeros_and_there_is_no_other_run) {
  choice_path path(line{0, 1});
  for (int i = 0; i < 2; i++) EXPECT_EQ(run_once(path, 3), (line{0, 1}));
  EXPECT_EQ(path.choices(), (line{0, 1}));
  EXPECT_FALSE(path.next());
  choice_path none((line()));
  EXPECT_EQ(run_once(none, 3), (line{0, 0}));
}

TEST(choice_path, that_is_given_to_another_run_stays_within_what_there_is) {
  choice_path path(line{5, 7});
  EXPECT_EQ(run_once(path, 3), line{2});
  EXPECT_EQ(path.choices(), line{2}) << "as it was made, not as it was given";
}

TEST(choice_path, sees_a_run_that_asks_for_something_else) {
  choice_path path(without_bound);
  (void)run_once(path, 3);
  ASSERT_TRUE(path.next());
  path.begin();
  EXPECT_EQ(path.choose(2), 0U);
  EXPECT_EQ(path.choose(2), 1U);
  EXPECT_FALSE(path.end());
}

TEST(choice_path, sees_a_run_that_asks_for_less) {
  choice_path path(without_bound);
  (void)run_once(path, 3);
  ASSERT_TRUE(path.next());
  path.begin();
  EXPECT_EQ(path.choose(3), 0U);
  EXPECT_FALSE(path.end());
}

}  // namespace levity::sim
