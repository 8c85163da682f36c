#include "reference/inventory/stock.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "reference/downstream/kept_parser.hpp"

namespace orders {
namespace {

namespace dom = simdjson::dom;

problem not_valid(std::string detail, std::string pointer = {}) {
  return {422, "The reservation is not valid", std::move(detail), std::move(pointer)};
}

// True if `from` is an array of 1 to items_max items within their limits.
bool read_items(const dom::element& from, std::vector<reserved_item>& into) {
  dom::array items;
  if (from.get(items) || items.size() < 1 || items.size() > items_max) return false;
  for (const dom::element one : items) {
    std::string_view sku;
    std::uint64_t quantity = 0;
    if (one["sku"].get(sku) || one["quantity"].get(quantity)) return false;
    if (!is_name(sku) || quantity < 1 || quantity > quantity_max) return false;
    into.push_back({std::string(sku), quantity});
  }
  return true;
}

void write_items(std::string& out, const std::vector<reserved_item>& items) {
  out += '[';
  for (const reserved_item& one : items) {
    if (&one != &items.front()) out += ',';
    out += R"({"sku":)";
    write_string(out, one.sku);
    fmt::format_to(std::back_inserter(out), R"(,"quantity":{}}})", one.quantity);
  }
  out += ']';
}

}  // namespace

std::expected<reservation_request, problem> parse_reservation_request(std::string_view body) {
  dom::object object;
  if (kept_parser().parse(body.data(), body.size(), true).get(object)) {
    return std::unexpected(problem{400, "The body is not JSON",
                                   R"(A reservation is {"order":"ord_...","items":[{"sku":"tea","quantity":2}]}.)", {}});
  }
  reservation_request made;
  for (const auto field : object) {
    std::string_view text;
    if (field.key == "order") {
      if (field.value.get(text) || !is_name(text)) {
        return std::unexpected(not_valid("'order' is 1 to 64 letters, digits and -_.:@.", "/order"));
      }
      made.order = text;
    } else if (field.key == "items") {
      made.items.clear();
      if (!read_items(field.value, made.items)) {
        return std::unexpected(not_valid("'items' are 1 to 100 of {\"sku\":NAME,\"quantity\":1 to 1,000,000}.", "/items"));
      }
    } else {
      return std::unexpected(not_valid("A reservation has the fields 'order' and 'items', and no others."));
    }
  }
  if (made.order.empty() || made.items.empty()) return std::unexpected(not_valid("A reservation needs 'order' and 'items'."));
  return made;
}

void write_reservation(std::string& out, const reservation& made) {
  fmt::format_to(std::back_inserter(out), R"({{"reservation":"res_{}","order":)", made.id);
  write_string(out, made.order);
  out += R"(,"items":)";
  write_items(out, made.items);
  fmt::format_to(std::back_inserter(out), R"(,"released":{}}})", made.released);
}

void write_reservations(std::string& out, std::string_view order, const std::vector<reservation>& made) {
  out += R"({"order":)";
  write_string(out, order);
  out += R"(,"reservations":[)";
  for (const reservation& one : made) {
    if (&one != &made.front()) out += ',';
    write_reservation(out, one);
  }
  out += "]}";
}

std::expected<stock_book::decided, problem> stock_book::decide(const reservation_request& wanted, std::string_view key) const {
  if (!key.empty()) {
    if (!is_key(key)) {
      return std::unexpected(problem{400, "The Idempotency-Key is not valid",
                                     "An Idempotency-Key must have 1 to 128 visible ASCII characters.", {}});
    }
    if (const auto known = by_key_.find(std::string(key)); known != by_key_.end()) {
      if (known->second.order == wanted.order && known->second.items == wanted.items) return decided{known->second, true};
      return std::unexpected(not_valid("This Idempotency-Key made another reservation; use a new key for a new one."));
    }
  }
  // An order may name a sku twice.
  std::unordered_map<std::string_view, std::uint64_t> sums;
  for (const reserved_item& one : wanted.items) sums[one.sku] += one.quantity;
  for (const auto& [sku, quantity] : sums) {
    if (quantity > free(sku)) {
      return std::unexpected(problem{409, "There is not enough",
                                     fmt::format("{} of '{}' were asked for, {} are free.", quantity, sku, free(sku)), "/items"});
    }
  }
  return decided{{size_ + 1, wanted.order, wanted.items, std::string(key), false}, false};
}

void stock_book::apply(reservation made) {
  size_ = std::max(size_, made.id);
  for (const reserved_item& one : made.items) held_[one.sku] += one.quantity;
  if (!made.key.empty()) by_key_.emplace(made.key, made);
  by_order_[made.order].push_back(std::move(made));
}

std::size_t stock_book::release(std::string_view order) {
  const auto found = by_order_.find(std::string(order));
  if (found == by_order_.end()) return 0;
  std::size_t released = 0;
  for (reservation& one : found->second) {
    if (std::exchange(one.released, true)) continue;
    ++released;
    for (const reserved_item& item : one.items) held_[item.sku] -= item.quantity;
    if (!one.key.empty()) by_key_[one.key].released = true;
  }
  return released;
}

std::string stock_book::line_of(const reservation& made) {
  std::string line = fmt::format(R"({{"reservation":{},"order":)", made.id);
  write_string(line, made.order);
  line += R"(,"items":)";
  write_items(line, made.items);
  line += R"(,"key":)";
  write_string(line, made.key);
  line += '}';
  return line;
}

std::string stock_book::line_of_release(std::string_view order) {
  std::string line = R"({"released":)";
  write_string(line, order);
  line += '}';
  return line;
}

std::expected<void, std::string> stock_book::replay(std::string_view line) {
  dom::object object;
  if (kept_parser().parse(line.data(), line.size(), true).get(object)) return std::unexpected("is not JSON");
  std::string_view order;
  if (!object["released"].get(order)) {
    release(order);
    return {};
  }
  reservation made;
  std::string_view key;
  dom::element items;
  if (object["reservation"].get(made.id) || object["order"].get(order) || object["key"].get(key) || object["items"].get(items) ||
      !read_items(items, made.items)) {
    return std::unexpected("is no reservation");
  }
  made.order = order;
  made.key = key;
  apply(std::move(made));
  return {};
}

const std::vector<reservation>& stock_book::of_order(std::string_view order) const {
  static const std::vector<reservation> none;
  const auto found = by_order_.find(std::string(order));
  return found == by_order_.end() ? none : found->second;
}

std::uint64_t stock_book::held(std::string_view sku) const {
  const auto found = held_.find(std::string(sku));
  return found == held_.end() ? 0 : found->second;
}

std::uint64_t stock_book::free(std::string_view sku) const {
  const std::uint64_t taken = held(sku);
  return taken < start_ ? start_ - taken : 0;
}

}  // namespace orders
