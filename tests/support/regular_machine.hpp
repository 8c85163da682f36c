#pragma once

#include <vector>

#include "platform/topology.hpp"

namespace levity::test {

/// A machine of so many nodes, last-level caches a node, cores a cache and threads a core; a CPU's number counts the cores first.
inline detail::topology regular(unsigned nodes, unsigned caches, unsigned cores, unsigned threads) {
  std::vector<detail::topology::found> cpus;
  const unsigned all_cores = nodes * caches * cores;
  for (unsigned id = 0; id < all_cores * threads; id++) {
    const unsigned core = id % all_cores;
    cpus.push_back({id, core, core / cores, core / cores / caches});
  }
  return detail::topology::of(cpus, {});
}

}  // namespace levity::test
