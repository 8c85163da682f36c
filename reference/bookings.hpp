// bookings: what a new order brings about elsewhere: the charge at payment, the reservation at inventory. Both at once, so that a
// customer waits for the slower one and not for both.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levity/http/client.hpp>
#include <levity/levity.hpp>
#include <levity/service/log.hpp>
#include <levity/service/trace_context.hpp>

#include "reference/outside.hpp"
#include "reference/settlement.hpp"
#include "reference/store.hpp"

namespace orders {

struct booking_options {
  std::optional<levity::http::url> payment;    ///< none: orders are not charged
  std::optional<levity::http::url> inventory;  ///< none: nothing is put aside
  outside_options outside;
  settlement_options settlement;
};

/// open(), book() and look() from any task; run() by one task at a time, which the store outlives.
class bookings {
public:
  /// The bookings of an order that is about to be made: what the store tells of it.
  class opened final : public debtor {
  public:
    /// The order owes them: from now on whatever is not done is settled later. Once.
    void owe(std::uint64_t order) noexcept override {
      for (settlement::open_booking& each : each_) each.owe(order);
    }

  private:
    friend bookings;
    std::vector<settlement::open_booking> each_;  // as partners_
  };

  bookings(store& orders, const booking_options& options, levity::service::id_source& ids, levity::service::log* notes);
  bookings(const bookings&) = delete;
  bookings& operator=(const bookings&) = delete;

  /// What a new order owes here: for store::place().
  [[nodiscard]] owed of_new_orders() const noexcept { return owes_; }

  /// Before the order is made, so that nothing can fail between the two.
  opened open();
  /// Makes the bookings of a new order, which is durable and owed, while its customer waits. The names of those that are settled
  /// later, as in "payment, inventory"; empty: all were made. Cancelled it throws, and all are settled later.
  levity::task<std::string> book(opened open, order_view order);
  /// The names of what an order owes here, in the same way.
  [[nodiscard]] std::string names_of(owed owes) const;

  /// Settles until it is cancelled, or something fails that nobody expects; called again it goes on.
  levity::task<> run();

  struct figures {
    std::string name;
    outside::figures calls;
    settlement::figures bookings;
  };
  /// By service.
  [[nodiscard]] std::vector<figures> look() const;

private:
  struct partner {
    partner(store& orders, std::string name, const levity::http::url& root, std::string_view path, outside::body_of body, owed what,
          const booking_options& options, levity::http::client& client, levity::service::id_source& ids,
          levity::service::log* notes);
    outside calls;
    settlement settles;
  };

  levity::http::client client_;
  std::vector<std::unique_ptr<partner>> partners_;  // payment before inventory
  owed owes_ = 0;
};

}  // namespace orders
