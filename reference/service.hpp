// service.hpp — what each route does: from a request's parts to an answer. It knows the store, what stands around it, and JSON, not
// sockets.
//
//   POST  /orders                       201 with Location; 200 for a repeat under the same Idempotency-Key
//                                       X-Levity-Degraded names the services at which it is booked later
//   GET   /orders?customer=C&after=ID   200, at most 100 orders, `next` tells where the next page begins
//   GET   /orders/{id}                  200; X-Levity-Degraded: redis or stale, when the store has not answered
//   PATCH /orders/{id}                  200; 409 for a transition that is not legal
//   GET   /healthz                      200 while orders can be written, 503 with the reason when not
//
// Every answer that is not 2xx is an application/problem+json body (RFC 9457).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <levity/levity.hpp>

#include "reference/bookings.hpp"
#include "reference/order_cache.hpp"
#include "reference/store.hpp"

namespace orders {

/// An answer under construction; its strings are reused from request to request.
struct answer {
  int status = 200;
  bool is_problem = false;
  std::string body;
  std::string location;  // empty: none
  std::string degraded;  // empty, or in which way it is less than usual
  bool retry_later = false;

  void clear() noexcept {
    status = 200;
    is_problem = false;
    body.clear();
    location.clear();
    degraded.clear();
    retry_later = false;
  }
};

/// What a service has around its store; each may be null, and then is not there.
struct service_companions {
  bookings* books = nullptr;     ///< new orders are booked at other services
  order_cache* cache = nullptr;  ///< single orders are read through it
};

/// How a single order is shown.
enum class rendering : std::uint8_t {
  plain,
  with_pieces,  ///< and how many pieces that are, all items together: the version that the canary tries
};

/// Thread-safe as the store is. Each function fills `out`.
class service {
public:
  explicit service(store& orders, service_companions around = {}) noexcept
      : store_(orders), around_(around), started_(levity::clock::now()) {}

  /// `key`: the Idempotency-Key header, empty without one.
  levity::task<> place(std::string_view body, std::string_view key, answer& out);
  levity::task<> change(std::string_view id, std::string_view body, answer& out);
  levity::task<> find(std::string_view id, answer& out, rendering shown = rendering::plain);
  /// `query`: what follows the question mark, still encoded.
  levity::task<> list(std::string_view query, answer& out);
  void health(answer& out);

  /// Connections that are open; counted by the server around the routes.
  levity::atomic<std::int64_t> connections{0};

private:
  void add_pieces(std::string& json, std::uint64_t id);

  store& store_;
  const service_companions around_;
  const levity::time_point started_;
};

/// Fills `out` with a problem.
void tell(answer& out, const problem& what);

}  // namespace orders
