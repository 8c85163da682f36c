#include "redis/number_text.hpp"

#include <charconv>

namespace levity::inline v0::redis::detail {

namespace {

// std::from_chars knows no plus; "+-1" is no number.
bool skip_plus(std::string_view& text) noexcept {
  if (!text.starts_with('+')) return true;
  text.remove_prefix(1);
  return !text.starts_with('-') && !text.starts_with('+');
}

}  // namespace

std::optional<std::int64_t> integer_of(std::string_view text) noexcept {
  if (!skip_plus(text)) return std::nullopt;
  std::int64_t number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<double> real_of(std::string_view text) noexcept {
  if (!skip_plus(text)) return std::nullopt;
  double number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

void append_real(std::string& out, double number) {
  char text[32];
  const auto done = std::to_chars(text, text + sizeof text, number);
  out.append(text, static_cast<std::size_t>(done.ptr - text));
}

}  // namespace levity::redis::detail
