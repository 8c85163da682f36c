#include "platform/topology.hpp"

#include <sched.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "platform/sysfs_topology.hpp"
#include "platform/text_file.hpp"
#if defined(LEVITY_HWLOC)
#include "platform/hwloc_topology.hpp"
#endif

namespace levity::inline v0::detail {

topology topology::of(const std::vector<found>& cpus, std::vector<node> nodes) {
  topology made;
  std::sort(nodes.begin(), nodes.end(), [](const node& a, const node& b) { return a.id < b.id; });
  const unsigned lowest_node = nodes.empty() ? 0 : nodes.front().id;
  for (const found& each : cpus) {
    const unsigned of_node = each.node.value_or(lowest_node);
    const auto known = [of_node](const node& one) { return one.id == of_node; };
    if (std::none_of(nodes.begin(), nodes.end(), known)) nodes.push_back({of_node, true});
  }
  std::sort(nodes.begin(), nodes.end(), [](const node& a, const node& b) { return a.id < b.id; });
  made.nodes = std::move(nodes);

  std::vector<found> sorted = cpus;
  std::sort(sorted.begin(), sorted.end(), [](const found& a, const found& b) { return a.id < b.id; });
  // The lowest CPU of a group comes first and names it. A group without a name of its own is the one around it, or the CPU.
  using cache_key = std::tuple<unsigned, bool, unsigned>;
  using core_key = std::tuple<unsigned, bool, unsigned>;
  std::map<cache_key, unsigned> caches;
  std::map<core_key, unsigned> cores;
  std::map<unsigned, unsigned> siblings;
  for (const found& each : sorted) {
    cpu of_it;
    of_it.id = each.id;
    of_it.node = each.node.value_or(lowest_node);
    of_it.cache = caches.try_emplace({of_it.node, each.cache.has_value(), each.cache.value_or(0)}, each.id).first->second;
    of_it.core = cores.try_emplace({of_it.cache, each.core.has_value(), each.core.value_or(each.id)}, each.id).first->second;
    of_it.sibling = siblings[of_it.core]++;
    made.cpus.push_back(of_it);
  }
  return made;
}

topology topology::restricted_to(const cpu_set& allowed) const {
  std::vector<found> left;
  for (const cpu& each : cpus) {
    if (allowed.contains(each.id)) left.push_back({each.id, each.core, each.cache, each.node});
  }
  if (left.empty()) {
    for (const unsigned id : allowed.numbers()) left.push_back({id, std::nullopt, std::nullopt, std::nullopt});
  }
  return of(left, nodes);
}

cpu_set topology::cpus_of(unsigned of_node) const {
  cpu_set there;
  for (const cpu& each : cpus) {
    if (each.node == of_node) there.insert(each.id);
  }
  return there;
}

unsigned topology::nodes_with_cpus() const {
  return static_cast<unsigned>(
      std::count_if(nodes.begin(), nodes.end(), [this](const node& each) { return !cpus_of(each.id).empty(); }));
}

bool has_several_nodes() {
  const std::optional<std::string> text = read_text("/sys/devices/system/node/has_cpu");
  return text && cpu_set::parse(*text).value_or(cpu_set{}).count() > 1;
}

topology read_topology() {
#if defined(LEVITY_HWLOC)
  if (std::optional<topology> read = read_hwloc_topology()) return *std::move(read);
#endif
  return read_sysfs_topology("/sys/devices/system").value_or(topology{});
}

unsigned node_of_this_thread() noexcept {
  unsigned cpu = 0;
  unsigned node = 0;
  if (::getcpu(&cpu, &node) != 0) return 0;  // a kernel without the call
  return node;
}

}  // namespace levity::detail
