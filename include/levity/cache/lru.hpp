#pragma once

// lru: the entry that was used longest ago goes first, exactly, and still no lock at a hit.
//
// A hit draws a number and writes it into the entry, no more. Entries lie in a heap by the number that they had when they were last
// looked at: used >= placed. To evict, look at the least: where it has been used since, it is placed by that use, and sinks; where
// it has not, all others were used later: theirs are numbers that are larger, or were when they were placed, and numbers only grow.
// So each use costs one sinking at most, O(log n), and only where the entry comes up before its next use.
//
// Rejected: a list that each hit moves (a lock, or a queue of hits that loses some); a second chance instead of an order (that is
// CLOCK, and no reference for anything).

#include <vector>

#include "levity/base/cache_line.hpp"
#include "levity/cache/detail/eviction_hook.hpp"

namespace levity::inline v0 {

namespace detail {
template <class Key, class Value, class Policy, class Equal>
class cache_shard;
}  // namespace detail

/// Which entry goes when room is needed: the least recently used one. There to compare with, and for workloads that are known to
/// want it; all hits of a shard write to one word. 8 bytes for each entry besides.
class lru {
public:
  /// Its name, for people.
  static constexpr const char* name = "lru";

private:
  template <class Key, class Value, class Policy, class Equal>
  friend class detail::cache_shard;

  // What a policy has: a kind of hook for entries, and memory that is made outside of the shard's lock. All else is called under
  // it, but for hit() and make_storage().
  struct hook : detail::eviction_hook {
    atomic<std::uint64_t> used{0};  // the number of its last use
    std::uint64_t placed = 0;       // guarded by the shard's lock, like the next one
    std::size_t place = 0;
  };
  using storage = std::vector<hook*>;
  static constexpr std::size_t bytes_each = 8;  // of memory, besides the entry

  // The shard looks after its capacity.
  explicit lru(std::uint64_t) noexcept {}

  void hit(hook& entry) noexcept {
    entry.used.store(uses_.fetch_add(1, std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t used() const noexcept { return used_; }
  [[nodiscard]] std::size_t room() const noexcept { return heap_.capacity(); }
  static storage make_storage(std::size_t entries) {
    storage made;
    made.reserve(entries);
    return made;
  }
  void adopt(storage& more) noexcept {
    more.assign(heap_.begin(), heap_.end());
    more.swap(heap_);
  }

  void insert(hook& entry) noexcept;
  void remove(hook& entry) noexcept;
  // `fresh`, which weighs no more, takes the place of `old`, and was used just now.
  void replace(hook& old, hook& fresh) noexcept;
  // Takes one entry out, if there is any, into `out`.
  void evict(detail::eviction_list& out) noexcept;
  static const char* queue_name(std::uint8_t) noexcept { return "the order of use"; }

  void put(hook& entry, std::size_t place) noexcept {
    heap_[place] = &entry;
    entry.place = place;
  }
  void rise(hook& entry) noexcept;
  void sink(hook& entry) noexcept;

  std::uint64_t used_ = 0;
  std::vector<hook*> heap_;
  alignas(cache_line_bytes) atomic<std::uint64_t> uses_{0};  // by readers
};

}  // namespace levity
