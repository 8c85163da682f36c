// stock.hpp — what the inventory service has put aside, for whom: reservations by order, what is free of each sku.
//
// Pure, as charges.hpp is. Every sku that nobody has told of has the same stock at the start, so that no catalogue is needed.
//
//   free(sku) = stock at the start - what reservations that were not released hold of it, and never less than 0
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "reference/order.hpp"

namespace orders {

struct reserved_item {
  std::string sku;
  std::uint64_t quantity = 0;
  friend bool operator==(const reserved_item&, const reserved_item&) = default;
};

struct reservation {
  std::uint64_t id = 0;
  std::string order;
  std::vector<reserved_item> items;
  std::string key;        ///< empty without an Idempotency-Key
  bool released = false;
  friend bool operator==(const reservation&, const reservation&) = default;
};

struct reservation_request {
  std::string order;
  std::vector<reserved_item> items;
};

/// Reads the body of POST /reservations. Errors: 400 not JSON, 422 a field is missing, unknown or out of limits.
std::expected<reservation_request, problem> parse_reservation_request(std::string_view body);

/// Appends JSON: `{"reservation":"res_1","order":"ord_...","items":[{"sku":"tea","quantity":2}],"released":false}`.
void write_reservation(std::string& out, const reservation& made);
/// `{"order":"...","reservations":[...]}`.
void write_reservations(std::string& out, std::string_view order, const std::vector<reservation>& made);

/// Not thread-safe.
class stock_book {
public:
  explicit stock_book(std::uint64_t stock_at_start) : start_(stock_at_start) {}

  struct decided {
    reservation made;
    bool repeated = false;  ///< the key had made it before: nothing is to be applied
  };
  /// What becomes of a request. Without a key every request is another reservation. Errors: 400 the key is not one, 409 there is
  /// not enough, 422 the key made another reservation.
  std::expected<decided, problem> decide(const reservation_request& wanted, std::string_view key) const;

  /// A reservation that was decided on this book, or stands in its journal.
  void apply(reservation made);
  /// Gives back what the order's reservations hold; how many were released now. Idempotent.
  std::size_t release(std::string_view order);

  /// What the journal keeps, and back. The error is the second half of a sentence.
  static std::string line_of(const reservation& made);
  static std::string line_of_release(std::string_view order);
  std::expected<void, std::string> replay(std::string_view line);

  /// Oldest first, the released ones too; none for an order that has none.
  const std::vector<reservation>& of_order(std::string_view order) const;
  std::uint64_t free(std::string_view sku) const;
  std::uint64_t held(std::string_view sku) const;
  std::uint64_t size() const noexcept { return size_; }

private:
  std::uint64_t start_;
  std::unordered_map<std::string, std::vector<reservation>> by_order_;
  std::unordered_map<std::string, reservation> by_key_;
  std::unordered_map<std::string, std::uint64_t> held_;
  std::uint64_t size_ = 0;
};

}  // namespace orders
