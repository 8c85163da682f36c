// order_customer: who orders from the order service in a simulated world, and remembers what he was told.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include <levity/http/client.hpp>
#include <levity/levity.hpp>
#include <levity/sim/properties.hpp>

namespace orders::test {

/// What all customers and readers of a scenario were told.
struct ledger {
  std::map<std::string, std::string> acknowledged;  ///< key to place, "/orders/ord_..."
  std::map<std::string, std::string> shown;         ///< place to the order, as a reader saw it first
  std::uint64_t failures = 0;                       ///< requests without a good answer
  std::uint64_t degraded = 0;                       ///< good answers that say that something is booked later
  levity::duration slowest{};                       ///< of the requests
};

/// How a customer orders.
struct manners {
  levity::duration deadline = std::chrono::seconds(1);        ///< of a request
  levity::duration first_deadline{};                          ///< of the first one, if he is hasty then; 0: the same
  levity::duration served_within = levity::duration::max();   ///< what he demands of a request in which he is not hasty
  levity::duration patience = std::chrono::minutes(5);        ///< for all requests together
  unsigned items = 1;                                         ///< that he orders
};

/// Where a customer orders.
inline constexpr const char* shop = "http://orders:7070";

/// The body of an order by the customer "c-KEY".
inline std::string body_of(const std::string& key, unsigned items) {
  std::string body = R"({"customer":"c-)" + key + R"(","items":[)";
  for (unsigned i = 0; i < items; i++) {
    if (i > 0) body += ',';
    body += R"({"sku":"sku-of-some-length-)" + std::to_string(i) + R"(","quantity":2})";
  }
  return body + "]}";
}

/// Orders once, and asks again with the same key until it is told that it is done, as a good customer does.
inline levity::task<> order_patiently(levity::http::client* with, std::string key, ledger* told, manners how) {
  constexpr levity::duration late_max = std::chrono::milliseconds(100);
  levity::http::outgoing asked(levity::http::method::post, std::string(shop) + "/orders");
  asked.set("Content-Type", "application/json");
  asked.set("Idempotency-Key", key);
  asked.set_body(body_of(key, how.items));
  const levity::time_point begun = levity::clock::now();
  bool is_hasty = how.first_deadline > levity::duration::zero();
  while (levity::clock::now() - begun < how.patience) {
    const levity::duration deadline = is_hasty ? how.first_deadline : how.deadline;
    asked.set_timeout(deadline);
    const levity::time_point sent = levity::clock::now();
    // The outer bound ends one that does not heed its own.
    const auto ended = co_await levity::with_timeout(deadline + 2 * late_max, with->send(asked));
    const levity::duration took = levity::clock::now() - sent;
    levity::sim::always(took <= deadline + late_max, "each request ends within its deadline");
    levity::sim::always(is_hasty || took <= how.served_within, "a customer does not wait for services that are slow");
    told->slowest = std::max(told->slowest, took);
    if (ended && *ended && (*ended)->ok()) {
      if ((*ended)->find("X-Levity-Degraded")) told->degraded++;
      told->acknowledged[key] = std::string((*ended)->find("Location").value_or(""));
      co_return;
    }
    told->failures++;
    is_hasty = false;
    co_await levity::sleep(std::chrono::milliseconds(100));
  }
}

/// Waits until the service answers.
inline levity::task<> until_ready(levity::http::client* with) {
  const levity::time_point begun = levity::clock::now();
  for (;;) {
    const auto got = co_await with->get(std::string(shop) + "/healthz/ready");
    if (got && got->ok()) co_return;
    levity::sim::always(levity::clock::now() - begun < std::chrono::minutes(1), "the service is ready within a minute");
    co_await levity::sleep(std::chrono::milliseconds(20));
  }
}

}  // namespace orders::test
