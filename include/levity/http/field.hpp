#pragma once

#include <string_view>

namespace levity::inline v0::http {

/// One header field: views into the message it belongs to. Blanks around the value are not part of it.
struct field {
  std::string_view name;   ///< as it was sent; compare with same_word()
  std::string_view value;  ///< without blanks around it; may be empty

  friend bool operator==(const field&, const field&) = default;
};

/// Whether two field names, schemes or other ASCII words are the same; case is ignored. O(size).
[[nodiscard]] bool same_word(std::string_view a, std::string_view b) noexcept;

/// Whether `text` may be a field name: one or more of the characters of a token.
[[nodiscard]] bool is_token(std::string_view text) noexcept;

/// Whether `text` may be the value of a field: no CR, LF, NUL or other control character but the tab.
[[nodiscard]] bool is_field_value(std::string_view text) noexcept;

}  // namespace levity::http
