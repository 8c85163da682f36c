#pragma once

// shared_queues: the ready tasks that belong to no worker, for each node three inject queues.
//
//   injected        woken by or spawned from foreign threads, or yielding
//   spilled_woken   woken ones from full deques, apart: of a crowd that is woken at once nobody else has to wait for the last
//   spilled         fresh ones from full deques
//
// Why for each node: whoever takes a task fetches its frames, and what they point at, from the caches and the memory of who had it
// last, and the line of the queue as well. On one node there is one of each, and what is said below costs nothing.
//
//   who pushes            where
//   a worker              its slot's node
//   another thread        the node on whose CPU it runs just now; to each in turns if no slot lives there
//
//   who takes             when
//   a worker of the node  before it steals, and in fair turns
//   one of another node   before it steals from workers of other nodes, when its own node has nothing; and in fair turns, while
//                         work is there and no worker of the node has taken any for neglect_ns: all are stuck, and not replaced
//
// Who sleeps while a queue of another node has work looks at all of them before (parking.hpp), so a node whose workers are asleep
// is served by whoever is awake, or its own are woken.
//
// Of several other nodes none is nearer, as in steal_order.hpp: each begins with the one after its own.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "platform/topology.hpp"
#include "sched/inject_queue.hpp"
#include "sched/parking.hpp"

namespace levity::inline v0::detail {

class shared_queues {
public:
  static constexpr std::int64_t neglect_ns = 20'000'000;

  /// Of one node.
  struct alignas(cache_line_bytes) of_node {
    inject_queue injected;
    inject_queue spilled_woken;
    inject_queue spilled;
    /// How often a worker of this node has taken something; counts that two write at once may be lost, but not all of them.
    atomic<std::uint64_t> served{0};
    atomic<unsigned> serving{0};  // slots in service that live there
    unsigned number = 0;         // constant
    unsigned id = 0;             // the kernel's number of the node; constant
    idle_set::slot_set slots{};  // that live there; constant

    [[nodiscard]] bool empty_approx() const noexcept {
      return injected.empty_approx() && spilled_woken.empty_approx() && spilled.empty_approx();
    }
    void note_served() noexcept { served.store(served.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
  };

  /// Slot i lives at `places[i]`; without places all live on one node. Constant once made, but for what is queued.
  explicit shared_queues(std::span<const topology::cpu> places);

  // Any thread.
  [[nodiscard]] unsigned count() const noexcept { return count_; }
  [[nodiscard]] of_node& of_slot(unsigned slot) noexcept { return by_slot_.empty() ? nodes_[0] : *by_slot_[slot]; }
  [[nodiscard]] of_node& at(unsigned number) noexcept { return nodes_[number]; }
  [[nodiscard]] of_node& after(const of_node& one) noexcept { return nodes_[one.number + 1 < count_ ? one.number + 1 : 0]; }

  /// Where a thread that is no worker leaves tasks.
  [[nodiscard]] of_node& of_foreign_thread() noexcept { return count_ == 1 ? nodes_[0] : of_foreign_thread_among_many(); }
  /// One that has work; null: none.
  [[nodiscard]] of_node* with_work_approx() noexcept {
    for (unsigned i = 0; i < count_; i++) {
      if (!nodes_[i].empty_approx()) return &nodes_[i];
    }
    return nullptr;
  }

private:
  [[nodiscard]] of_node& of_foreign_thread_among_many() noexcept;

  unsigned count_ = 1;
  std::unique_ptr<of_node[]> nodes_;
  std::vector<of_node*> by_slot_;  // empty: all on the first one
  atomic<unsigned> turn_{0};       // of threads on other nodes than these
};

}  // namespace levity::detail
