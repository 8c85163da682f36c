// What the kernel writes (Documentation/ABI/stable/sysfs-devices-node, sysfs-devices-system-cpu), a list of numbers each:
//
//   cpu/online                          a CPU that is off line has a folder, but no topology and no caches in it
//   cpu/cpuN/topology/core_cpus_list    the threads of its core; before Linux 5.3 thread_siblings_list
//   cpu/cpuN/cache/indexK/              level, type, shared_cpu_list; not there on some virtual machines and some ARM
//   node/online, node/nodeM/cpulist     not there in a kernel without NUMA
//   node/has_memory                     the nodes that have some; before Linux 3.8 not there

#include "platform/sysfs_topology.hpp"

#include <charconv>
#include <map>
#include <vector>

#include "platform/text_file.hpp"

namespace levity::inline v0::detail {
namespace {

std::optional<cpu_set> read_set(const std::string& path) {
  const std::optional<std::string> text = read_text(path);
  return text ? cpu_set::parse(*text) : std::nullopt;
}

std::optional<unsigned> lowest_of(const std::optional<cpu_set>& cpus) {
  if (!cpus || cpus->empty()) return std::nullopt;
  return cpus->numbers().front();
}

// The last level of those that hold data.
std::optional<unsigned> last_level_cache(const std::string& cpu) {
  constexpr unsigned caches_max = 16;
  unsigned deepest = 0;
  std::string folder;
  for (unsigned i = 0; i < caches_max; i++) {
    const std::string cache = cpu + "/cache/index" + std::to_string(i);
    const std::optional<std::string> text = read_text(cache + "/level");
    if (!text) break;
    unsigned level = 0;
    std::from_chars(text->data(), text->data() + text->size(), level);
    if (level <= deepest || read_text(cache + "/type") == "Instruction") continue;
    deepest = level;
    folder = cache;
  }
  return folder.empty() ? std::nullopt : lowest_of(read_set(folder + "/shared_cpu_list"));
}

}  // namespace

std::optional<topology> read_sysfs_topology(const std::string& system) {
  const std::optional<cpu_set> online = read_set(system + "/cpu/online");
  if (!online || online->empty()) return std::nullopt;

  std::vector<topology::node> nodes;
  std::map<unsigned, unsigned> node_of;
  const std::optional<cpu_set> with_memory = read_set(system + "/node/has_memory");
  for (const unsigned node : read_set(system + "/node/online").value_or(cpu_set{}).numbers()) {
    nodes.push_back({node, !with_memory || with_memory->contains(node)});
    const std::string list = system + "/node/node" + std::to_string(node) + "/cpulist";
    for (const unsigned cpu : read_set(list).value_or(cpu_set{}).numbers()) node_of.try_emplace(cpu, node);
  }

  std::vector<topology::found> cpus;
  for (const unsigned id : online->numbers()) {
    const std::string cpu = system + "/cpu/cpu" + std::to_string(id);
    topology::found& found = cpus.emplace_back();
    found.id = id;
    found.core = lowest_of(read_set(cpu + "/topology/core_cpus_list"));
    if (!found.core) found.core = lowest_of(read_set(cpu + "/topology/thread_siblings_list"));
    found.cache = last_level_cache(cpu);
    if (const auto node = node_of.find(id); node != node_of.end()) found.node = node->second;
  }
  return topology::of(cpus, std::move(nodes));
}

}  // namespace levity::detail
