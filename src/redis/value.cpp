#include "levity/redis/value.hpp"

#include <charconv>
#include <cmath>
#include <cstring>

#include "levity/base/assert.hpp"
#include "redis/number_text.hpp"

namespace levity::inline v0::redis {

std::string_view to_string(value_kind of) noexcept {
  switch (of) {
    case value_kind::null: return "null";
    case value_kind::boolean: return "boolean";
    case value_kind::integer: return "integer";
    case value_kind::real: return "real";
    case value_kind::status: return "status";
    case value_kind::text: return "text";
    case value_kind::verbatim: return "verbatim";
    case value_kind::big_number: return "big_number";
    case value_kind::error: return "error";
    case value_kind::array: return "array";
    case value_kind::set: return "set";
    case value_kind::map: return "map";
    case value_kind::push: return "push";
  }
  return "unknown";
}

value value::of_text(std::string text, value_kind kind) noexcept {
  LEVITY_ASSERT(kind == value_kind::text || kind == value_kind::status || kind == value_kind::verbatim ||
                    kind == value_kind::big_number || kind == value_kind::error,
                "only texts have text");
  return {kind, std::move(text)};
}

value value::of_elements(std::vector<value> elements, value_kind kind) noexcept {
  LEVITY_ASSERT(kind == value_kind::array || kind == value_kind::set || kind == value_kind::push ||
                    (kind == value_kind::map && elements.size() % 2 == 0),
                "only array, set and push have elements, and a map pairs");
  return {kind, std::move(elements)};
}

std::string_view value::text() const noexcept {
  const auto* held = std::get_if<std::string>(&content_);
  return held == nullptr ? std::string_view{} : *held;
}

std::string value::take_text() && noexcept {
  auto* held = std::get_if<std::string>(&content_);
  return held == nullptr ? std::string{} : std::move(*held);
}

std::string_view value::error_code() const noexcept {
  if (kind_ != value_kind::error) return {};
  const std::string_view all = text();
  return all.substr(0, all.find(' '));
}

std::string_view value::format() const noexcept {
  return kind_ == value_kind::verbatim ? std::string_view{format_, sizeof format_} : std::string_view{};
}

std::span<const value> value::elements() const noexcept {
  const auto* held = std::get_if<std::vector<value>>(&content_);
  return held == nullptr ? std::span<const value>{} : std::span<const value>{*held};
}

std::vector<value> value::take_elements() && noexcept {
  auto* held = std::get_if<std::vector<value>>(&content_);
  return held == nullptr ? std::vector<value>{} : std::move(*held);
}

const value* value::find(std::string_view key) const noexcept {
  if (kind_ != value_kind::map && kind_ != value_kind::array) return nullptr;
  const std::span<const value> all = elements();
  for (std::size_t i = 0; i + 1 < all.size(); i += 2) {
    if (std::holds_alternative<std::string>(all[i].content_) && all[i].text() == key) return &all[i + 1];
  }
  return nullptr;
}

std::optional<std::int64_t> value::to_integer() const noexcept {
  if (const auto* number = std::get_if<std::int64_t>(&content_)) return *number;
  if (const auto* on = std::get_if<bool>(&content_)) return *on ? 1 : 0;
  if (kind_ == value_kind::error) return std::nullopt;
  return detail::integer_of(text());
}

std::optional<double> value::to_real() const noexcept {
  if (const auto* number = std::get_if<double>(&content_)) return *number;
  if (const auto* number = std::get_if<std::int64_t>(&content_)) return static_cast<double>(*number);
  if (kind_ == value_kind::error) return std::nullopt;
  return detail::real_of(text());
}

std::optional<bool> value::to_boolean() const noexcept {
  if (const auto* on = std::get_if<bool>(&content_)) return *on;
  const auto* number = std::get_if<std::int64_t>(&content_);
  if (number == nullptr || (*number != 0 && *number != 1)) return std::nullopt;
  return *number == 1;
}

std::span<const value> value::attributes() const noexcept {
  return attributes_ == nullptr ? std::span<const value>{} : std::span<const value>{*attributes_};
}

void value::set_attributes(std::vector<value> pairs) {
  attributes_ = pairs.empty() ? nullptr : std::make_shared<const std::vector<value>>(std::move(pairs));
}

void value::set_format(std::string_view letters) noexcept {
  LEVITY_ASSERT(kind_ == value_kind::verbatim && letters.size() == sizeof format_, "verbatim text has a format of three letters");
  std::memcpy(format_, letters.data(), sizeof format_);
}

namespace {

void quote(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      constexpr std::string_view digits = "0123456789abcdef";
      out += "\\x";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void write(std::string& out, const value& one) {
  switch (one.kind()) {
    case value_kind::null: out += "null"; return;
    case value_kind::boolean: out += *one.to_boolean() ? "true" : "false"; return;
    case value_kind::integer: out += std::to_string(*one.to_integer()); return;
    case value_kind::real: detail::append_real(out, *one.to_real()); return;
    case value_kind::status:
    case value_kind::big_number: out += one.text(); return;
    case value_kind::text:
    case value_kind::verbatim: quote(out, one.text()); return;
    case value_kind::error:
      out += "error ";
      quote(out, one.text());
      return;
    case value_kind::array:
    case value_kind::set:
    case value_kind::map:
    case value_kind::push: break;
  }
  const bool pairs = one.kind() == value_kind::map;
  const bool braces = pairs || one.kind() == value_kind::set;
  out += braces ? '{' : '[';
  std::size_t index = 0;
  for (const value& each : one.elements()) {
    if (index > 0) out += pairs && index % 2 == 1 ? ": " : ", ";
    write(out, each);
    index++;
  }
  out += braces ? '}' : ']';
}

}  // namespace

std::string value::to_string() const {
  std::string out;
  write(out, *this);
  return out;
}

bool value::equals(const value& other) const noexcept {
  if (kind_ != other.kind_) return false;
  if (kind_ == value_kind::verbatim && format() != other.format()) return false;
  if (kind_ == value_kind::real) {
    const double a = std::get<double>(content_);
    const double b = std::get<double>(other.content_);
    return a == b || (std::isnan(a) && std::isnan(b));
  }
  return content_ == other.content_;
}

}  // namespace levity::redis
