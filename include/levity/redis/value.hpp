#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace levity::inline v0::redis {

/// What a reply is. RESP2 has null, integer, status, text, error and array; the others come over RESP3 alone.
enum class value_kind : std::uint8_t {
  null,        ///< nothing there
  boolean,     ///< true or false
  integer,     ///< 64 bits, signed
  real,        ///< a double; may be infinite or no number
  status,      ///< a simple string: OK, QUEUED, PONG
  text,        ///< bytes of any kind, a "bulk string"
  verbatim,    ///< text that says how it is to be shown, see value::format()
  big_number,  ///< an integer of any size, as decimal text
  error,       ///< an error inside of an array, as of a command between MULTI and EXEC
  array,       ///< elements in order
  set,         ///< elements without order
  map,         ///< keys and values in turns
  push,        ///< what the server says without having been asked
};

/// The enumerator's name, for logs.
[[nodiscard]] std::string_view to_string(value_kind of) noexcept;

/// What a Redis server says, of any type. A value, 64 bytes and what text and elements need; thread-safe as any value.
///
/// The same command answers in other types over RESP2 and RESP3: a map comes as an array, a double as text, a boolean as 0 or 1.
/// The to_ functions and find() read either.
class value {
public:
  /// Null.
  value() noexcept = default;
  /// A boolean.
  static value of_boolean(bool on) noexcept { return {value_kind::boolean, on}; }
  /// An integer.
  static value of_integer(std::int64_t number) noexcept { return {value_kind::integer, number}; }
  /// A double.
  static value of_real(double number) noexcept { return {value_kind::real, number}; }
  /// Text; or with `kind` status, verbatim, big_number or error (asserted).
  static value of_text(std::string text, value_kind kind = value_kind::text) noexcept;
  /// An array; or with `kind` set, map (an even number of elements) or push (asserted).
  static value of_elements(std::vector<value> elements, value_kind kind = value_kind::array) noexcept;

  /// What it is.
  [[nodiscard]] value_kind kind() const noexcept { return kind_; }
  /// Whether it is null.
  [[nodiscard]] bool is_null() const noexcept { return kind_ == value_kind::null; }
  /// Whether it is an error of the server.
  [[nodiscard]] bool is_error() const noexcept { return kind_ == value_kind::error; }

  /// The bytes of status, text, verbatim, big_number and error; empty for all others. Lives as long as the value.
  [[nodiscard]] std::string_view text() const noexcept;
  /// The same, moved out.
  [[nodiscard]] std::string take_text() && noexcept;
  /// Of an error its first word, as "WRONGTYPE" or "MOVED"; empty for all others.
  [[nodiscard]] std::string_view error_code() const noexcept;
  /// Of verbatim text its three letters, "txt" or "mkd"; empty for all others.
  [[nodiscard]] std::string_view format() const noexcept;
  /// What array, set and push hold; of a map keys and values in turns. Empty for all others.
  [[nodiscard]] std::span<const value> elements() const noexcept;
  /// The same, moved out.
  [[nodiscard]] std::vector<value> take_elements() && noexcept;
  /// Of a map, or an array of keys and values in turns, the value of the first key with that text; null if there is none.
  /// O(elements).
  [[nodiscard]] const value* find(std::string_view key) const noexcept;

  /// An integer; a boolean as 0 or 1; text that is a decimal integer of 64 bits, and nothing else.
  [[nodiscard]] std::optional<std::int64_t> to_integer() const noexcept;
  /// A double; an integer; text that is a decimal number, "inf", "-inf" or "nan", and nothing else.
  [[nodiscard]] std::optional<double> to_real() const noexcept;
  /// A boolean; of integers 0 and 1.
  [[nodiscard]] std::optional<bool> to_boolean() const noexcept;

  /// What the server said about it in front of it (RESP3's attributes): keys and values in turns; mostly empty.
  [[nodiscard]] std::span<const value> attributes() const noexcept;
  /// Replaces them.
  void set_attributes(std::vector<value> pairs);
  /// Of verbatim text; three letters (asserted).
  void set_format(std::string_view letters) noexcept;

  /// As a person would read it: `"text"`, `3`, `[1, "two"]`, `{"a": 1}`. Allocates.
  [[nodiscard]] std::string to_string() const;

  /// The same kind with the same content; attributes do not count, and a double that is no number is equal to itself.
  friend bool operator==(const value& a, const value& b) noexcept { return a.equals(b); }

private:
  using content = std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<value>>;

  template <class T>
  value(value_kind kind, T&& held) noexcept : content_(std::forward<T>(held)), kind_(kind) {}
  bool equals(const value& other) const noexcept;

  content content_;
  std::shared_ptr<const std::vector<value>> attributes_;
  value_kind kind_ = value_kind::null;
  char format_[3] = {'t', 'x', 't'};
};

}  // namespace levity::redis
