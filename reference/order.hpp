// order.hpp — what an order is: its fields, its limits, its way from created to delivered, and its JSON.
//
// What was ordered (customer and items) never changes, so it is packed once, when the request is parsed, and the same
// bytes go into the log, the memory of the book and the snapshot; only the JSON writer walks over them. Two requests
// order the same exactly when their packed bytes are equal: an idempotency key needs no fingerprint beside it.
//
// Packed contents: customer length (1 byte), customer, item count (1 byte), then per item: sku length (1 byte), sku,
// quantity (3 bytes, little endian). Every value has one encoding only.
//
// Legal transitions
//   created -> paid -> shipped -> delivered
//   created -> cancelled, paid -> cancelled
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace orders {

inline constexpr std::size_t items_max = 100;
inline constexpr std::uint32_t quantity_max = 1'000'000;
inline constexpr std::size_t name_length_max = 64;  // customer, sku
inline constexpr std::size_t key_length_max = 128;  // Idempotency-Key
inline constexpr std::size_t body_size_max = 64 * 1024;
inline constexpr std::size_t contents_size_max = 2 + name_length_max + items_max * (4 + name_length_max);

enum class order_status : std::uint8_t { created, paid, shipped, delivered, cancelled };
inline constexpr std::uint8_t order_status_count = 5;

/// What is still to be made elsewhere for an order, as bits: the charge at payment, the reservation at inventory. An order that was
/// created by a service that calls nobody owes nothing.
using owed = std::uint8_t;
inline constexpr owed owes_charge = 1;
inline constexpr owed owes_reservation = 2;
inline constexpr owed owes_all = owes_charge | owes_reservation;

std::string_view name_of(order_status status) noexcept;
std::optional<order_status> status_named(std::string_view name) noexcept;
bool may_become(order_status from, order_status to) noexcept;

/// Letters, digits and `-_.:@`, 1 to 64 of them: what a customer or sku may be called.
bool is_name(std::string_view text) noexcept;
/// Visible ASCII, 1 to 128 characters: what an idempotency key may be.
bool is_key(std::string_view text) noexcept;

struct order_item {
  std::string_view sku;
  std::uint32_t quantity = 0;
  friend bool operator==(const order_item&, const order_item&) = default;
};

/// A view of packed contents; it owns nothing. Iterate it for the items.
class contents_view {
public:
  class iterator {
  public:
    explicit iterator(const char* at = nullptr, std::size_t left = 0) noexcept : at_(at), left_(left) {}
    order_item operator*() const noexcept;
    iterator& operator++() noexcept;
    friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.left_ == b.left_; }

  private:
    const char* at_;
    std::size_t left_;
  };

  contents_view() = default;
  /// Checks every length, limit and character. Nothing if `packed` is not exactly one legal contents.
  static std::optional<contents_view> checked(std::string_view packed) noexcept;
  /// `packed` must have been checked before.
  static contents_view trusted(std::string_view packed) noexcept { return contents_view{packed}; }

  std::string_view customer() const noexcept;
  std::size_t item_count() const noexcept;
  iterator begin() const noexcept;
  iterator end() const noexcept { return iterator{}; }
  std::string_view packed() const noexcept { return packed_; }

private:
  explicit contents_view(std::string_view packed) noexcept : packed_(packed) {}
  std::string_view packed_;
};

/// An order as the book shows it. The contents live as long as the book; the other fields are a copy of the moment.
struct order_view {
  std::uint64_t id = 0;
  contents_view contents;
  order_status status = order_status::created;
  std::uint32_t version = 1;
  std::int64_t created_at_ns = 0;  // since 1970, UTC
  std::int64_t updated_at_ns = 0;
  std::uint64_t sequence = 0;  // of the log record that changed it last; 0 if that was before the last restart
  owed owes = 0;               // changes by itself and moves neither version nor sequence: nobody is shown it
};

/// What POST /orders asks for, checked against every limit.
struct new_order {
  std::string packed;
  contents_view contents() const noexcept { return contents_view::trusted(packed); }
};

/// What PATCH /orders/{id} asks for. With `version`, only if the order still has it.
struct change_request {
  order_status to = order_status::created;
  std::optional<std::uint32_t> version;
};

/// An answer that is not 2xx (RFC 9457). `detail` is one sentence: what is wrong and what would be right.
struct problem {
  int status = 400;
  std::string_view title;
  std::string detail;
  std::string pointer;  // JSON pointer to the field at fault, or empty
};

/// Thread-safe. Errors: 400 not JSON, 413 larger than body_size_max, 422 a field is missing, unknown or out of limits.
std::expected<new_order, problem> parse_new_order(std::string_view body);
std::expected<change_request, problem> parse_change(std::string_view body);

/// `ord_` and 16 lower-case hexadecimal digits; never 0.
std::optional<std::uint64_t> parse_order_id(std::string_view text) noexcept;
std::string order_id_text(std::uint64_t id);

/// Appends JSON. Text that is not UTF-8 is written with replacement characters, so the output always is.
void write_order(std::string& out, const order_view& order);
/// `{"orders":[...],"next":"ord_..."}`; `next` is null on the last page, otherwise what `after` must be for the next.
void write_orders(std::string& out, std::span<const order_view> orders, std::uint64_t next);
void write_problem(std::string& out, const problem& problem);
void write_string(std::string& out, std::string_view text);

/// An order that owns what it says: for clients that read orders back.
struct order {
  std::uint64_t id = 0;
  std::string customer;
  struct item {
    std::string sku;
    std::uint32_t quantity = 0;
    friend bool operator==(const item&, const item&) = default;
  };
  std::vector<item> items;
  order_status status = order_status::created;
  std::uint32_t version = 1;
  std::int64_t created_at_ns = 0;
  std::int64_t updated_at_ns = 0;
  friend bool operator==(const order&, const order&) = default;
};

/// Reads what write_order wrote. The error is one sentence.
std::expected<order, std::string> parse_order(std::string_view json);
/// The packed contents of `customer` and `items`; nothing if a limit is broken.
std::optional<new_order> pack_contents(std::string_view customer, std::span<const order_item> items);

/// `2026-11-23T13:10:51.123456789Z`.
void write_time(std::string& out, std::int64_t time_ns);
std::optional<std::int64_t> parse_time(std::string_view text) noexcept;

}  // namespace orders
