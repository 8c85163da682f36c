#pragma once

// The machine as libhwloc sees it. A header, for two include it: topology.cpp in builds with LEVITY_HWLOC, and the tests, which
// hold both readers against each other. So the library needs libhwloc only where it was asked for.
//
// Off unless asked for, by measurement (docs/design/0020): on two CPUs a look costs 2 ms and 0.7 MiB that stay, and brings libudev
// and libm; /sys read by ourselves 0.1 ms and nothing.

#include <hwloc.h>

#include <optional>
#include <utility>
#include <vector>

#include "platform/topology.hpp"

namespace levity::inline v0::detail {

/// Of a topology that is loaded.
inline topology topology_of(hwloc_topology_t machine) {
  std::vector<topology::node> nodes;
  for (hwloc_obj_t node = nullptr; (node = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
    nodes.push_back({node->os_index, node->attr->numanode.local_memory > 0});
  }
  std::vector<topology::found> cpus;
  for (hwloc_obj_t cpu = nullptr; (cpu = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_PU, cpu)) != nullptr;) {
    topology::found& found = cpus.emplace_back();
    found.id = cpu->os_index;
    for (hwloc_obj_t above = cpu->parent; above != nullptr; above = above->parent) {
      const auto lowest = static_cast<unsigned>(hwloc_bitmap_first(above->cpuset));
      if (above->type == HWLOC_OBJ_CORE) found.core = lowest;
      if (hwloc_obj_type_is_dcache(above->type) != 0) found.cache = lowest;  // the last one is the last level
    }
    // Memory without CPUs of its own is local to all that are around it; the node of a CPU is the one with the fewest others.
    int fewest = 0;
    for (hwloc_obj_t node = nullptr; (node = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
      const int weight = hwloc_bitmap_weight(node->cpuset);
      if (hwloc_bitmap_isset(node->cpuset, cpu->os_index) == 0 || (found.node && weight >= fewest)) continue;
      found.node = node->os_index;
      fewest = weight;
    }
  }
  return topology::of(cpus, std::move(nodes));
}

/// This machine. Nothing if the library cannot say.
inline std::optional<topology> read_hwloc_topology() {
  hwloc_topology_t machine;
  if (hwloc_topology_init(&machine) != 0) return std::nullopt;
  // Of all it can look for, what is asked here; and never by moving this thread from CPU to CPU.
  hwloc_topology_set_all_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_NONE);
  hwloc_topology_set_type_filter(machine, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL);
  hwloc_topology_set_cache_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_ALL);
  hwloc_topology_set_flags(machine, HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING);
  std::optional<topology> read;
  if (hwloc_topology_load(machine) == 0) read = topology_of(machine);
  hwloc_topology_destroy(machine);
  if (read && read->cpus.empty()) read.reset();
  return read;
}

}  // namespace levity::detail
