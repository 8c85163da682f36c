#include "redis/reply_reader.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "redis/number_text.hpp"

namespace levity::inline v0::redis::detail {

namespace {

constexpr std::size_t reserved_at_once = 1024;  // elements, and no more before they come
constexpr std::size_t bulk_at_once = 64 * 1024;

bool is_digits(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

reply_reader::verdict reply_reader::break_off(const char* why) noexcept {
  state_ = state::broken;
  why_ = why;
  return verdict::broken;
}

bool reply_reader::charge(std::size_t bytes) noexcept {
  if (bytes > bounds_.bytes_max - charged_) return false;
  charged_ += bytes;
  return true;
}

value reply_reader::take() noexcept {
  charged_ = 0;
  return std::exchange(done_, value{});
}

reply_reader::verdict reply_reader::feed(byte_view& bytes) {
  for (;;) {
    if (state_ == state::broken) return verdict::broken;
    if (bytes.empty()) return verdict::needs_more;
    const verdict said = state_ == state::line ? feed_line(bytes) : feed_bulk(bytes);
    if (said != verdict::needs_more) return said;
  }
}

reply_reader::verdict reply_reader::feed_line(byte_view& bytes) {
  const std::string_view here{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  const std::size_t end = here.find('\n');
  const std::size_t size = end == std::string_view::npos ? here.size() : end + 1;
  if (line_.size() + size > bounds_.line_max) return break_off("a line that is too long");
  bytes = bytes.subspan(size);
  if (end == std::string_view::npos || !line_.empty()) {
    line_.append(here.substr(0, size));
    if (end == std::string_view::npos) return verdict::needs_more;
    const std::string whole = std::exchange(line_, std::string{});
    return read_line(whole);
  }
  return read_line(here.substr(0, size));
}

// With its LF.
reply_reader::verdict reply_reader::read_line(std::string_view line) {
  if (line.size() < 3 || line[line.size() - 2] != '\r') return break_off("a line that does not end with CR LF");
  const char type = line[0];
  line = line.substr(1, line.size() - 3);
  if (line.find('\r') != std::string_view::npos) return break_off("a CR inside of a line");
  if (!charge(sizeof(value) + line.size())) return break_off("a reply that is too large");
  switch (type) {
    case '+': return add(value::of_text(std::string(line), value_kind::status));
    case '-': return add(value::of_text(std::string(line), value_kind::error));
    case ':':
      if (const auto number = integer_of(line)) return add(value::of_integer(*number));
      return break_off("an integer that is none");
    case ',':
      if (const auto number = real_of(line)) return add(value::of_real(*number));
      return break_off("a double that is none");
    case '#':
      if (line == "t" || line == "f") return add(value::of_boolean(line == "t"));
      return break_off("a boolean that is neither t nor f");
    case '_':
      if (line.empty()) return add(value{});
      return break_off("a null with something in it");
    case '(':
      if (is_digits(line.starts_with('-') || line.starts_with('+') ? line.substr(1) : line)) {
        return add(value::of_text(std::string(line), value_kind::big_number));
      }
      return break_off("a big number that is none");
    case '$':
    case '!':
    case '=': return begin_bulk(type, line);
    case '*':
    case '~':
    case '%':
    case '>':
    case '|': return begin_aggregate(type, line);
    default: return break_off("a type that there is not");
  }
}

reply_reader::verdict reply_reader::begin_bulk(char type, std::string_view length) {
  if (type == '$' && length == "-1") return add(value{});
  if (!is_digits(length)) return break_off("a length that is none");
  const auto size = integer_of(length);
  if (!size || static_cast<std::uint64_t>(*size) > bounds_.bytes_max || !charge(static_cast<std::size_t>(*size))) {
    return break_off("a reply that is too large");
  }
  bulk_type_ = type;
  bulk_left_ = static_cast<std::size_t>(*size) + 2;
  bulk_.clear();
  bulk_.reserve(std::min(bulk_left_, bulk_at_once));
  state_ = state::bulk;
  return verdict::needs_more;
}

reply_reader::verdict reply_reader::feed_bulk(byte_view& bytes) {
  const std::size_t size = std::min(bytes.size(), bulk_left_);
  const char* const from = reinterpret_cast<const char*>(bytes.data());
  bytes = bytes.subspan(size);
  if (bulk_left_ > 2) {
    const std::size_t content = std::min(size, bulk_left_ - 2);
    bulk_.append(from, content);
  }
  // What is left of CR LF behind the content.
  for (std::size_t i = bulk_left_ > 2 ? std::min(size, bulk_left_ - 2) : 0; i < size; i++) {
    const char wanted = bulk_left_ - i == 2 ? '\r' : '\n';
    if (from[i] != wanted) return break_off("a text that does not end where it said");
  }
  bulk_left_ -= size;
  return bulk_left_ > 0 ? verdict::needs_more : complete_text();
}

reply_reader::verdict reply_reader::complete_text() {
  state_ = state::line;
  std::string text = std::exchange(bulk_, std::string{});
  if (bulk_type_ == '$') return add(value::of_text(std::move(text)));
  if (bulk_type_ == '!') return add(value::of_text(std::move(text), value_kind::error));
  if (text.size() < 4 || text[3] != ':') return break_off("a verbatim text without a format");
  const std::string format = text.substr(0, 3);
  text.erase(0, 4);
  value one = value::of_text(std::move(text), value_kind::verbatim);
  one.set_format(format);
  return add(std::move(one));
}

reply_reader::verdict reply_reader::begin_aggregate(char type, std::string_view length) {
  if (type == '*' && length == "-1") return add(value{});
  if (!is_digits(length)) return break_off("a length that is none");
  const bool pairs = type == '%' || type == '|';
  const auto said = integer_of(length);
  // Before anything is taken: each element weighs at least itself.
  if (!said || static_cast<std::uint64_t>(*said) > (bounds_.bytes_max - charged_) / (sizeof(value) * (pairs ? 2 : 1))) {
    return break_off("a reply that is too large");
  }
  if (type == '>' && !open_.empty()) return break_off("a push inside of a reply");
  if (open_.size() >= bounds_.depth_max) return break_off("a reply that is nested too deep");
  const std::size_t count = static_cast<std::size_t>(*said) * (pairs ? 2 : 1);
  const value_kind kind = type == '*' ? value_kind::array
                          : type == '~' ? value_kind::set
                          : type == '>' ? value_kind::push
                                        : value_kind::map;
  if (count == 0) {
    if (type == '|') return verdict::needs_more;  // nothing is said about what follows
    return add(value::of_elements({}, kind));
  }
  open_.push_back({kind, type == '|', count, {}, {}});
  open_.back().elements.reserve(std::min(count, reserved_at_once));
  return verdict::needs_more;
}

// A value is complete; so may be those around it.
reply_reader::verdict reply_reader::add(value one) {
  for (;;) {
    std::vector<value>& about = open_.empty() ? about_ : open_.back().about;
    if (!about.empty()) one.set_attributes(std::exchange(about, {}));
    if (open_.empty()) {
      done_ = std::move(one);
      return verdict::complete;
    }
    aggregate& inside = open_.back();
    inside.elements.push_back(std::move(one));
    if (--inside.left > 0) return verdict::needs_more;
    aggregate whole = std::move(inside);
    open_.pop_back();
    if (whole.is_attribute) {
      (open_.empty() ? about_ : open_.back().about) = std::move(whole.elements);
      return verdict::needs_more;
    }
    one = value::of_elements(std::move(whole.elements), whole.kind);
  }
}

}  // namespace levity::redis::detail
