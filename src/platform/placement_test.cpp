// What a placement promises, of machines of every shape and every set of allowed CPUs.

#include "platform/placement.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "tests/support/regular_machine.hpp"

namespace levity::inline v0::detail {
namespace {

using test::regular;

std::vector<unsigned> ids(const placement& of) {
  std::vector<unsigned> all;
  for (const topology::cpu& each : of) all.push_back(each.id);
  return all;
}

cpu_set all_of(const topology& machine) {
  cpu_set all;
  for (const topology::cpu& each : machine.cpus) all.insert(each.id);
  return all;
}

// Nodes, caches and cores of any size, with any number of threads each, and any CPUs of them allowed.
struct drawn {
  explicit drawn(std::uint64_t seed) {
    rng random(seed);
    const auto up_to = [&random](unsigned most) { return 1 + static_cast<unsigned>(random.below(most)); };
    std::vector<topology::found> cpus;
    std::vector<unsigned> numbers(1024);
    for (unsigned i = 0; i < numbers.size(); i++) numbers[i] = i;
    for (std::size_t i = numbers.size(); i-- > 1;) std::swap(numbers[i], numbers[random.below(i + 1)]);
    unsigned core = 0;
    unsigned cache = 0;
    for (unsigned node = 0, nodes = up_to(4); node < nodes; node++) {
      for (unsigned caches = up_to(4); caches > 0; caches--, cache++) {
        for (unsigned cores = up_to(16); cores > 0; cores--, core++) {
          for (unsigned threads = up_to(2); threads > 0; threads--) {
            cpus.push_back({numbers[cpus.size()], core, cache, 2 * node});
          }
        }
      }
    }
    machine = topology::of(cpus, {});
    const unsigned keep = up_to(4);
    for (const topology::cpu& each : machine.cpus) {
      if (random.below(4) < keep) allowed.insert(each.id);
    }
    if (allowed.empty()) allowed.insert(machine.cpus.front().id);
    usable = machine.restricted_to(allowed);
    slots = up_to(2 * allowed.count());
    placed = place_slots(machine, allowed, slots);
  }

  topology machine;
  cpu_set allowed;
  topology usable;
  unsigned slots;
  placement placed;
};

constexpr std::uint64_t seeds = 300;

TEST(placement, of_two_nodes_takes_turns) {
  EXPECT_EQ(ids(place_slots(regular(2, 1, 4, 1), cpu_set{0, 1, 2, 3, 4, 5, 6, 7}, 6)), (std::vector<unsigned>{0, 4, 1, 5, 2, 6}));
}

TEST(placement, fills_a_cache_and_leaves_second_threads_for_last) {
  const topology machine = regular(1, 2, 2, 2);  // caches {0,1},{2,3}; second threads 4-7
  EXPECT_EQ(ids(place_slots(machine, all_of(machine), 8)), (std::vector<unsigned>{0, 1, 2, 3, 4, 5, 6, 7}));
  // The first thread of core 0 may not be used: its second one is then its only one.
  EXPECT_EQ(ids(place_slots(machine, {1, 2, 4, 5}, 4)), (std::vector<unsigned>{1, 4, 2, 5}));
}

TEST(placement, gives_a_node_slots_as_it_has_cpus) {
  const topology machine = regular(2, 1, 32, 1);
  cpu_set allowed{0};
  for (unsigned cpu = 32; cpu < 63; cpu++) allowed.insert(cpu);
  const placement placed = place_slots(machine, allowed, 32);
  EXPECT_EQ(std::count_if(placed.begin(), placed.end(), [](const topology::cpu& each) { return each.node == 0; }), 1);
  EXPECT_EQ(placed.front().node, 1U);
}

TEST(placement, puts_slots_on_allowed_cpus_and_on_each_as_often_as_on_any) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    const drawn it(seed);
    ASSERT_EQ(it.placed.size(), it.slots);
    std::map<unsigned, unsigned> on;
    for (const topology::cpu& each : it.usable.cpus) on[each.id] = 0;
    for (const topology::cpu& each : it.placed) {
      ASSERT_TRUE(it.allowed.contains(each.id)) << "seed " << seed;
      on[each.id]++;
    }
    unsigned least = it.slots;
    unsigned most = 0;
    for (const auto& [id, count] : on) {
      least = std::min(least, count);
      most = std::max(most, count);
    }
    EXPECT_LE(most - least, 1U) << "seed " << seed;
  }
}

TEST(placement, of_fewer_slots_is_the_beginning_of_that_of_more) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    const drawn it(seed);
    for (unsigned fewer = 1; fewer < it.slots; fewer += 1 + fewer / 3) {
      const placement less = place_slots(it.machine, it.allowed, fewer);
      EXPECT_TRUE(std::equal(less.begin(), less.end(), it.placed.begin())) << "seed " << seed << ", " << fewer;
    }
  }
}

TEST(placement, takes_no_second_thread_while_a_core_is_free) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    const drawn it(seed);
    const std::size_t once = std::min<std::size_t>(it.slots, it.allowed.count());
    for (std::size_t i = 1; i < once; i++) EXPECT_LE(it.placed[i - 1].sibling, it.placed[i].sibling) << "seed " << seed;
  }
}

// Of all slots that are first threads: at every length, and for every node.
TEST(placement, gives_every_node_at_least_the_whole_part_of_its_share) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    const drawn it(seed);
    std::map<unsigned, std::size_t> cores;
    std::size_t all = 0;
    for (const topology::cpu& each : it.usable.cpus) {
      if (each.sibling != 0) continue;
      cores[each.node]++;
      all++;
    }
    std::map<unsigned, std::size_t> slots;
    for (std::size_t k = 1; k <= std::min<std::size_t>(it.slots, all); k++) {
      slots[it.placed[k - 1].node]++;
      for (const auto& [node, count] : cores) {
        EXPECT_GE(slots[node], k * count / all) << "seed " << seed << ", node " << node << " of " << k << " slots";
      }
    }
  }
}

// At most one cache of a node has both a core that is taken and one that is free.
TEST(placement, fills_one_cache_of_a_node_after_the_other) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    const drawn it(seed);
    std::map<unsigned, std::map<unsigned, unsigned>> free;  // by node, by cache: cores
    for (const topology::cpu& each : it.usable.cpus) {
      if (each.sibling == 0) free[each.node][each.cache]++;
    }
    const auto whole = free;
    for (const topology::cpu& each : it.placed) {
      if (each.sibling != 0) break;
      if (free[each.node][each.cache] == 0) break;  // from the first again
      free[each.node][each.cache]--;
      unsigned begun = 0;
      for (const auto& [cache, left] : free[each.node]) begun += left > 0 && left < whole.at(each.node).at(cache) ? 1 : 0;
      EXPECT_LE(begun, 1U) << "seed " << seed;
    }
  }
}

TEST(placement, is_the_same_each_time) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    const drawn it(seed);
    EXPECT_EQ(place_slots(it.machine, it.allowed, it.slots), it.placed) << "seed " << seed;
  }
}

}  // namespace
}  // namespace levity::detail
