#pragma once

// steal_order: whom a slot's worker asks for work, nearest first.
//
// Why: what a thief takes it has to fetch, the task's frames and what they point at, from the cache of who made them. From the
// other thread of the same core that is the first cache; from the same last-level cache some tens of cycles; from another node
// some hundreds for each line, and again when the result goes back.
//
//   tier 0   the same core      tier 1   the same last-level cache      tier 2   the same node      tier 3   other nodes
//
// All of a nearer tier come before any of a farther one. Within a tier nobody is preferred: each slot has an order of its own,
// drawn from the seed, and begins a search somewhere in it, so that thieves who start at one moment meet different victims and
// not, one behind the other, the same.
//
// What is known decides how many tiers there are. Threads that the kernel moves between CPUs have no core, so a slot's place is
// only as exact as the affinity of its worker: where that is not narrowed all are equally near, narrowed to nodes there are two
// tiers.
//
// Rejected: a tier for each distance between nodes as the firmware tells it (10, 21, 31): more tiers on machines that few have,
// for firmware that often says the same number for all.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "platform/placement.hpp"

namespace levity::inline v0::detail {

/// Constant once made. Any thread.
class steal_order {
public:
  static constexpr unsigned tiers_max = 4;
  static constexpr unsigned slots_max = 256;

  /// How exact a place is.
  enum class known : std::uint8_t { nothing, node, cpu };

  /// Slot i lives at `places[i]`. O(slots^2) time and memory.
  steal_order(std::span<const topology::cpu> places, known exact, std::uint64_t seed);
  /// Without places: all others are one tier.
  steal_order(unsigned slots, std::uint64_t seed);

  /// Calls `visit(victim)` for each other slot, nearest first, until it returns true; `random(n)` is a number below n, where to
  /// begin in a tier of n. Returns whether it did.
  template <class Random, class Visit>
  bool visit(unsigned slot, Random&& random, Visit&& visit) const {
    const std::uint16_t* const end = &ends_[slot * tiers_max];
    const std::uint8_t* const all = victims_.data() + slot * others_;
    unsigned begin = 0;
    for (unsigned tier = 0; tier < tiers_max && begin < others_; begin = end[tier++]) {
      const unsigned size = end[tier] - begin;
      if (size == 0) continue;
      const std::uint8_t* const first = all + begin;
      auto at = static_cast<unsigned>(random(size));
      for (unsigned left = size; left > 0; left--) {
        if (visit(unsigned{first[at]})) return true;
        if (++at == size) at = 0;
      }
    }
    return false;
  }

  /// The others of `slot` that are as near as `tier` says.
  [[nodiscard]] std::span<const std::uint8_t> tier(unsigned slot, unsigned tier) const noexcept {
    const std::uint16_t* const end = &ends_[slot * tiers_max];
    const unsigned begin = tier == 0 ? 0 : end[tier - 1];
    return {victims_.data() + slot * others_ + begin, std::size_t{end[tier]} - begin};
  }

private:
  const unsigned others_;              // slots but one
  std::vector<std::uint8_t> victims_;  // others_ of each slot, by tier
  std::vector<std::uint16_t> ends_;    // tiers_max of each slot: where in its victims a tier ends
};

}  // namespace levity::detail
