#include "reference/order.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstring>

#include <simdjson.h>

namespace orders {
namespace {

constexpr std::array<std::string_view, order_status_count> status_names{"created", "paid", "shipped", "delivered",
                                                                        "cancelled"};

constexpr std::array<bool, 256> name_characters = [] {
  std::array<bool, 256> table{};
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c = '0'; c <= '9'; ++c) table[static_cast<unsigned char>(c)] = true;
  for (char c : {'-', '_', '.', ':', '@'}) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

std::size_t byte_at(const char* at) noexcept { return static_cast<unsigned char>(*at); }

std::uint32_t quantity_at(const char* at) noexcept {
  return static_cast<std::uint32_t>(byte_at(at) | byte_at(at + 1) << 8 | byte_at(at + 2) << 16);
}

void pack_name(std::string& out, std::string_view name) {
  out.push_back(static_cast<char>(name.size()));
  out.append(name);
}

void pack_quantity(std::string& out, std::uint32_t quantity) {
  const char bytes[3] = {static_cast<char>(quantity & 0xff), static_cast<char>(quantity >> 8 & 0xff),
                         static_cast<char>(quantity >> 16 & 0xff)};
  out.append(bytes, sizeof bytes);
}

// ---- problems -------------------------------------------------------------------------------------------------------

// A stranger's text inside our sentence: at most 40 bytes of it, never half a character.
std::string quoted(std::string_view text) {
  constexpr std::size_t shown_max = 40;
  std::string out = "'";
  if (text.size() <= shown_max) {
    out.append(text);
  } else {
    std::size_t end = shown_max;
    while (end > 0 && (byte_at(text.data() + end) & 0xc0) == 0x80) --end;
    out.append(text.substr(0, end)).append("...");
  }
  return out.append("'");
}

problem not_json(std::string_view why) {
  return {400, "The body is not JSON", std::string("The body must be one JSON object: ").append(why).append("."), {}};
}

problem refused(std::string pointer, std::string detail) {
  return {422, "The order is not valid", std::move(detail), std::move(pointer)};
}

problem refused_change(std::string pointer, std::string detail) {
  return {422, "The change is not valid", std::move(detail), std::move(pointer)};
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::array<std::size_t, 24> row{};
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// "Unknown field 'custmer'; did you mean 'customer'?"
std::string unknown_field(std::string_view name, std::span<const std::string_view> known) {
  std::string sentence = "Unknown field " + quoted(name);
  const std::string_view* nearest = nullptr;
  std::size_t nearest_distance = 3;
  if (name.size() < 20) {
    for (const auto& candidate : known) {
      const std::size_t distance = edit_distance(name, candidate);
      if (distance < nearest_distance) nearest = &candidate, nearest_distance = distance;
    }
  }
  if (nearest) return sentence.append("; did you mean '").append(*nearest).append("'?");
  sentence.append("; known are ");
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (i > 0) sentence.append(i + 1 == known.size() ? " and " : ", ");
    sentence.append("'").append(known[i]).append("'");
  }
  return sentence.append(".");
}

std::string twice(std::string_view name) { return "Field " + quoted(name) + " is given twice; give it once."; }

// A pointer into items, e.g. /items/3/sku.
std::string item_pointer(std::size_t index, std::string_view field = {}) {
  std::string pointer = "/items/" + std::to_string(index);
  if (!field.empty()) pointer.append("/").append(field);
  return pointer;
}

std::string name_rule(std::string_view what) {
  return std::string(what).append(" must be a string of 1 to 64 letters, digits or any of '-_.:@'.");
}

// ---- JSON in --------------------------------------------------------------------------------------------------------

namespace dom = simdjson::dom;

// The parser keeps its memory from one body to the next. body_size_max bounds it to about 1 MiB a thread; bodies of
// usual size leave it at a few KiB.
dom::parser& thread_parser() {
  thread_local dom::parser parser{body_size_max};
  return parser;
}

std::expected<dom::object, problem> parse_object(std::string_view body) {
  if (body.size() > body_size_max) {
    return std::unexpected(problem{413, "The body is too large",
                                   "The body may have at most 65536 bytes and has " + std::to_string(body.size()) + ".",
                                   {}});
  }
  dom::element root;
  if (const auto error = thread_parser().parse(body.data(), body.size(), true).get(root)) {
    switch (error) {
      case simdjson::EMPTY: return std::unexpected(not_json("it is empty"));
      case simdjson::UTF8_ERROR: return std::unexpected(not_json("it is not UTF-8"));
      case simdjson::UNCLOSED_STRING: return std::unexpected(not_json("a string is not closed"));
      case simdjson::UNESCAPED_CHARS:
        return std::unexpected(not_json("a control character in a string is not escaped"));
      case simdjson::DEPTH_ERROR: return std::unexpected(not_json("it is nested too deeply"));
      case simdjson::NUMBER_ERROR: return std::unexpected(not_json("a number is malformed or too large"));
      case simdjson::STRING_ERROR: return std::unexpected(not_json("a string has an illegal escape"));
      default: return std::unexpected(not_json("its syntax is wrong"));
    }
  }
  dom::object object;
  if (root.get(object)) return std::unexpected(not_json("it is a JSON value of another kind"));
  return object;
}

std::expected<void, problem> parse_item(std::string& packed, dom::element element, std::size_t index) {
  dom::object object;
  if (element.get(object)) {
    return std::unexpected(refused(item_pointer(index), "Each item must be an object with 'sku' and 'quantity'."));
  }
  std::string_view sku;
  std::int64_t quantity = 0;
  bool has_sku = false, has_quantity = false;
  for (const auto field : object) {
    if (field.key == "sku") {
      if (has_sku) return std::unexpected(refused(item_pointer(index, "sku"), twice("sku")));
      has_sku = true;
      if (field.value.get(sku) || !is_name(sku)) {
        return std::unexpected(refused(item_pointer(index, "sku"), name_rule("'sku'")));
      }
    } else if (field.key == "quantity") {
      if (has_quantity) return std::unexpected(refused(item_pointer(index, "quantity"), twice("quantity")));
      has_quantity = true;
      if (field.value.get(quantity) || quantity < 1 || quantity > quantity_max) {
        return std::unexpected(
            refused(item_pointer(index, "quantity"), "'quantity' must be a whole number from 1 to 1000000."));
      }
    } else {
      static constexpr std::array<std::string_view, 2> known{"sku", "quantity"};
      return std::unexpected(refused(item_pointer(index), unknown_field(field.key, known)));
    }
  }
  if (!has_sku) return std::unexpected(refused(item_pointer(index, "sku"), "The item has no 'sku'; every item needs one."));
  if (!has_quantity) {
    return std::unexpected(
        refused(item_pointer(index, "quantity"), "The item has no 'quantity'; every item needs one."));
  }
  pack_name(packed, sku);
  pack_quantity(packed, static_cast<std::uint32_t>(quantity));
  return {};
}

// ---- JSON out -------------------------------------------------------------------------------------------------------

constexpr std::string_view hex_digits = "0123456789abcdef";

// Strings with a character below 0x20, a quote or a backslash. Text must be UTF-8.
void write_escaped(std::string& out, std::string_view text) {
  std::size_t plain = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (byte_at(&c) >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text.substr(plain, i - plain));
    plain = i + 1;
    switch (c) {
      case '"': out.append("\\\""); break;
      case '\\': out.append("\\\\"); break;
      case '\b': out.append("\\b"); break;
      case '\f': out.append("\\f"); break;
      case '\n': out.append("\\n"); break;
      case '\r': out.append("\\r"); break;
      case '\t': out.append("\\t"); break;
      default: {
        const char escape[6] = {'\\', 'u', '0', '0', hex_digits[byte_at(&c) >> 4], hex_digits[byte_at(&c) & 15]};
        out.append(escape, sizeof escape);
      }
    }
  }
  out.append(text.substr(plain));
}

void write_number(std::string& out, std::uint64_t number) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, static_cast<std::size_t>(end - digits));
}

void write_id(std::string& out, std::uint64_t id) {
  char text[20] = {'o', 'r', 'd', '_'};
  for (int i = 0; i < 16; ++i) text[4 + i] = hex_digits[id >> (60 - 4 * i) & 15];
  out.append(text, sizeof text);
}

void put_digits(char* at, std::uint32_t number, int count) noexcept {
  for (int i = count - 1; i >= 0; --i, number /= 10) at[i] = static_cast<char>('0' + number % 10);
}

std::optional<std::uint32_t> get_digits(std::string_view text) noexcept {
  std::uint32_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return number;
}

}  // namespace

std::string_view name_of(order_status status) noexcept { return status_names[static_cast<std::size_t>(status)]; }

std::optional<order_status> status_named(std::string_view name) noexcept {
  for (std::size_t i = 0; i < status_names.size(); ++i) {
    if (status_names[i] == name) return static_cast<order_status>(i);
  }
  return std::nullopt;
}

bool may_become(order_status from, order_status to) noexcept {
  switch (from) {
    case order_status::created: return to == order_status::paid || to == order_status::cancelled;
    case order_status::paid: return to == order_status::shipped || to == order_status::cancelled;
    case order_status::shipped: return to == order_status::delivered;
    case order_status::delivered:
    case order_status::cancelled: return false;
  }
  return false;
}

bool is_name(std::string_view text) noexcept {
  if (text.empty() || text.size() > name_length_max) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return name_characters[byte_at(&c)]; });
}

bool is_key(std::string_view text) noexcept {
  if (text.empty() || text.size() > key_length_max) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

order_item contents_view::iterator::operator*() const noexcept {
  const std::size_t length = byte_at(at_);
  return {std::string_view(at_ + 1, length), quantity_at(at_ + 1 + length)};
}

contents_view::iterator& contents_view::iterator::operator++() noexcept {
  at_ += 4 + byte_at(at_);
  --left_;
  return *this;
}

std::optional<contents_view> contents_view::checked(std::string_view packed) noexcept {
  std::string_view rest = packed;
  const auto take_name = [&rest] {
    if (rest.empty()) return false;
    const std::size_t length = byte_at(rest.data());
    if (rest.size() < 1 + length || !is_name(rest.substr(1, length))) return false;
    rest.remove_prefix(1 + length);
    return true;
  };
  if (!take_name() || rest.empty()) return std::nullopt;
  const std::size_t count = byte_at(rest.data());
  rest.remove_prefix(1);
  if (count < 1 || count > items_max) return std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    if (!take_name() || rest.size() < 3) return std::nullopt;
    const std::uint32_t quantity = quantity_at(rest.data());
    if (quantity < 1 || quantity > quantity_max) return std::nullopt;
    rest.remove_prefix(3);
  }
  if (!rest.empty()) return std::nullopt;
  return contents_view{packed};
}

std::string_view contents_view::customer() const noexcept { return packed_.substr(1, byte_at(packed_.data())); }

std::size_t contents_view::item_count() const noexcept {
  return byte_at(packed_.data() + 1 + byte_at(packed_.data()));
}

contents_view::iterator contents_view::begin() const noexcept {
  if (packed_.empty()) return iterator{};
  return iterator{packed_.data() + 2 + byte_at(packed_.data()), item_count()};
}

std::optional<new_order> pack_contents(std::string_view customer, std::span<const order_item> items) {
  if (!is_name(customer) || items.empty() || items.size() > items_max) return std::nullopt;
  new_order made;
  pack_name(made.packed, customer);
  made.packed.push_back(static_cast<char>(items.size()));
  for (const order_item& item : items) {
    if (!is_name(item.sku) || item.quantity < 1 || item.quantity > quantity_max) return std::nullopt;
    pack_name(made.packed, item.sku);
    pack_quantity(made.packed, item.quantity);
  }
  return made;
}

std::expected<new_order, problem> parse_new_order(std::string_view body) {
  auto object = parse_object(body);
  if (!object) return std::unexpected(std::move(object.error()));

  std::string_view customer;
  dom::array items;
  bool has_customer = false, has_items = false;
  for (const auto field : *object) {
    if (field.key == "customer") {
      if (has_customer) return std::unexpected(refused("/customer", twice("customer")));
      has_customer = true;
      if (field.value.get(customer) || !is_name(customer)) {
        return std::unexpected(refused("/customer", name_rule("'customer'")));
      }
    } else if (field.key == "items") {
      if (has_items) return std::unexpected(refused("/items", twice("items")));
      has_items = true;
      if (field.value.get(items)) {
        return std::unexpected(refused("/items", "'items' must be an array of 1 to 100 items."));
      }
    } else {
      static constexpr std::array<std::string_view, 2> known{"customer", "items"};
      return std::unexpected(refused({}, unknown_field(field.key, known)));
    }
  }
  if (!has_customer) return std::unexpected(refused("/customer", "The order has no 'customer'; every order needs one."));
  if (!has_items) {
    return std::unexpected(refused("/items", "The order has no 'items'; every order needs 1 to 100 of them."));
  }

  new_order made;
  pack_name(made.packed, customer);
  const std::size_t count_at = made.packed.size();
  made.packed.push_back('\0');
  std::size_t count = 0;
  for (const dom::element element : items) {
    if (count == items_max) {
      return std::unexpected(refused("/items", "'items' has more than 100 items; split the order."));
    }
    if (auto taken = parse_item(made.packed, element, count); !taken) return std::unexpected(std::move(taken.error()));
    ++count;
  }
  if (count == 0) return std::unexpected(refused("/items", "'items' is empty; every order needs 1 to 100 items."));
  made.packed[count_at] = static_cast<char>(count);
  return made;
}

std::expected<change_request, problem> parse_change(std::string_view body) {
  auto object = parse_object(body);
  if (!object) return std::unexpected(std::move(object.error()));

  change_request made;
  bool has_status = false;
  for (const auto field : *object) {
    if (field.key == "status") {
      if (has_status) return std::unexpected(refused_change("/status", twice("status")));
      has_status = true;
      std::string_view name;
      std::optional<order_status> status;
      if (!field.value.get(name)) status = status_named(name);
      if (!status) {
        return std::unexpected(refused_change(
            "/status", "'status' must be one of 'created', 'paid', 'shipped', 'delivered' and 'cancelled'."));
      }
      made.to = *status;
    } else if (field.key == "version") {
      if (made.version) return std::unexpected(refused_change("/version", twice("version")));
      std::int64_t version = 0;
      if (field.value.get(version) || version < 1 || version > UINT32_MAX) {
        return std::unexpected(
            refused_change("/version", "'version' must be a whole number: the version that the change is meant for."));
      }
      made.version = static_cast<std::uint32_t>(version);
    } else {
      static constexpr std::array<std::string_view, 2> known{"status", "version"};
      return std::unexpected(refused_change({}, unknown_field(field.key, known)));
    }
  }
  if (!has_status) return std::unexpected(refused_change("/status", "The change has no 'status'; give the new one."));
  return made;
}

std::optional<std::uint64_t> parse_order_id(std::string_view text) noexcept {
  if (text.size() != 20 || !text.starts_with("ord_")) return std::nullopt;
  std::uint64_t id = 0;
  for (const char c : text.substr(4)) {
    const std::size_t digit = hex_digits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    id = id << 4 | digit;
  }
  return id == 0 ? std::nullopt : std::optional(id);
}

std::string order_id_text(std::uint64_t id) {
  std::string text;
  write_id(text, id);
  return text;
}

void write_string(std::string& out, std::string_view text) {
  out.push_back('"');
  if (simdjson::validate_utf8(text)) {
    write_escaped(out, text);
  } else {
    for (const char& c : text) {
      if (byte_at(&c) < 0x80) {
        write_escaped(out, std::string_view(&c, 1));
      } else {
        out.append("\xef\xbf\xbd");
      }
    }
  }
  out.push_back('"');
}

void write_order(std::string& out, const order_view& order) {
  // Names were checked to need no escape.
  out.append(R"({"id":")");
  write_id(out, order.id);
  out.append(R"(","customer":")").append(order.contents.customer()).append(R"(","items":[)");
  bool first = true;
  for (const order_item item : order.contents) {
    if (!first) out.push_back(',');
    first = false;
    out.append(R"({"sku":")").append(item.sku).append(R"(","quantity":)");
    write_number(out, item.quantity);
    out.push_back('}');
  }
  out.append(R"(],"status":")").append(name_of(order.status)).append(R"(","version":)");
  write_number(out, order.version);
  out.append(R"(,"created_at":")");
  write_time(out, order.created_at_ns);
  out.append(R"(","updated_at":")");
  write_time(out, order.updated_at_ns);
  out.append("\"}");
}

void write_orders(std::string& out, std::span<const order_view> orders, std::uint64_t next) {
  out.append(R"({"orders":[)");
  for (std::size_t i = 0; i < orders.size(); ++i) {
    if (i > 0) out.push_back(',');
    write_order(out, orders[i]);
  }
  out.append(R"(],"next":)");
  if (next == 0) {
    out.append("null}");
  } else {
    out.push_back('"');
    write_id(out, next);
    out.append("\"}");
  }
}

void write_problem(std::string& out, const problem& problem) {
  out.append(R"({"type":"about:blank","title":)");
  write_string(out, problem.title);
  out.append(R"(,"status":)");
  write_number(out, static_cast<std::uint64_t>(problem.status));
  out.append(R"(,"detail":)");
  write_string(out, problem.detail);
  if (!problem.pointer.empty()) {
    out.append(R"(,"pointer":)");
    write_string(out, problem.pointer);
  }
  out.push_back('}');
}

void write_time(std::string& out, std::int64_t time_ns) {
  using namespace std::chrono;
  const sys_time<nanoseconds> time{nanoseconds{time_ns}};
  const auto day = floor<days>(time);
  const year_month_day date{day};
  // floor<days> of the smallest times lies below what 64 bits of nanoseconds can say; so subtract in seconds.
  const auto second = floor<seconds>(time);
  const auto second_of_day = static_cast<std::uint32_t>((second - time_point_cast<seconds>(day)).count());
  const auto ns = static_cast<std::uint32_t>(((time_ns % 1'000'000'000) + 1'000'000'000) % 1'000'000'000);

  char text[30] = {'0', '0', '0', '0', '-', '0', '0', '-', '0', '0', 'T', '0', '0', ':', '0',
                   '0', ':', '0', '0', '.', '0', '0', '0', '0', '0', '0', '0', '0', '0', 'Z'};
  put_digits(text, static_cast<std::uint32_t>(static_cast<int>(date.year())), 4);
  put_digits(text + 5, static_cast<unsigned>(date.month()), 2);
  put_digits(text + 8, static_cast<unsigned>(date.day()), 2);
  put_digits(text + 11, second_of_day / 3600, 2);
  put_digits(text + 14, second_of_day / 60 % 60, 2);
  put_digits(text + 17, second_of_day % 60, 2);
  put_digits(text + 20, ns, 9);
  out.append(text, sizeof text);
}

std::optional<std::int64_t> parse_time(std::string_view text) noexcept {
  using namespace std::chrono;
  static constexpr std::string_view shape = "0000-00-00T00:00:00.000000000Z";
  if (text.size() != shape.size()) return std::nullopt;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != '0' && shape[i] != text[i]) return std::nullopt;
  }
  const auto y = get_digits(text.substr(0, 4)), mo = get_digits(text.substr(5, 2)), d = get_digits(text.substr(8, 2));
  const auto h = get_digits(text.substr(11, 2)), mi = get_digits(text.substr(14, 2)), s = get_digits(text.substr(17, 2));
  const auto ns = get_digits(text.substr(20, 9));
  if (!y || !mo || !d || !h || !mi || !s || !ns || *h > 23 || *mi > 59 || *s > 59) return std::nullopt;
  const year_month_day date{year{static_cast<int>(*y)}, month{*mo}, day{*d}};
  if (!date.ok()) return std::nullopt;
  const std::int64_t second =
      time_point_cast<seconds>(sys_days{date}).time_since_epoch().count() + *h * 3600 + *mi * 60 + *s;
  std::int64_t time_ns = 0;
  if (__builtin_mul_overflow(second, std::int64_t{1'000'000'000}, &time_ns) ||
      __builtin_add_overflow(time_ns, std::int64_t{*ns}, &time_ns)) {
    return std::nullopt;
  }
  return time_ns;
}

std::expected<order, std::string> parse_order(std::string_view json) {
  auto object = parse_object(json);
  if (!object) return std::unexpected(std::move(object.error().detail));
  order made;
  std::string_view text;
  const auto missing = [](std::string_view what) {
    return std::unexpected(std::string("The order's '").append(what).append("' is missing or malformed."));
  };

  if ((*object)["id"].get(text)) return missing("id");
  const auto id = parse_order_id(text);
  if (!id) return missing("id");
  made.id = *id;
  if ((*object)["customer"].get(text)) return missing("customer");
  made.customer = text;
  dom::array items;
  if ((*object)["items"].get(items)) return missing("items");
  for (const dom::element element : items) {
    std::int64_t quantity = 0;
    if (element["sku"].get(text)) return missing("sku");
    if (element["quantity"].get(quantity) || quantity < 1 || quantity > quantity_max) return missing("quantity");
    made.items.push_back({std::string(text), static_cast<std::uint32_t>(quantity)});
  }
  if ((*object)["status"].get(text)) return missing("status");
  const auto status = status_named(text);
  if (!status) return missing("status");
  made.status = *status;
  std::int64_t version = 0;
  if ((*object)["version"].get(version) || version < 1 || version > UINT32_MAX) return missing("version");
  made.version = static_cast<std::uint32_t>(version);
  if ((*object)["created_at"].get(text)) return missing("created_at");
  const auto created = parse_time(text);
  if (!created) return missing("created_at");
  made.created_at_ns = *created;
  if ((*object)["updated_at"].get(text)) return missing("updated_at");
  const auto updated = parse_time(text);
  if (!updated) return missing("updated_at");
  made.updated_at_ns = *updated;
  return made;
}

}  // namespace orders
