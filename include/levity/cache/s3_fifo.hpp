#pragma once

// s3_fifo: three queues and no work at a hit.
//
// Why: most keys of most workloads come once and never again. They pass through a small queue and are gone before they push
// anything out that is wanted; what was asked for meanwhile moves on to the main queue, and so does, at once, what comes back soon
// after it was evicted: the ghost queue remembers hashes. After Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need
// for cache eviction", SOSP 2023, algorithm 1.
//
//   small = a tenth of the capacity (at least 1), main = the rest; an entry has at most 3 hits to its credit
//   insert    while it does not fit: evict; then at the youngest end of main if its hash is in ghost, which forgets it, else of
//   small evict     from small if it holds a tenth or more, or main is empty; else from main
//   small     the oldest: more than 1 hit -> main without its hits, and while main is over its size, one out of main; and so on,
//   until
//             one was evicted, or small is empty. The evicted one's hash goes to ghost, which remembers as many as main may hold
//   main      the oldest: hits > 0 -> back to the youngest end with one hit less; until one has none: that one is evicted
//
// The sum of the turns that entries make in main is bounded by the hits that they had, so evict() is O(1) amortised. One call may
// still meet thousands that are all hot; after examined_max of them, in both queues together, it takes the one at hand.

#include "levity/cache/detail/eviction_hook.hpp"
#include "levity/cache/detail/ghost_queue.hpp"

namespace levity::inline v0 {

namespace detail {
template <class Key, class Value, class Policy, class Equal>
class cache_shard;
}  // namespace detail

/// Which entry goes when room is needed: S3-FIFO, the default of lv::cache. Keeps out what comes once, needs one byte written at a
/// hit at most (none when the entry has been hit three times). 24 bytes for each entry of the capacity besides.
class s3_fifo {
public:
  /// Its name, for people.
  static constexpr const char* name = "s3_fifo";

private:
  template <class Key, class Value, class Policy, class Equal>
  friend class detail::cache_shard;

  // What a policy has: a kind of hook for entries, and memory that is made outside of the shard's lock. All else is called under
  // it, but for hit() and make_storage().
  using hook = detail::eviction_hook;
  using storage = detail::ghost_queue::storage;
  static constexpr std::size_t bytes_each = 24;  // of memory, besides the entry

  // Keeps entries of a weight of `capacity` in all.
  explicit s3_fifo(std::uint64_t capacity) noexcept;

  void hit(hook& entry) noexcept {
    const std::uint8_t hits = entry.hits.load(std::memory_order_relaxed);
    if (hits < hits_max) entry.hits.store(hits + 1, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t used() const noexcept { return small_used_ + main_used_; }
  [[nodiscard]] std::size_t room() const noexcept { return ghost_.room(); }
  static storage make_storage(std::size_t entries) { return detail::ghost_queue::make_storage(entries); }
  void adopt(storage& more) noexcept { ghost_.adopt(more); }

  void insert(hook& entry) noexcept;
  void remove(hook& entry) noexcept;
  // `fresh`, which weighs no more, takes the place of `old`.
  void replace(hook& old, hook& fresh) noexcept;
  // Takes at least one entry out, if there is any, into `out`.
  void evict(detail::eviction_list& out) noexcept;
  static const char* queue_name(std::uint8_t queue) noexcept;

  static constexpr std::uint8_t hits_max = 3;
  static constexpr unsigned examined_max = 256;
  enum queue : std::uint8_t { small, main };

  // `examined`: of this eviction so far.
  void evict_from_small(detail::eviction_list& out, unsigned& examined) noexcept;
  void evict_from_main(detail::eviction_list& out, unsigned& examined) noexcept;
  std::uint64_t& used_of(const hook& entry) noexcept { return entry.queue == small ? small_used_ : main_used_; }

  const std::uint64_t small_target_;
  const std::uint64_t main_target_;
  std::uint64_t small_used_ = 0;
  std::uint64_t main_used_ = 0;
  detail::link_list small_;  // the youngest in front
  detail::link_list main_;
  detail::ghost_queue ghost_;
};

}  // namespace levity
