#pragma once

// shrink: the least of a fault plan that still brings a failure about. First fewer faults, by delta debugging (Zeller and
// Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002), then shorter ones, then rounder times; and
// again from the beginning as long as fewer will do.

#include <functional>

#include "levity/sim/fault_plan.hpp"

namespace levity::inline v0::sim {

struct shrunk_plan {
  fault_plan plan;
  unsigned runs = 0;      // that it took
  bool is_least = true;   // nothing was left to try: not when the runs were used up before
};

/// `failing` fails; whether another plan does, `fails` tells, and is asked so many times at most.
[[nodiscard]] shrunk_plan shrink(fault_plan failing, const std::function<bool(const fault_plan&)>& fails, unsigned runs_max);

}  // namespace levity::sim
