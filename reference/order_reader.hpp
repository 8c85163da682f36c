// order_reader: who reads orders of others as they come, and remembers what he was shown: no crash may take that back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <levity/http/client.hpp>
#include <levity/levity.hpp>
#include <levity/sim/properties.hpp>

#include "reference/order.hpp"
#include "reference/order_customer.hpp"

namespace orders::test {

/// How a reader reads.
struct reading_habits {
  levity::duration pause = std::chrono::milliseconds(50);  ///< before he looks again for an order that is not there yet
  bool disk_is_well = false;  ///< nothing but the disk keeps him waiting, and that never for long
};

/// The customer of an order, as it is shown.
inline std::string customer_in(std::string_view order) {
  constexpr std::string_view before = R"("customer":")";
  const std::size_t from = order.find(before);
  if (from == std::string_view::npos) return {};
  const std::string_view rest = order.substr(from + before.size());
  return std::string(rest.substr(0, rest.find('"')));
}

/// Reads one order after the other, each as soon as it is there, alone and in its customer's list, until it is cancelled.
inline levity::task<> read_as_they_come(levity::http::client* with, ledger* told, reading_habits how) {
  for (std::uint64_t next = 1;;) {
    const std::string place = "/orders/" + order_id_text(next);
    const auto got = co_await with->get(shop + place);
    const bool is_refused = got && got->status() == levity::http::status::service_unavailable;
    levity::sim::always(!how.disk_is_well || !is_refused, "who reads waits for the disk, and not in vain");
    // By the last attempt, for the service may have been away before it. A sync takes 60 ms, and another may be ahead.
    const bool is_slow = got && got->ok() && got->timings().first_byte > std::chrono::milliseconds(500);
    levity::sim::always(!how.disk_is_well || !is_slow, "who reads waits for the disk, and not for longer");
    if (!got || !got->ok()) {
      co_await levity::sleep(how.pause);
      continue;
    }
    const std::string order(got->body());
    const auto known = told->shown.try_emplace(place, order).first;
    levity::sim::always(known->second == order, "what a reader was shown stays so");
    const auto all = co_await with->get(std::string(shop) + "/orders?customer=" + customer_in(order));
    const bool has_it = !all || !all->ok() || all->body().find(order) != std::string_view::npos;
    levity::sim::always(has_it, "what a reader was shown is in its list");
    next++;
  }
}

}  // namespace orders::test
