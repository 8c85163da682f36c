#include "levity/http/field.hpp"

#include "http/char_class.hpp"

namespace levity::inline v0::http {

bool same_word(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (detail::lower(a[i]) != detail::lower(b[i])) return false;
  }
  return true;
}

bool is_token(std::string_view text) noexcept { return !text.empty() && detail::all_are(text, detail::token_char); }

bool is_field_value(std::string_view text) noexcept { return detail::all_are(text, detail::text_char); }

}  // namespace levity::http
