#pragma once

// sieve: one queue and a hand that moves through it.
//
// After Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is simpler than LRU", NSDI 2024: new entries come in front; the hand moves
// from the oldest to the youngest, takes the mark of a hit away where it finds one, and evicts the first entry without. Unlike a
// clock it leaves what it spares where it is: behind it, young ones are sifted before they can push out what is old and wanted.

#include "levity/cache/detail/eviction_hook.hpp"

namespace levity::inline v0 {

namespace detail {
template <class Key, class Value, class Policy, class Equal>
class cache_shard;
}  // namespace detail

/// Which entry goes when room is needed: SIEVE. No memory besides the entries, one byte written at the first hit only. Good where
/// few keys get most of the requests; a scan that is longer than the capacity sweeps it clean.
class sieve {
public:
  /// Its name, for people.
  static constexpr const char* name = "sieve";

private:
  template <class Key, class Value, class Policy, class Equal>
  friend class detail::cache_shard;

  // What a policy has: a kind of hook for entries, and memory that is made outside of the shard's lock. All else is called under
  // it, but for hit() and make_storage().
  using hook = detail::eviction_hook;
  struct storage {};
  static constexpr std::size_t bytes_each = 0;  // of memory, besides the entry

  // The shard looks after its capacity.
  explicit sieve(std::uint64_t) noexcept {}

  void hit(hook& entry) noexcept {
    if (entry.hits.load(std::memory_order_relaxed) == 0) entry.hits.store(1, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t used() const noexcept { return used_; }
  [[nodiscard]] std::size_t room() const noexcept { return ~std::size_t{0}; }
  static storage make_storage(std::size_t) { return {}; }
  void adopt(storage&) noexcept {}

  void insert(hook& entry) noexcept;
  void remove(hook& entry) noexcept;
  // `fresh`, which weighs no more, takes the place of `old`.
  void replace(hook& old, hook& fresh) noexcept;
  // Takes one entry out, if there is any, into `out`.
  void evict(detail::eviction_list& out) noexcept;
  static const char* queue_name(std::uint8_t) noexcept { return "the queue"; }

  std::uint64_t used_ = 0;
  detail::link_list queue_;             // the youngest in front
  detail::list_link* hand_ = nullptr;   // who is asked next; null: the oldest
};

}  // namespace levity
