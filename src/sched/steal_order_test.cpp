// What an order of victims promises, of machines of every shape.

#include "sched/steal_order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "levity/base/rng.hpp"
#include "tests/support/regular_machine.hpp"

namespace levity::inline v0::detail {
namespace {

using known = steal_order::known;

using test::regular;

placement slots_of(const topology& machine, unsigned slots) {
  cpu_set all;
  for (const topology::cpu& each : machine.cpus) all.insert(each.id);
  return place_slots(machine, all, slots);
}

std::vector<unsigned> visits(const steal_order& order, unsigned slot, std::uint64_t seed) {
  rng random(seed);
  std::vector<unsigned> seen;
  const bool stopped = order.visit(
      slot, [&random](unsigned n) { return random.below(n); },
      [&seen](unsigned victim) {
        seen.push_back(victim);
        return false;
      });
  EXPECT_FALSE(stopped);
  return seen;
}

// How far it is, said another way than in the code: the number of groups that the two do not share.
unsigned distance(const topology::cpu& a, const topology::cpu& b) {
  return (a.core != b.core ? 1 : 0) + (a.cache != b.cache ? 1 : 0) + (a.node != b.node ? 1 : 0);
}

struct drawn {
  explicit drawn(std::uint64_t seed) {
    rng random(seed);
    const auto up_to = [&random](unsigned most) { return 1 + static_cast<unsigned>(random.below(most)); };
    const topology machine = regular(up_to(4), up_to(3), up_to(4), up_to(2));
    places = slots_of(machine, up_to(2 * static_cast<unsigned>(machine.cpus.size())));
  }
  placement places;
};

TEST(steal_order, every_other_slot_is_visited_once) {
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    const drawn it(seed);
    for (const known exact : {known::nothing, known::node, known::cpu}) {
      const steal_order order(it.places, exact, seed);
      for (unsigned slot = 0; slot < it.places.size(); slot++) {
        std::vector<unsigned> seen = visits(order, slot, seed);
        std::sort(seen.begin(), seen.end());
        std::vector<unsigned> others;
        for (unsigned other = 0; other < it.places.size(); other++) {
          if (other != slot) others.push_back(other);
        }
        EXPECT_EQ(seen, others) << "seed " << seed << ", slot " << slot;
      }
    }
  }
}

TEST(steal_order, nobody_nearer_comes_after_somebody_farther) {
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    const drawn it(seed);
    const steal_order order(it.places, known::cpu, seed);
    for (unsigned slot = 0; slot < it.places.size(); slot++) {
      unsigned farthest = 0;
      for (const unsigned victim : visits(order, slot, seed)) {
        const unsigned far = distance(it.places[slot], it.places[victim]);
        EXPECT_GE(far, farthest) << "seed " << seed << ", slot " << slot << ", victim " << victim;
        farthest = std::max(far, farthest);
      }
    }
  }
}

TEST(steal_order, of_two_nodes_all_local_victims_come_before_any_remote_one) {
  const placement places = slots_of(regular(2, 1, 8, 1), 16);
  for (const known exact : {known::node, known::cpu}) {
    const steal_order order(places, exact, 1);
    for (unsigned slot = 0; slot < 16; slot++) {
      const std::vector<unsigned> seen = visits(order, slot, slot);
      for (unsigned i = 0; i < seen.size(); i++) {
        EXPECT_EQ(places[seen[i]].node == places[slot].node, i < 7) << "slot " << slot << ", visit " << i;
      }
    }
  }
}

TEST(steal_order, the_other_thread_of_the_core_is_the_first) {
  const placement places = slots_of(regular(1, 2, 2, 2), 8);  // slot i + 4 is the second thread of slot i's core
  const steal_order order(places, known::cpu, 1);
  for (unsigned slot = 0; slot < 8; slot++) EXPECT_EQ(visits(order, slot, slot).front(), (slot + 4) % 8);
}

TEST(steal_order, tiers_are_no_finer_than_what_is_known) {
  const placement places = slots_of(regular(2, 2, 2, 2), 16);
  const unsigned sizes[][4] = {{15, 0, 0, 0}, {0, 0, 7, 8}, {1, 2, 4, 8}};
  for (const known exact : {known::nothing, known::node, known::cpu}) {
    const steal_order order(places, exact, 1);
    for (unsigned tier = 0; tier < steal_order::tiers_max; tier++) {
      EXPECT_EQ(order.tier(5, tier).size(), sizes[static_cast<int>(exact)][tier]);
    }
  }
  EXPECT_EQ(steal_order(16, 1).tier(5, 0).size(), 15U);
}

TEST(steal_order, who_finds_something_visits_nobody_else) {
  const steal_order order(8, 1);
  unsigned visited = 0;
  EXPECT_TRUE(order.visit(
      3, [](unsigned) { return 0U; }, [&visited](unsigned) { return ++visited == 3; }));
  EXPECT_EQ(visited, 3U);
}

TEST(steal_order, one_slot_alone_visits_nobody) { EXPECT_TRUE(visits(steal_order(1, 1), 0, 1).empty()); }

TEST(steal_order, the_same_seed_gives_the_same_order_and_another_one_another) {
  const steal_order one(64, 1);
  EXPECT_EQ(visits(one, 7, 3), visits(steal_order(64, 1), 7, 3));
  EXPECT_NE(visits(one, 7, 3), visits(steal_order(64, 2), 7, 3));
}

// Thieves that start together at every step meet different victims: of n thieves with n victims about 1 - 1/e of them, not one.
TEST(steal_order, thieves_do_not_walk_behind_each_other) {
  constexpr unsigned slots = 64;
  const steal_order order(slots, 1);
  std::vector<std::vector<unsigned>> walks;
  for (unsigned slot = 0; slot < slots; slot++) walks.push_back(visits(order, slot, slot));
  for (unsigned step = 0; step < slots - 1; step++) {
    std::set<unsigned> victims;
    for (const std::vector<unsigned>& walk : walks) victims.insert(walk[step]);
    EXPECT_GT(victims.size(), slots / 3) << "step " << step;
  }
  // Whom one thief asks after the other does not depend on the victim before, as it does for who counts upwards.
  std::set<unsigned> after_zero;
  for (const std::vector<unsigned>& walk : walks) {
    const auto zero = std::find(walk.begin(), walk.end(), 0U);
    if (zero != walk.end() && zero + 1 != walk.end()) after_zero.insert(*(zero + 1));
  }
  EXPECT_GT(after_zero.size(), slots / 3);
}

// Wherever in a tier a search begins, each of it is the first as often as the random number is.
TEST(steal_order, each_of_a_tier_may_be_the_first) {
  const placement places = slots_of(regular(2, 1, 8, 1), 16);
  const steal_order order(places, known::node, 1);
  std::set<unsigned> first;
  for (unsigned begin = 0; begin < 7; begin++) {
    order.visit(
        4, [begin](unsigned n) { return begin % n; },
        [&first](unsigned victim) {
          first.insert(victim);
          return true;
        });
  }
  EXPECT_EQ(first.size(), 7U);
}

}  // namespace
}  // namespace levity::detail
