// order_cache: orders as they are answered, in front of the store; and what is answered when the store is not.
//
//   get()    a value in the cache                              no wait, no lock
//            else rung by rung, within get_time_max
//              store    one flight an order                    as fresh as the store
//              redis    a copy beside, if there is a server    what was acknowledged last, as far as it has come there
//              stale    what the cache had                     past its time, for stale_max
//   changed()  an acknowledged change: the newer version stays, whoever comes first
//
// A change nobody misses: changed() is called before the change is acknowledged, and marks the loads under way as outdated. What is
// left is who joins such a load after the acknowledgement, and would be given what it brings: so a version that the book has passed
// is not given out.
#pragma once

#include <cstdint>
#include <expected>
#include <mutex>
#include <string>

#include <levity/cache/cache.hpp>
#include <levity/levity.hpp>
#include <levity/observe/histogram.hpp>
#include <levity/resilience/fallback.hpp>

#include "reference/order.hpp"
#include "reference/redis_copy.hpp"
#include "reference/store.hpp"

namespace orders {

struct order_cache_options {
  std::uint64_t capacity = 100'000;
  levity::duration ttl = std::chrono::seconds(30);
  levity::duration stale_max = std::chrono::minutes(10);
  levity::duration get_time_max = std::chrono::seconds(1);
};

/// Any task. Store and copy outlive it.
class order_cache {
public:
  /// `copy` may be null.
  order_cache(store& orders, redis_copy* copy, const order_cache_options& options = {});
  order_cache(const order_cache&) = delete;
  order_cache& operator=(const order_cache&) = delete;

  struct reading {
    std::string json;
    std::string degraded;  ///< empty, or which rung answered instead of the store: "redis; age=3"
  };
  /// Errors: 404; 503 when no rung has an answer.
  levity::task<std::expected<reading, problem>> get(std::uint64_t id);

  /// A change that is durable, before anybody is told of it.
  void changed(const order_view& order, const std::string& json);
  /// An order that is durable and new.
  void created(const order_view& order);

  struct figures {
    std::uint64_t gets = 0;
    std::uint64_t get_p99_us = 0;  ///< of all of them, waits included
    double hit_ratio = 0;
    std::uint64_t from_redis = 0;
    std::uint64_t stale = 0;
  };
  figures look();

private:
  struct kept {
    std::uint32_t version = 0;
    std::string json;
  };
  using rung_answer = levity::aged<std::string>;

  struct from_store {
    order_cache* of;
    levity::task<std::expected<rung_answer, problem>> operator()(std::uint64_t id) const { return of->ask_store(id); }
  };
  struct from_redis {
    order_cache* of;
    levity::task<std::optional<rung_answer>> operator()(std::uint64_t id) const { return of->ask_redis(id); }
  };
  struct from_stale {
    order_cache* of;
    std::optional<rung_answer> operator()(std::uint64_t id) const { return of->look_at_stale(id); }
  };
  struct is_unknown {
    bool operator()(const problem& what) const noexcept { return what.status == 404; }
  };

  levity::task<std::expected<reading, problem>> ask_rungs(std::uint64_t id);
  levity::task<std::expected<rung_answer, problem>> ask_store(std::uint64_t id);
  levity::task<std::optional<rung_answer>> ask_redis(std::uint64_t id);
  std::optional<rung_answer> look_at_stale(std::uint64_t id);
  levity::task<std::expected<kept, problem>> load(std::uint64_t id);
  void took(levity::duration time);

  store& store_;
  redis_copy* const copy_;
  const levity::duration get_time_max_;
  levity::cache<std::uint64_t, kept> cache_;
  levity::fallback_chain<is_unknown, from_store, from_redis, from_stale> rungs_;

  std::mutex figures_lock_;
  levity::histogram get_ns_{{.lowest = 100, .highest = 60'000'000'000, .digits = 2}};  // guarded by figures_lock_
};

}  // namespace orders
