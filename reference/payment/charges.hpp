// charges.hpp — what the payment service has taken, from whom: charges by order, and by the key that keeps one from being taken
// twice.
//
// Pure: it knows neither sockets nor files. A charge is decided, written to the journal as a line, applied; recovery applies lines.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "reference/order.hpp"

namespace orders {

inline constexpr std::uint64_t amount_max = 1'000'000'000'000;  // cents

struct charge {
  std::uint64_t id = 0;
  std::string order;
  std::uint64_t amount = 0;  ///< cents
  std::string key;           ///< empty without an Idempotency-Key
  friend bool operator==(const charge&, const charge&) = default;
};

struct charge_request {
  std::string order;
  std::uint64_t amount = 0;
};

/// Reads the body of POST /charges. Errors: 400 not JSON, 422 a field is missing, unknown or out of limits.
std::expected<charge_request, problem> parse_charge_request(std::string_view body);

/// Appends JSON: `{"charge":"ch_1","order":"ord_...","amount":1200}`.
void write_charge(std::string& out, const charge& made);
/// `{"order":"...","charges":[...]}`.
void write_charges(std::string& out, std::string_view order, const std::vector<charge>& made);

/// Not thread-safe.
class charge_book {
public:
  struct decided {
    charge made;
    bool repeated = false;  ///< the key had made it before: nothing is to be applied
  };
  /// What becomes of a request. Without a key every request is another charge. Errors: 400 the key is not one, 422 the key made
  /// another charge.
  std::expected<decided, problem> decide(const charge_request& wanted, std::string_view key) const;

  /// A charge that was decided on this book, or stands in its journal.
  void apply(charge made);
  /// What the journal keeps of a charge, and back. The error is the second half of a sentence.
  static std::string line_of(const charge& made);
  static std::expected<charge, std::string> read_line(std::string_view line);

  /// Oldest first; none for an order that was never charged.
  const std::vector<charge>& of_order(std::string_view order) const;
  std::uint64_t size() const noexcept { return size_; }

private:
  std::unordered_map<std::string, std::vector<charge>> by_order_;
  std::unordered_map<std::string, charge> by_key_;
  std::uint64_t size_ = 0;
};

}  // namespace orders
