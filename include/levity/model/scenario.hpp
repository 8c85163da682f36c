#pragma once

// A program of scenarios: pieces of code that are to be explored, each with a name.
//
//   LEVITY_SCENARIO(lamp_is_seen_to_be_lit) { ... the body of explore() ... }
//   LEVITY_SCENARIO(three_thieves, {.preemptions_max = 3}) { ... }
//   int main(int count, char** values) { return levity::model::run_scenarios(count, values); }
//
//   program [--only NAME]... [--executions N] [--random] [--seed N] [--list]
//                                                       N of each at most, and no more than it wants itself
//   LEVITY_MODEL_REPLAY=ANSWERS program --only NAME     the one execution that a failure has printed
//   LEVITY_MODEL_WEAKEN=PATH:LINE,... program           with these operations relaxed, to see that somebody notices; each scenario
//                                                       tells how often it made them
//
// It exits with 1 when a scenario fails, with 2 when its arguments make no sense or the replay does not fit, with 3 when none fails
// and none made a weakened operation.

#include "levity/model/explore.hpp"

namespace levity::inline v0::model {

/// A scenario of this program; made before main() by LEVITY_SCENARIO.
class scenario {
public:
  /// `name` and `body` last as long as the program.
  scenario(const char* name, void (*body)(), options wanted = {});
};

/// Explores the scenarios of this program, or those that the arguments of main() name, prints a line for each, and returns what
/// main() is to return.
int run_scenarios(int count, char** values);

}  // namespace levity::model

/// Defines a scenario: its name, options if others than the default are wanted, and its body.
#define LEVITY_SCENARIO(name, ...)                                                                           \
  static void levity_scenario_##name();                                                                      \
  static const ::levity::model::scenario levity_scenario_of_##name{#name, &levity_scenario_##name __VA_OPT__(, ) __VA_ARGS__}; \
  static void levity_scenario_##name()
