// order_cache.hpp — the cache of the service before: one map, one lock.
//
// The lock is held while an order is looked up and copied; while one that is not there is fetched, so that two who miss do not both
// fetch it; and while room is made, by a walk over all of them for the one that was used longest ago.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include <levity/levity.hpp>
#include <levity/observe/histogram.hpp>

#include "reference/store.hpp"

namespace orders::before {

class order_cache {
public:
  explicit order_cache(store& orders) : store_(orders) {}

  /// The order as JSON, from the cache or the store. Errors: the store's.
  levity::task<std::expected<std::string, problem>> get(std::string id);
  /// What is known of an order from here on.
  levity::task<> put(std::string id, std::string json);

  struct figures {
    std::uint64_t gets = 0;
    std::uint64_t get_p99_us = 0;  ///< since the start, the wait for the lock included
  };
  figures look();

private:
  static constexpr std::size_t orders_max = 5'000;
  struct entry {
    std::string json;
    levity::time_point used;
  };

  void insert(std::string id, std::string json);

  store& store_;
  levity::mutex lock_;
  std::unordered_map<std::string, entry> orders_;  // guarded by lock_

  std::mutex figures_lock_;  // never held over an await
  levity::histogram get_ns_;
};

}  // namespace orders::before
