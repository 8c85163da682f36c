#include "sched/steal_order.hpp"

#include <array>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/base/rng.hpp"

namespace levity::inline v0::detail {
namespace {

unsigned tier_of(const topology::cpu& a, const topology::cpu& b, steal_order::known exact) {
  if (exact == steal_order::known::nothing) return 0;
  if (a.node != b.node) return 3;
  if (exact == steal_order::known::node) return 2;
  return a.core == b.core ? 0 : a.cache == b.cache ? 1 : 2;
}

}  // namespace

steal_order::steal_order(std::span<const topology::cpu> places, known exact, std::uint64_t seed)
    : others_(static_cast<unsigned>(places.size()) - 1) {
  LEVITY_ASSERT(!places.empty() && places.size() <= slots_max, "a slot's number is a byte");
  victims_.reserve(places.size() * others_);
  for (unsigned slot = 0; slot < places.size(); slot++) {
    std::array<std::vector<std::uint8_t>, tiers_max> tiers;
    for (unsigned other = 0; other < places.size(); other++) {
      if (other != slot) tiers[tier_of(places[slot], places[other], exact)].push_back(static_cast<std::uint8_t>(other));
    }
    rng random(seed + slot);
    unsigned end = 0;
    for (std::vector<std::uint8_t>& tier : tiers) {
      for (std::size_t i = tier.size(); i > 1; i--) std::swap(tier[i - 1], tier[random.below(i)]);
      victims_.insert(victims_.end(), tier.begin(), tier.end());
      end += static_cast<unsigned>(tier.size());
      ends_.push_back(static_cast<std::uint16_t>(end));
    }
  }
}

steal_order::steal_order(unsigned slots, std::uint64_t seed)
    : steal_order(std::vector<topology::cpu>(slots), known::nothing, seed) {}

}  // namespace levity::detail
