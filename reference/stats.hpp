// stats: what GET /stats answers: what the service does and costs, and how those stand that it calls. One object of JSON:
//
//   tasks, rss_bytes                   now
//   cache_gets, cache_get_p99_us       since the start, the time around each get
//   outside_calls, outside_failures    attempts that a customer's request waited for, and of these those without a good answer in
//                                      time. A call that a breaker or a full bulkhead kept back was not made, and is neither
//   breakers                           by service: state, refused, transitions
//   bookings                           by service: settled, outstanding, refused; kept_back; calls and failures, those with a
//                                      customer behind them and, later_, those of the settlement
//   cache, redis, versions             what each counts; the last two where they are
#pragma once

#include <string>

#include <levity/levity.hpp>
#include <levity/service/canary.hpp>

#include "reference/bookings.hpp"
#include "reference/order_cache.hpp"
#include "reference/redis_copy.hpp"

namespace orders {

/// What it is told from; all but the cache may be null.
struct stats_sources {
  order_cache* cache = nullptr;
  bookings* books = nullptr;
  redis_copy* copy = nullptr;
  levity::service::canary* versions = nullptr;
};

/// Appends the object.
levity::task<> write_stats(std::string& out, const stats_sources& from);

}  // namespace orders
