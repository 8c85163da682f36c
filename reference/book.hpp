// book.hpp — all orders in memory: by id, by idempotency key, by customer.
//
// The book has two halves. `place` and `change` decide: they look, change nothing, and return the record that would make
// it so, or the answer that refuses. `apply` does: it takes records only, so the same records always make the same book,
// whether they come from a request or from the log after a restart.
//
// Layout, about 40 bytes an order beside its text and 30 for its entries in the two tables
//   slots   fixed size, in 2 MiB pages that never move; ids are dense from 1, so the id is the index
//   text    contents and key, packed, in 2 MiB pages that never move: a view stays valid as long as the book
//   tables  256 small robin-hood tables for keys, and as many for customers. Small, so that growing one moves a few
//           thousand entries (tens of µs) and never a million (tens of ms) under a request.
//   customer lists are linked through the slots, in order of creation.
//
// Idempotency keys are kept as long as their orders: a repeat, however late, answers the same order.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "reference/log_format.hpp"
#include "reference/order.hpp"

namespace orders {

inline constexpr std::size_t page_orders_max = 100;

/// Not thread-safe: one owner, or a lock around each call. Views from it may be read after the lock is released.
class book {
public:
  book();
  book(book&&) noexcept;
  book& operator=(book&&) noexcept;
  ~book();

  std::uint64_t size() const noexcept;
  std::uint64_t next_id() const noexcept { return size() + 1; }
  /// Of the last record applied; 0 before the first.
  std::uint64_t last_sequence() const noexcept;

  /// O(1).
  std::optional<order_view> find(std::uint64_t id) const;
  /// Expected O(1).
  std::optional<order_view> find_by_key(std::string_view key) const;
  /// The key that order `id` was created with; empty if none or no such order.
  std::string_view key_of(std::uint64_t id) const;

  struct page {
    std::vector<order_view> orders;
    std::uint64_t next = 0;      // what `after` must be for the next page; 0 on the last
    std::uint64_t sequence = 0;  // the highest of the orders' sequences
  };
  /// The customer's orders in order of creation, from the one after `after` (0: from the first), at most `limit`
  /// (1 to 100). A customer without orders has an empty page. Errors: 400 if `after` is no order of this customer.
  std::expected<page, problem> list(std::string_view customer, std::uint64_t after, std::size_t limit) const;

  /// Either the order that this key already made, or the record that makes a new one; its views point into `wanted` and
  /// `key`. Errors: 400 the key is malformed, 422 the key made an order with other contents.
  using placement = std::variant<order_view, create_record>;
  std::expected<placement, problem> place(const new_order& wanted, std::string_view key, std::int64_t now_ns) const;

  /// Errors: 404 no such order, 409 not a legal transition or not the version that was asked for.
  std::expected<change_record, problem> change(std::uint64_t id, const change_request& wanted,
                                               std::int64_t now_ns) const;

  /// Expected O(1), below 1 µs. Errors: the record does not fit to the book; the book is unchanged. A record that a
  /// snapshot may have included already (see replays_until) is accepted again and changes nothing.
  std::expected<void, std::string> apply(std::uint64_t sequence, const log_record& entry);

  /// From now on, records up to `sequence` may repeat what the book already holds.
  void replays_until(std::uint64_t sequence) noexcept;
  /// The log goes on with `sequence` + 1: what the book holds came from a snapshot.
  void continues_after(std::uint64_t sequence) noexcept;
  /// Room for this many orders, so that loading them grows no table.
  void reserve(std::uint64_t orders);

  /// A hash over every order and key. Equal books have equal digests. O(size).
  std::uint64_t digest() const;
  /// One sentence about the first equation that does not hold, or nothing. O(size).
  std::optional<std::string> check_invariants() const;

private:
  struct tables;
  std::unique_ptr<tables> tables_;
};

/// 404 for an id that is not one or is not known.
problem unknown_order(std::string_view id_text);

}  // namespace orders
