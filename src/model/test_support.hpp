#pragma once

// Shared by tests of the explorer: small programs, and all that they can end with. Each is explored with everything that the search
// leaves out, and without, which must make no difference.

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "levity/model/explore.hpp"

namespace levity::inline v0::model::test {

inline constexpr auto relaxed = std::memory_order_relaxed;
inline constexpr auto acquire = std::memory_order_acquire;
inline constexpr auto release = std::memory_order_release;
inline constexpr auto seq_cst = std::memory_order_seq_cst;

using word = model::atomic<int>;
using outcomes = std::set<std::vector<int>>;

inline const outcomes four{{0, 0}, {0, 1}, {1, 0}, {1, 1}};

template <class Body>
outcomes outcomes_of(Body body, options wanted) {
  outcomes seen;
  const result found = explore(wanted, [&] { seen.insert(body()); });
  EXPECT_FALSE(found.failure) << found.failure->what << '\n' << found.failure->interleaving;
  EXPECT_TRUE(found.complete);
  return seen;
}

/// All outcomes of a body that returns its own.
template <class Body>
outcomes all_of(Body body, options wanted = {}) {
  wanted.reduce = options::reduction::none;
  const outcomes seen = outcomes_of(body, wanted);
  wanted.reduce = options::reduction::sleep;
  EXPECT_EQ(outcomes_of(body, wanted), seen) << "sleep sets miss something";
  wanted.reduce = options::reduction::races;
  EXPECT_EQ(outcomes_of(body, wanted), seen) << "the search for races misses something";
  return seen;
}

/// How a body fails, in one sentence.
template <class Body>
std::string failure_of(Body body, options wanted = {}) {
  const result found = explore(wanted, body);
  return found.failure ? found.failure->what : found.complete ? "none" : "not at the end";
}

}  // namespace levity::model::test
