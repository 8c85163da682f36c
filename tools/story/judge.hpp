// judge.hpp -- after the load: is every acknowledged order there, paid for once and put aside once?
//
// An order without its booking is one of two things. Owed: the service knows that it has still to make the booking, and was not
// given the time; a busy machine brings that about. Lost: nobody will ever make it. So the service is given time first, as much as
// fits what it owes; and of what is missing then it is asked, order by order, what it still owes.
#pragma once

#include "load/engine.hpp"
#include "orders/drive.hpp"
#include "story/probe.hpp"

#include <array>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace levity::story {

/// What one downstream has of the acknowledged orders.
struct bookings {
  std::uint64_t once = 0;
  std::uint64_t never = 0;         ///< orders that are not booked and that the service does not owe: lost
  std::uint64_t twice = 0;         ///< orders that were booked more than once
  std::uint64_t surplus = 0;       ///< bookings that were too many
  std::uint64_t unread = 0;        ///< orders whose bookings, or debts, could not be asked for
  std::uint64_t owed = 0;          ///< orders that are not booked yet, and the service knows it
  std::vector<std::string> told;   ///< some ids of those that are not booked once
};

/// How the service was given time for what it owed when the load was over.
struct settling {
  bool told = false;              ///< it has said what it owes
  bool makes_none_later = false;  ///< it answers, and has no such figure: what it has not booked by now it never will
  std::map<std::string, std::uint64_t> first;  ///< what it owed, by service, when it was looked at first
  std::map<std::string, std::uint64_t> left;   ///< and last
  double waited_s = 0;
};

struct judgement {
  std::uint64_t acknowledged = 0;
  std::uint64_t missing = 0;    ///< acknowledged and not there
  std::uint64_t differing = 0;  ///< there and not what was acknowledged
  std::uint64_t unread = 0;     ///< could not be read back
  bookings charges;
  bookings reservations;
  settling settled;
  std::vector<std::string> sentences;  ///< some of what is wrong, in words

  /// Orders that somebody relies on and that are not there, or were never paid for, or never put aside.
  [[nodiscard]] std::uint64_t lost() const { return missing + differing + charges.never + reservations.never; }
  [[nodiscard]] std::uint64_t owed() const { return charges.owed + reservations.owed; }
  [[nodiscard]] std::uint64_t doubled() const { return charges.twice + reservations.twice; }
  [[nodiscard]] std::uint64_t unknown() const { return unread + charges.unread + reservations.unread; }
};

/// Of the JSON that GET /charges/{order} or GET /reservations/{order} answers: how many there are, those that were released not
/// counted; -1 when it cannot be read.
[[nodiscard]] int count_bookings(std::string_view body, std::string_view list);

/// Sentences about what is waited for.
using teller = std::function<void(const std::string&)>;

/// How many bookings a second the settlement of one service makes: settlement_options::per_second_max of the order service.
inline constexpr double settled_a_second = 300;

/// How long the service gets for what it owes: `settle_ns`, and twice the time that its settlement takes when nothing disturbs it.
[[nodiscard]] std::int64_t settle_bound_ns(const std::map<std::string, std::uint64_t>& owed, std::int64_t settle_ns);

/// Waits until GET /stats says that nothing is owed, at most for the time above; not at all for a version that owes nothing by its
/// nature. What does not answer is asked again for `settle_ns`.
[[nodiscard]] settling wait_for_debts(const load::target& service, std::int64_t settle_ns, const teller& tell);

/// Waits for what is owed, reads all orders back from `service`, and asks both downstreams. Of a version that does not say what it
/// owes, orders that are not booked yet are asked for again until `settle_ns` has passed.
[[nodiscard]] judgement judge(const load::engine_options& service, const load::target& payment, const load::target& inventory,
                              const orders::order_maker& maker, const orders::ledger& orders, std::int64_t settle_ns,
                              const teller& tell = {});

}  // namespace levity::story
