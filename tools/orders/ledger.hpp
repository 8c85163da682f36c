// ledger.hpp -- what the order service has promised: every acknowledged order and the last state it acknowledged.
//
// The contents of order number n follow from the seed and n alone, so that only what the service has decided is kept.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace levity::orders {

struct item {
  std::string sku;
  std::uint32_t quantity = 0;
  friend bool operator==(const item&, const item&) = default;
};

/// What a client asks for.
struct contents {
  std::string customer;
  std::vector<item> items;
  friend bool operator==(const contents&, const contents&) = default;
};

/// An order as the service answers it.
struct order_facts {
  std::string id;
  contents asked;
  std::string status;
  std::uint64_t version = 0;
  std::string created_at;
  std::string updated_at;
};

/// Reads an order; empty when a field is missing or of the wrong type.
[[nodiscard]] std::optional<order_facts> read_order(std::string_view json);

/// The statuses an order may go to from `status`; empty at the end of its way.
[[nodiscard]] std::vector<std::string_view> next_statuses(std::string_view status);

/// Orders that look different from each other and are the same for the same seed and number.
class order_maker {
public:
  order_maker(std::uint64_t seed, std::uint64_t customers) : seed_(seed), customers_(customers) {}
  [[nodiscard]] contents make(std::uint64_t number) const;
  [[nodiscard]] std::string body(std::uint64_t number) const;
  [[nodiscard]] std::string key(std::uint64_t number) const;
  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] std::uint64_t customers() const { return customers_; }

private:
  std::uint64_t seed_;
  std::uint64_t customers_;
};

struct entry {
  std::uint64_t number = 0;  ///< of the order_maker
  std::string id;
  std::string status;
  std::uint64_t version = 1;
  std::string created_at;
  std::string maybe_status;  ///< a change that got no answer: it may have happened or not
  bool changing = false;     ///< a change is under way
  std::string last_body;     ///< the last answer that showed this state, byte by byte
};

class ledger {
public:
  /// Takes a new order; false when its id is known already.
  bool add(entry made);
  [[nodiscard]] std::vector<entry>& entries() { return entries_; }
  [[nodiscard]] const std::vector<entry>& entries() const { return entries_; }
  [[nodiscard]] const entry* find(std::string_view id) const;

  /// Moves all of `other` in; the number of ids both had.
  std::size_t merge(ledger&& other);

  /// One line of JSON for the maker, one for each order. The error is one sentence.
  [[nodiscard]] std::expected<void, std::string> write(const std::string& path, const order_maker& maker) const;
  struct loaded;
  [[nodiscard]] static std::expected<loaded, std::string> read(const std::string& path);

private:
  std::vector<entry> entries_;
  std::unordered_map<std::string, std::size_t> by_id_;
};

struct ledger::loaded {
  order_maker maker;
  ledger orders;
};

/// Why an answer contradicts what was promised; empty when it does not. `version_min` is the version that was acknowledged
/// before the answer was asked for.
[[nodiscard]] std::optional<std::string> contradiction(const order_facts& seen, const entry& promised,
                                                       const order_maker& maker, std::uint64_t version_min);

}  // namespace levity::orders
