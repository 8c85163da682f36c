#include "reference/payment/charges.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "reference/downstream/kept_parser.hpp"

namespace orders {
namespace {

problem not_valid(std::string detail, std::string pointer = {}) {
  return {422, "The charge is not valid", std::move(detail), std::move(pointer)};
}

}  // namespace

std::expected<charge_request, problem> parse_charge_request(std::string_view body) {
  simdjson::dom::object object;
  if (kept_parser().parse(body.data(), body.size(), true).get(object)) {
    return std::unexpected(problem{400, "The body is not JSON", R"(A charge is {"order":"ord_...","amount":1200}.)", {}});
  }
  charge_request made;
  for (const auto field : object) {
    std::string_view text;
    if (field.key == "order") {
      if (field.value.get(text) || !is_name(text))
        return std::unexpected(not_valid("'order' is 1 to 64 letters, digits and -_.:@.", "/order"));
      made.order = text;
    } else if (field.key == "amount") {
      if (field.value.get(made.amount) || made.amount < 1 || made.amount > amount_max) {
        return std::unexpected(not_valid("'amount' is a whole number of cents, 1 to 1,000,000,000,000.", "/amount"));
      }
    } else {
      return std::unexpected(not_valid("A charge has the fields 'order' and 'amount', and no others."));
    }
  }
  if (made.order.empty() || made.amount == 0) return std::unexpected(not_valid("A charge needs 'order' and 'amount'."));
  return made;
}

void write_charge(std::string& out, const charge& made) {
  fmt::format_to(std::back_inserter(out), R"({{"charge":"ch_{}","order":)", made.id);
  write_string(out, made.order);
  fmt::format_to(std::back_inserter(out), R"(,"amount":{}}})", made.amount);
}

void write_charges(std::string& out, std::string_view order, const std::vector<charge>& made) {
  out += R"({"order":)";
  write_string(out, order);
  out += R"(,"charges":[)";
  for (const charge& one : made) {
    if (&one != &made.front()) out += ',';
    write_charge(out, one);
  }
  out += "]}";
}

std::expected<charge_book::decided, problem> charge_book::decide(const charge_request& wanted, std::string_view key) const {
  if (!key.empty()) {
    if (!is_key(key)) {
      return std::unexpected(problem{400, "The Idempotency-Key is not valid",
                                     "An Idempotency-Key must have 1 to 128 visible ASCII characters.", {}});
    }
    if (const auto known = by_key_.find(std::string(key)); known != by_key_.end()) {
      if (known->second.order == wanted.order && known->second.amount == wanted.amount) return decided{known->second, true};
      return std::unexpected(not_valid("This Idempotency-Key made another charge; use a new key for a new one."));
    }
  }
  return decided{{size_ + 1, wanted.order, wanted.amount, std::string(key)}, false};
}

void charge_book::apply(charge made) {
  size_ = std::max(size_, made.id);
  if (!made.key.empty()) by_key_.emplace(made.key, made);
  by_order_[made.order].push_back(std::move(made));
}

std::string charge_book::line_of(const charge& made) {
  std::string line = fmt::format(R"({{"charge":{},"order":)", made.id);
  write_string(line, made.order);
  fmt::format_to(std::back_inserter(line), R"(,"amount":{},"key":)", made.amount);
  write_string(line, made.key);
  line += '}';
  return line;
}

std::expected<charge, std::string> charge_book::read_line(std::string_view line) {
  simdjson::dom::object object;
  if (kept_parser().parse(line.data(), line.size(), true).get(object)) return std::unexpected("is not JSON");
  charge made;
  std::string_view order;
  std::string_view key;
  if (object["charge"].get(made.id) || object["order"].get(order) || object["amount"].get(made.amount) ||
      object["key"].get(key)) {
    return std::unexpected("is no charge");
  }
  made.order = order;
  made.key = key;
  return made;
}

const std::vector<charge>& charge_book::of_order(std::string_view order) const {
  static const std::vector<charge> none;
  const auto found = by_order_.find(std::string(order));
  return found == by_order_.end() ? none : found->second;
}

}  // namespace orders
