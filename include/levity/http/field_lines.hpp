#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levity/http/field.hpp"

namespace levity::inline v0::http {

/// The fields of a message in the making, as they go over the wire. Meant to be reused: clear() keeps its memory. A field that
/// frames the message or rules the connection (Content-Length, Transfer-Encoding, Connection, Keep-Alive, Trailer, Date) cannot be
/// set: whoever writes the message writes it. Not thread-safe, as any value.
class field_lines {
public:
  /// No fields; keeps memory.
  void clear() noexcept;
  /// Sets a field, in the place of all fields of that name. False, and nothing changed, when the name is not a token, the value
  /// has CR, LF, NUL or another control character (somebody tries to smuggle in a field), or the field cannot be set.
  bool set(std::string_view name, std::string_view value);
  /// The same, beside the fields of that name.
  bool add(std::string_view name, std::string_view value);
  /// Removes all fields of that name.
  void remove(std::string_view name) noexcept;
  /// The value of the first field of that name; valid until the next change. Case is ignored. O(fields).
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;
  /// All of them, each line with its CRLF; valid until the next change.
  [[nodiscard]] std::string_view text() const noexcept { return lines_; }
  /// How many there are.
  [[nodiscard]] std::size_t size() const noexcept { return index_.size(); }
  /// The field at `index`, below size(), in the order in which they were set; valid until the next change.
  [[nodiscard]] field operator[](std::size_t index) const noexcept;
  /// Frees the memory that clear() keeps.
  void release() noexcept;

private:
  struct line {
    std::uint32_t at;
    std::uint32_t name_size;
    std::uint32_t size;  // with ": " and CRLF
  };

  void append(std::string_view name, std::string_view value);

  std::string lines_;
  std::vector<line> index_;
};

}  // namespace levity::http
