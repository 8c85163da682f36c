#include "sched/shared_queues.hpp"

#include <algorithm>

namespace levity::inline v0::detail {

shared_queues::shared_queues(std::span<const topology::cpu> places) {
  std::vector<unsigned> ids;
  for (const topology::cpu& each : places) ids.push_back(each.node);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  count_ = std::max(1U, static_cast<unsigned>(ids.size()));
  nodes_ = std::make_unique<of_node[]>(count_);
  if (ids.empty()) nodes_[0].slots = idle_set::all_slots;
  for (unsigned i = 0; i < ids.size(); i++) {
    nodes_[i].number = i;
    nodes_[i].id = ids[i];
  }
  for (unsigned slot = 0; slot < places.size(); slot++) {
    const auto id = std::lower_bound(ids.begin(), ids.end(), places[slot].node);
    by_slot_.push_back(&nodes_[static_cast<std::size_t>(id - ids.begin())]);
    by_slot_.back()->slots[slot / 64] |= std::uint64_t{1} << (slot % 64);
  }
}

shared_queues::of_node& shared_queues::of_foreign_thread_among_many() noexcept {
  const unsigned id = node_of_this_thread();
  for (unsigned i = 0; i < count_; i++) {
    if (nodes_[i].id == id) return nodes_[i];
  }
  return nodes_[turn_.fetch_add(1, std::memory_order_relaxed) % count_];
}

}  // namespace levity::detail
