#pragma once

// topology: what levity knows of the machine's CPUs: which share a core, a cache, a node.
//
// Why: a thread that takes work from the other thread of its core finds the data in its first cache; from another node it pays for
// each line with a trip between sockets. Who places slots (placement.hpp) and orders thieves (sched/steal_order.hpp) asks here, and
// neither knows where the answer came from:
//
//   sysfs_topology   /sys/devices/system/{cpu,node}, what every build has
//   hwloc_topology   libhwloc, in builds with LEVITY_HWLOC: it knows machines whose kernel tells less or tells it wrong
//   nothing          a container without /sys: every allowed CPU a core of its own, on node 0
//
// A core, a cache and a node nest, whatever a firmware says: a group that reaches over the edge of what is around it is cut there.
// Groups are called by their lowest usable CPU, nodes by the kernel's number; so two readers that see the same say the same.
// What is not told is taken to be near: CPUs whose last-level cache is not known have the node's.

#include <optional>
#include <vector>

#include "platform/cpu_set.hpp"

namespace levity::inline v0::detail {

struct topology {
  struct cpu {
    unsigned id = 0;
    unsigned core = 0;     // its lowest CPU
    unsigned cache = 0;    // the last level's lowest CPU
    unsigned node = 0;
    unsigned sibling = 0;  // how many usable CPUs of its core have a lower number
    friend bool operator==(const cpu&, const cpu&) = default;
  };
  struct node {
    unsigned id = 0;
    bool has_memory = true;
    friend bool operator==(const node&, const node&) = default;
  };

  std::vector<cpu> cpus;    // usable ones, by number
  std::vector<node> nodes;  // by number; those without CPUs, too

  /// What a reader found of a CPU that is on line; groups have any name that all of their CPUs give them.
  struct found {
    unsigned id = 0;
    std::optional<unsigned> core;
    std::optional<unsigned> cache;
    std::optional<unsigned> node;
  };
  static topology of(const std::vector<found>& cpus, std::vector<node> nodes);

  /// With only those CPUs that are in `allowed`. If that leaves none, because nothing was found or the two do not belong
  /// together: those of `allowed`, about which nothing is known. O(n log n).
  [[nodiscard]] topology restricted_to(const cpu_set& allowed) const;

  [[nodiscard]] cpu_set cpus_of(unsigned of_node) const;
  /// On how many nodes there are CPUs.
  [[nodiscard]] unsigned nodes_with_cpus() const;
  friend bool operator==(const topology&, const topology&) = default;
};

/// Whether CPUs of this machine lie on more than one node, so that it is worth reading. Reads one file. Any thread.
bool has_several_nodes();

/// This machine, all CPUs that are on line. Reads some files a CPU: 0.1 ms and 30 us more each, so not more often than needed. Any
/// thread.
topology read_topology();

/// The kernel's number of the node on whose CPU the calling thread runs just now. Some nanoseconds, no system call. Any thread.
unsigned node_of_this_thread() noexcept;

}  // namespace levity::detail
