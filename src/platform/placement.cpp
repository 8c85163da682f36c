#include "platform/placement.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {
namespace {

// The CPUs of one node that are the same thread of their cores.
struct share {
  std::vector<topology::cpu> cpus;
  std::size_t taken = 0;
};

// Whether `a` has more of its share left to claim than `b`, both asking for their next.
bool is_before(const share& a, const share& b) { return (a.taken + 1) * b.cpus.size() < (b.taken + 1) * a.cpus.size(); }

std::vector<topology::cpu> order_of(const topology& machine) {
  std::map<unsigned, std::map<unsigned, share>> by_sibling;  // then by node
  for (const topology::cpu& each : machine.cpus) by_sibling[each.sibling][each.node].cpus.push_back(each);
  std::vector<topology::cpu> order;
  for (auto& [sibling, by_node] : by_sibling) {
    std::vector<share> shares;
    std::size_t left = 0;
    for (auto& [node, part] : by_node) {
      std::sort(part.cpus.begin(), part.cpus.end(), [](const topology::cpu& a, const topology::cpu& b) {
        return std::tie(a.cache, a.core, a.id) < std::tie(b.cache, b.core, b.id);
      });
      left += part.cpus.size();
      shares.push_back(std::move(part));
    }
    for (; left > 0; left--) {
      // Who has no more has claimed all of its share: others come before.
      share& next = *std::min_element(shares.begin(), shares.end(), is_before);
      order.push_back(next.cpus[next.taken++]);
    }
  }
  return order;
}

}  // namespace

placement place_slots(const topology& machine, const cpu_set& allowed, unsigned slots) {
  LEVITY_ASSERT(!allowed.empty(), "slots are placed on at least one CPU");
  const std::vector<topology::cpu> order = order_of(machine.restricted_to(allowed));
  placement placed;
  placed.reserve(slots);
  for (unsigned i = 0; i < slots; i++) placed.push_back(order[i % order.size()]);
  return placed;
}

}  // namespace levity::detail
