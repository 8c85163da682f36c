// Goal: levity's picture of a machine is the machine, for those that nobody here has: four nodes, nodes without CPUs or memory,
// CPUs off line, caches that are not told. Method: a folder like /sys is written from a list of CPUs and read back; libhwloc,
// where it is there, reads the same folder, and its own synthetic machines are read through the same interface.

#include "platform/topology.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "platform/sysfs_topology.hpp"
#include "tests/support/temporary_folder.hpp"
#if defined(LEVITY_HWLOC)
#include "platform/hwloc_topology.hpp"
#endif

namespace levity::inline v0::detail {
namespace {

// A machine to be written down.
struct machine {
  struct cpu {
    unsigned id, core, cache, node;
    bool online = true;
  };
  std::vector<cpu> cpus;
  std::vector<topology::node> nodes;
  bool tells_caches = true;
  bool tells_cores = true;
  bool old_names = false;  // as kernels before 5.3
  bool has_masks = false;  // what libhwloc needs, too
};

// Threads of a core are numbered as on most PCs: the second ones after all the first ones.
machine regular(unsigned nodes, unsigned caches, unsigned cores, unsigned threads) {
  machine made;
  const unsigned all_cores = nodes * caches * cores;
  for (unsigned thread = 0; thread < threads; thread++) {
    for (unsigned core = 0; core < all_cores; core++) {
      made.cpus.push_back({thread * all_cores + core, core, core / cores, core / cores / caches});
    }
  }
  for (unsigned node = 0; node < nodes; node++) made.nodes.push_back({node, true});
  return made;
}

void write(const std::filesystem::path& file, const std::string& text) {
  if (!std::filesystem::exists(file.parent_path())) std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text << "\n";
}

template <class Belongs>
std::string list_of(const machine& all, Belongs belongs) {
  cpu_set found;
  for (const machine::cpu& each : all.cpus) {
    if (each.online && belongs(each)) found.insert(each.id);
  }
  return found.to_string();
}

// What the kernel has for `all`, below root/sys/devices/system.
void write_down(const machine& all, const std::string& root) {
  const std::filesystem::path system = root + "/sys/devices/system";
  const auto mask_of = [](const std::string& list) {
    constexpr unsigned words = 16;  // 512 CPUs
    std::uint32_t mask[words] = {};
    for (const unsigned cpu : cpu_set::parse(list)->numbers()) mask[cpu / 32] |= 1U << cpu % 32;
    std::string text;
    for (unsigned i = words; i-- > 0;) {
      char word[16];
      std::snprintf(word, sizeof word, "%08x%s", mask[i], i > 0 ? "," : "");
      text += word;
    }
    return text;
  };
  write(system / "cpu/online", list_of(all, [](const machine::cpu&) { return true; }));
  cpu_set present;
  for (const machine::cpu& each : all.cpus) present.insert(each.id);
  for (const char* name : {"possible", "present"}) write(system / "cpu" / name, present.to_string());
  std::string cpuinfo;
  for (const machine::cpu& each : all.cpus) {
    const std::filesystem::path cpu = system / "cpu" / ("cpu" + std::to_string(each.id));
    std::filesystem::create_directories(cpu);
    if (each.id != 0) write(cpu / "online", each.online ? "1" : "0");
    if (!each.online) continue;
    cpuinfo += "processor\t: " + std::to_string(each.id) + "\n\n";
    const std::string core = list_of(all, [&](const machine::cpu& other) { return other.core == each.core; });
    const std::string cache = list_of(all, [&](const machine::cpu& other) { return other.cache == each.cache; });
    const std::string package = list_of(all, [&](const machine::cpu& other) { return other.node == each.node; });
    if (all.tells_cores) {
      const std::string name = all.old_names ? "thread_siblings" : "core_cpus";
      write(cpu / "topology" / (name + "_list"), core);
      if (all.has_masks) {
        write(cpu / "topology" / name, mask_of(core));
        write(cpu / "topology/core_id", std::to_string(each.core));
        write(cpu / "topology/physical_package_id", std::to_string(each.node));
        write(cpu / "topology" / (all.old_names ? "core_siblings" : "package_cpus"), mask_of(package));
      }
    }
    if (!all.tells_caches) continue;
    // An instruction cache on the deepest level must not be taken for the one that matters.
    const struct { const char* level; const char* type; std::string shared; } caches[] = {
        {"1", "Data", core}, {"3", "Unified", cache}, {"4", "Instruction", core}};
    for (unsigned i = 0; i < std::size(caches); i++) {
      const std::filesystem::path index = cpu / "cache" / ("index" + std::to_string(i));
      write(index / "level", caches[i].level);
      write(index / "type", caches[i].type);
      write(index / "shared_cpu_list", caches[i].shared);
      if (!all.has_masks) continue;
      write(index / "size", "512K");
      write(index / "coherency_line_size", "64");
      write(index / "shared_cpu_map", mask_of(caches[i].shared));
    }
  }
  write(root + "/proc/cpuinfo", cpuinfo);
  cpu_set online, with_memory, with_cpus;
  for (const topology::node& each : all.nodes) {
    online.insert(each.id);
    if (each.has_memory) with_memory.insert(each.id);
    const std::filesystem::path node = system / "node" / ("node" + std::to_string(each.id));
    const std::string cpus = list_of(all, [&](const machine::cpu& cpu) { return cpu.node == each.id; });
    if (!cpus.empty()) with_cpus.insert(each.id);
    write(node / "cpulist", cpus);
    write(node / "cpumap", mask_of(cpus));
    const std::string kilobytes = each.has_memory ? "1048576" : "0";
    write(node / "meminfo", "Node " + std::to_string(each.id) + " MemTotal:       " + kilobytes + " kB");
  }
  if (all.nodes.empty()) return;
  for (const char* name : {"online", "possible"}) write(system / "node" / name, online.to_string());
  write(system / "node/has_memory", with_memory.to_string());
  write(system / "node/has_cpu", with_cpus.to_string());
}

// What is to be read of it.
topology expected(const machine& all) {
  std::vector<topology::found> cpus;
  for (const machine::cpu& each : all.cpus) {
    if (!each.online) continue;
    topology::found& found = cpus.emplace_back();
    found.id = each.id;
    if (all.tells_cores) found.core = each.core;
    if (all.tells_caches) found.cache = each.cache;
    found.node = each.node;
  }
  return topology::of(cpus, all.nodes);
}

topology read_back(const machine& all) {
  const test::temporary_folder root = test::temporary_folder::in_memory();
  write_down(all, root.path());
  const std::optional<topology> read = read_sysfs_topology(root.path() + "/sys/devices/system");
  EXPECT_TRUE(read);
  return read.value_or(topology{});
}

const topology::cpu& cpu_of(const topology& in, unsigned id) {
  return *std::find_if(in.cpus.begin(), in.cpus.end(), [id](const topology::cpu& each) { return each.id == id; });
}

template <class Group>
std::size_t groups(const topology& in, Group group) {
  std::set<unsigned> names;
  for (const topology::cpu& each : in.cpus) names.insert(each.*group);
  return names.size();
}

TEST(topology, four_nodes_of_64_cores_of_two_threads_are_read) {
  const machine all = regular(4, 8, 8, 2);
  const topology read = read_back(all);
  EXPECT_EQ(read.cpus.size(), 512U);
  EXPECT_EQ(groups(read, &topology::cpu::core), 256U);
  EXPECT_EQ(groups(read, &topology::cpu::cache), 32U);
  EXPECT_EQ(groups(read, &topology::cpu::node), 4U);
  EXPECT_EQ(read.nodes_with_cpus(), 4U);
  // CPU 300 is the second thread of core 44, the fifth of the sixth cache of node 0.
  EXPECT_EQ(cpu_of(read, 300), (topology::cpu{300, 44, 40, 0, 1}));
  EXPECT_EQ(cpu_of(read, 511), (topology::cpu{511, 255, 248, 3, 1}));
  EXPECT_EQ(read.cpus_of(2).to_string(), "128-191,384-447");
}

TEST(topology, any_machine_is_read_as_it_was_written) {
  for (std::uint64_t seed = 1; seed <= 60; seed++) {
    rng random(seed);
    const auto up_to = [&random](unsigned most) { return 1 + static_cast<unsigned>(random.below(most)); };
    machine all = regular(up_to(4), up_to(2), up_to(3), up_to(2));
    all.old_names = random.below(2) == 0;
    all.tells_caches = random.below(4) != 0;
    all.tells_cores = random.below(4) != 0;
    for (machine::cpu& each : all.cpus) each.online = each.id == 0 || random.below(5) != 0;
    EXPECT_EQ(read_back(all), expected(all)) << "seed " << seed;
  }
}

TEST(topology, a_cpu_that_is_off_line_is_not_there) {
  machine all = regular(2, 1, 2, 2);
  all.cpus[1].online = false;  // the first thread of core 1
  const topology read = read_back(all);
  EXPECT_EQ(read.cpus.size(), 7U);
  EXPECT_EQ(read.cpus_of(0).to_string(), "0,4-5");
  EXPECT_EQ(cpu_of(read, 5), (topology::cpu{5, 5, 0, 0, 0}));  // alone on its core now
}

TEST(topology, a_node_without_cpus_is_a_node_and_holds_none) {
  machine all = regular(2, 1, 2, 1);
  all.nodes.push_back({7, true});
  const topology read = read_back(all);
  EXPECT_EQ(read.nodes, all.nodes);
  EXPECT_EQ(read.nodes_with_cpus(), 2U);
  EXPECT_TRUE(read.cpus_of(7).empty());
}

TEST(topology, a_node_without_memory_is_told_from_the_others) {
  machine all = regular(3, 1, 2, 1);
  all.nodes[1].has_memory = false;
  const topology read = read_back(all);
  EXPECT_EQ(read.nodes, all.nodes);
  EXPECT_EQ(read.nodes_with_cpus(), 3U);
}

TEST(topology, without_nodes_all_is_node_0) {
  machine all = regular(2, 2, 2, 1);
  all.nodes.clear();
  const topology read = read_back(all);
  EXPECT_EQ(read.nodes, (std::vector<topology::node>{{0, true}}));
  EXPECT_EQ(read.cpus_of(0).to_string(), "0-7");
  EXPECT_EQ(groups(read, &topology::cpu::cache), 4U);
}

TEST(topology, a_cache_that_reaches_over_nodes_is_cut_at_their_edge) {
  machine all = regular(2, 1, 4, 1);
  for (machine::cpu& each : all.cpus) each.cache = 0;
  const topology read = read_back(all);
  EXPECT_EQ(cpu_of(read, 3).cache, 0U);
  EXPECT_EQ(cpu_of(read, 4).cache, 4U);
  EXPECT_EQ(cpu_of(read, 7).cache, 4U);
}

TEST(topology, a_core_that_reaches_over_caches_is_cut_at_their_edge) {
  machine all = regular(1, 2, 1, 2);  // cores {0,2} and {1,3}, a cache each
  for (machine::cpu& each : all.cpus) each.core = 0;
  const topology read = read_back(all);
  EXPECT_EQ(cpu_of(read, 2), (topology::cpu{2, 0, 0, 0, 1}));
  EXPECT_EQ(cpu_of(read, 1), (topology::cpu{1, 1, 1, 0, 0}));
  EXPECT_EQ(cpu_of(read, 3), (topology::cpu{3, 1, 1, 0, 1}));
}

TEST(topology, a_cache_that_is_not_told_is_the_nodes) {
  machine all = regular(2, 2, 2, 1);
  all.tells_caches = false;
  const topology read = read_back(all);
  EXPECT_EQ(cpu_of(read, 3).cache, 0U);
  EXPECT_EQ(cpu_of(read, 4).cache, 4U);
  EXPECT_EQ(groups(read, &topology::cpu::core), 8U);
}

TEST(topology, of_a_cpuset_only_its_cpus_are_there) {
  const topology read = read_back(regular(2, 2, 2, 2)).restricted_to({1, 5, 6, 13, 99});
  EXPECT_EQ(read.cpus, (std::vector<topology::cpu>{
                           {1, 1, 1, 0, 0}, {5, 5, 5, 1, 0}, {6, 6, 6, 1, 0}, {13, 5, 5, 1, 1}}));
  EXPECT_EQ(read.nodes.size(), 2U);
}

TEST(topology, where_nothing_is_known_each_allowed_cpu_stands_alone) {
  const topology unknown = topology{}.restricted_to({2, 3});
  EXPECT_EQ(unknown.cpus, (std::vector<topology::cpu>{{2, 2, 2, 0, 0}, {3, 3, 2, 0, 0}}));
  EXPECT_EQ(unknown.nodes, (std::vector<topology::node>{{0, true}}));
  EXPECT_EQ(read_sysfs_topology("/no/such/folder"), std::nullopt);
}

TEST(topology, this_machine_has_the_cpus_that_this_thread_may_use) {
  const cpu_set allowed = cpu_set::of_this_thread();
  const topology here = read_topology();
  const topology ours = here.restricted_to(allowed);
  ASSERT_EQ(ours.cpus.size(), allowed.count());
  for (const topology::cpu& each : ours.cpus) EXPECT_TRUE(allowed.contains(each.id));
  EXPECT_GE(ours.nodes_with_cpus(), 1U);
}

#if defined(LEVITY_HWLOC)

// A topology of libhwloc's, for as long as it is looked at.
class hwloc {
public:
  hwloc() { hwloc_topology_init(&machine_); }
  hwloc(const hwloc&) = delete;
  hwloc& operator=(const hwloc&) = delete;
  ~hwloc() { hwloc_topology_destroy(machine_); }
  [[nodiscard]] topology load() {
    hwloc_topology_set_flags(machine_, HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING | HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    EXPECT_EQ(hwloc_topology_load(machine_), 0);
    return topology_of(machine_);
  }
  [[nodiscard]] topology synthetic(const char* description) {
    EXPECT_EQ(hwloc_topology_set_synthetic(machine_, description), 0) << description;
    return load();
  }

private:
  hwloc_topology_t machine_ = nullptr;
};

TEST(hwloc_topology, four_nodes_of_64_cores_of_two_threads_are_read) {
  const topology read = hwloc().synthetic("numa:4 l3:8 core:8 pu:2");
  EXPECT_EQ(read.cpus.size(), 512U);
  EXPECT_EQ(groups(read, &topology::cpu::core), 256U);
  EXPECT_EQ(groups(read, &topology::cpu::cache), 32U);
  EXPECT_EQ(read.nodes_with_cpus(), 4U);
  // Threads of a core are neighbours by number here.
  EXPECT_EQ(cpu_of(read, 301), (topology::cpu{301, 300, 288, 2, 1}));
}

TEST(hwloc_topology, a_machine_without_caches_or_with_one_node_is_read) {
  const topology flat = hwloc().synthetic("core:4 pu:1");
  EXPECT_EQ(flat.cpus.size(), 4U);
  EXPECT_EQ(groups(flat, &topology::cpu::cache), 1U);
  EXPECT_EQ(flat.nodes_with_cpus(), 1U);
  const topology shallow = hwloc().synthetic("numa:2 l2:2 core:2 pu:1");
  EXPECT_EQ(groups(shallow, &topology::cpu::cache), 4U);
}

TEST(hwloc_topology, memory_beside_that_of_a_node_does_not_take_its_cpus) {
  const topology read = hwloc().synthetic("[numa] pack:2 [numa] core:2 pu:1");
  EXPECT_EQ(read.nodes.size(), 3U);
  EXPECT_EQ(read.nodes_with_cpus(), 2U);
}

// Both readers look at the same files of the same machine that does not exist.
TEST(hwloc_topology, and_our_own_reader_see_the_same) {
  for (std::uint64_t seed = 1; seed <= 30; seed++) {
    rng random(seed);
    const auto up_to = [&random](unsigned most) { return 1 + static_cast<unsigned>(random.below(most)); };
    machine all = regular(up_to(4), up_to(2), up_to(3), up_to(2));
    all.has_masks = true;
    all.old_names = random.below(2) == 0;
    for (machine::cpu& each : all.cpus) each.online = each.id == 0 || random.below(5) != 0;
    if (random.below(3) == 0) all.nodes.back().has_memory = false;
    if (random.below(3) == 0) all.nodes.push_back({static_cast<unsigned>(all.nodes.size()), true});
    const test::temporary_folder root = test::temporary_folder::in_memory();
    write_down(all, root.path());
    ::setenv("HWLOC_FSROOT", root.path().c_str(), 1);
    ::setenv("HWLOC_COMPONENTS", "linux,stop", 1);
    const topology theirs = hwloc().load();
    ::unsetenv("HWLOC_FSROOT");
    ::unsetenv("HWLOC_COMPONENTS");
    const std::optional<topology> ours = read_sysfs_topology(root.path() + "/sys/devices/system");
    ASSERT_TRUE(ours);
    EXPECT_EQ(theirs.cpus, ours->cpus) << "seed " << seed;
    EXPECT_EQ(theirs.nodes, ours->nodes) << "seed " << seed;
  }
}

TEST(hwloc_topology, of_this_machine_is_what_we_read) {
  const std::optional<topology> theirs = read_hwloc_topology();
  ASSERT_TRUE(theirs);
  const cpu_set allowed = cpu_set::of_this_thread();
  EXPECT_EQ(theirs->restricted_to(allowed).cpus, read_topology().restricted_to(allowed).cpus);
}

#endif

}  // namespace
}  // namespace levity::detail
