// A program of scenarios: what it prints, and what it refuses. Each run is a program of its own, for it may end by std::exit, and
// other tests weaken operations for good.

#include "levity/model/scenario.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

namespace {

namespace model = levity::model;

LEVITY_SCENARIO(passes_once) {
  model::atomic<int> x{0};
  model::together([&] { x.store(1); }, [&] { x.load(); });
}

LEVITY_SCENARIO(waits) {
  model::atomic<int> x{0};
  model::together([&] { x.store(1); },
                  [&] {
                    while (x.load() == 0) model::spin_hint();
                  });
}

LEVITY_SCENARIO(fails_at_once) { model::require(false, "it shall not be"); }

// Both of its streams on the one that gtest looks at.
void run(const char* only, const char* replay) {
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  if (replay != nullptr) ::setenv("LEVITY_MODEL_REPLAY", replay, 1);
  std::array<std::string, 3> arguments{"scenarios", "--only", only};
  std::array<char*, 3> values{arguments[0].data(), arguments[1].data(), arguments[2].data()};
  std::exit(model::run_scenarios(3, values.data()));
}

void expect(const char* only, const char* replay, int exits, const char* prints) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(run(only, replay), testing::ExitedWithCode(exits), prints) << only;
}

TEST(scenarios, say_which_bounds_have_left_something_out) {
  expect("passes_once", nullptr, 0, "ok +passes_once +[0-9]+ executions, all, ");
  expect("waits", nullptr, 0, "ok +waits +[0-9]+ executions, all within bounds \\(hints\\), ");
}

TEST(scenarios, print_a_replay_that_is_read_again) {
  expect("fails_at_once", nullptr, 1, "it shall not be.*LEVITY_MODEL_REPLAY=\\. scenarios --only fails_at_once");
  expect("fails_at_once", ".", 1, "FAILS.*it shall not be");
}

TEST(scenarios, refuse_a_replay_that_says_nothing) {
  expect("passes_once", "", 2, "LEVITY_MODEL_REPLAY is empty; give it the line that a failure has printed");
  expect("passes_once", "ab?!", 2, "LEVITY_MODEL_REPLAY cannot be read at \"\\?!\"");
}

TEST(scenarios, are_not_ok_where_the_replay_went_astray) {
  expect("passes_once", "hhhh", 2, "astray +passes_once .*did not fit");
}

}  // namespace
