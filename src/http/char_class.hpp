#pragma once

// What each byte may be in a message. One table, one bit a class.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace levity::inline v0::http::detail {

enum char_class : std::uint8_t {
  token_char = 1,   // tchar of RFC 9110
  path_char = 2,    // pchar of RFC 3986 and `/`, without `%`
  query_char = 4,   // the same with `?` and what browsers leave alone in a query
  host_char = 8,    // a registered name without `%`; without the comma too, by which two hosts are joined to one
  hex_char = 16,
  digit_char = 32,
  text_char = 64,   // a field value or chunk extension: no control characters but the tab
};

consteval std::array<std::uint8_t, 256> make_char_classes() {
  std::array<std::uint8_t, 256> table{};
  const auto mark = [&table](std::string_view characters, unsigned bits) {
    for (const char c : characters) {
      auto& entry = table[static_cast<unsigned char>(c)];
      entry = static_cast<std::uint8_t>(entry | bits);
    }
  };
  mark("0123456789", token_char | path_char | query_char | host_char | hex_char | digit_char);
  mark("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", token_char | path_char | query_char | host_char);
  mark("abcdefABCDEF", hex_char);
  mark("!#$%&'*+-.^_`|~", token_char);
  mark("-._~!$&'()*+;=", path_char | query_char | host_char);
  mark(",:@/", path_char | query_char);
  mark("?{}|^`\\", query_char);
  for (unsigned c = 0; c < 256; ++c) {
    if ((c >= 0x20 && c != 0x7f) || c == '\t') table[c] = static_cast<std::uint8_t>(table[c] | text_char);
  }
  return table;
}

inline constexpr std::array<std::uint8_t, 256> char_classes = make_char_classes();

[[nodiscard]] constexpr bool is(char c, char_class wanted) noexcept {
  return (char_classes[static_cast<unsigned char>(c)] & wanted) != 0;
}

[[nodiscard]] constexpr bool all_are(std::string_view text, char_class wanted) noexcept {
  for (const char c : text) {
    if (!is(c, wanted)) return false;
  }
  return true;
}

[[nodiscard]] constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// -1 when it is no hexadecimal digit.
[[nodiscard]] constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char small = lower(c);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

// Every `%` is followed by two hexadecimal digits.
[[nodiscard]] constexpr bool encoded_well(std::string_view text) noexcept {
  for (std::size_t i = text.find('%'); i != std::string_view::npos; i = text.find('%', i + 3)) {
    if (text.size() - i < 3 || !is(text[i + 1], hex_char) || !is(text[i + 2], hex_char)) return false;
  }
  return true;
}

[[nodiscard]] constexpr bool all_are_or_percent(std::string_view text, char_class wanted) noexcept {
  for (const char c : text) {
    if (c != '%' && !is(c, wanted)) return false;
  }
  return true;
}

[[nodiscard]] constexpr std::string_view trim_blanks(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace levity::http::detail
