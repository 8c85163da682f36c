// judge.hpp -- after the load: is every acknowledged order there, paid for once and put aside once?
#pragma once

#include "load/engine.hpp"
#include "orders/drive.hpp"

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

namespace levity::story {

/// What one downstream has of the acknowledged orders.
struct bookings {
  std::uint64_t once = 0;
  std::uint64_t never = 0;
  std::uint64_t twice = 0;         ///< orders that were booked more than once
  std::uint64_t surplus = 0;       ///< bookings that were too many
  std::uint64_t unread = 0;        ///< orders whose bookings could not be asked for
  std::vector<std::string> told;   ///< some ids of those that are not booked once
};

struct judgement {
  std::uint64_t acknowledged = 0;
  std::uint64_t missing = 0;    ///< acknowledged and not there
  std::uint64_t differing = 0;  ///< there and not what was acknowledged
  std::uint64_t unread = 0;     ///< could not be read back
  bookings charges;
  bookings reservations;
  std::vector<std::string> sentences;  ///< some of what is wrong, in words

  /// Orders that somebody relies on and that are not there, or were never paid for, or never put aside.
  [[nodiscard]] std::uint64_t lost() const { return missing + differing + charges.never + reservations.never; }
  [[nodiscard]] std::uint64_t doubled() const { return charges.twice + reservations.twice; }
  [[nodiscard]] std::uint64_t unknown() const { return unread + charges.unread + reservations.unread; }
};

/// Of the JSON that GET /charges/{order} or GET /reservations/{order} answers: how many there are, those that were released not
/// counted; -1 when it cannot be read.
[[nodiscard]] int count_bookings(std::string_view body, std::string_view list);

/// Reads all orders back from `service`, and asks both downstreams. Orders that are not booked yet are asked for again until
/// `settle_ns` has passed: who has promised to make up for it gets the time.
[[nodiscard]] judgement judge(const load::engine_options& service, const load::target& payment, const load::target& inventory,
                              const orders::order_maker& maker, const orders::ledger& orders, std::int64_t settle_ns);

}  // namespace levity::story
