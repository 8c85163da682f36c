#pragma once

// placement: on which CPU, and so on which core, cache and node, each slot is at home.
//
// One order of the allowed CPUs; slot i has the i-th, beyond the last from the first again. In it
//
//   1. a core's second thread comes after the first one of every core, on all nodes: it adds a third of a core, not one;
//   2. the nodes take turns, each as often as it has CPUs of that kind: of every first k slots a node with c of all C cores
//      has at least the whole part of k * c / C (highest averages, D'Hondt's method);
//   3. within a node one cache is filled after the other, so that neighbours by number share one.
//
// The first k slots of n are placed as k slots would be: where the number of slots follows a limit, those that stay do not move.

#include <vector>

#include "platform/topology.hpp"

namespace levity::inline v0::detail {

using placement = std::vector<topology::cpu>;  // by slot

/// A pure function of its arguments. `allowed` is not empty. O(n log n + slots).
placement place_slots(const topology& machine, const cpu_set& allowed, unsigned slots);

}  // namespace levity::detail
