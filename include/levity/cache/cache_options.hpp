#pragma once

#include <cstdint>
#include <optional>

#include "levity/base/clock.hpp"

namespace levity::inline v0 {

/// What one entry has of its own.
struct entry_options {
  /// How long it counts from now on; as the cache has it if not given.
  std::optional<duration> ttl = {};
  /// What it weighs; as the cache has it if not given. 0: it is pinned, and goes by its time or by erase() alone.
  std::optional<std::uint32_t> weight = {};
};

/// What a cache<Key, Value> is made with. A duration of duration::max() is no limit.
template <class Key, class Value>
struct cache_options {
  /// The weight of all entries together, their number where nothing is said about weights. Divided among the shards; at least 1.
  std::uint64_t capacity = 10'000;
  /// How long an entry counts, from when it was set or loaded.
  duration ttl = duration::max();
  /// How long an entry counts from when it was last read, or set.
  duration tti = duration::max();
  /// How long it is remembered that a loader found nothing. 0: not at all.
  duration negative_ttl{};
  /// How long past its time an entry may stand in for a load that fails, or that the caller's deadline cuts off.
  duration stale_if_error{};
  /// How long past its time an entry may be given out while it is loaded anew in the background; wants cache::keep_fresh().
  duration stale_while_revalidate{};
  /// Whether entries that were read since they were written are loaded anew at 80 % of their time, give or take a tenth of that;
  /// wants cache::keep_fresh().
  bool refresh_ahead = false;
  /// What an entry weighs, and 0 pins it; 1 each if not given. Called by who sets or loads, not under a lock.
  std::uint32_t (*weigh)(const Key&, const Value&) = nullptr;
  /// How long an entry counts, where that depends on it; ttl if not given.
  duration (*ttl_of)(const Key&, const Value&) = nullptr;
  /// Shards, a power of two; 0: the least one from 64, and from 4 for each worker, but not so many that one of them has room for
  /// less than 1,024.
  unsigned shards = 0;
};

}  // namespace levity
