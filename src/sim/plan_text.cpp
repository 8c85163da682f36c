#include "sim/plan_text.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <limits>
#include <utility>

namespace levity::inline v0::sim {
namespace {

struct time_unit {
  std::string_view name;
  unsigned decimals;  // of a nanosecond in it
};

// The largest first; "s" is a suffix of all others.
constexpr std::array time_units = {time_unit{"s", 9}, time_unit{"ms", 6}, time_unit{"us", 3}, time_unit{"ns", 0}};

constexpr std::uint64_t power_of_ten(unsigned exponent) noexcept {
  std::uint64_t result = 1;
  for (unsigned i = 0; i < exponent; i++) result *= 10;
  return result;
}

constexpr std::uint64_t magnitude_of(std::int64_t number) noexcept {
  return number < 0 ? ~static_cast<std::uint64_t>(number) + 1 : static_cast<std::uint64_t>(number);
}

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string decimal_text(std::int64_t number, unsigned decimals) {
  const std::uint64_t magnitude = magnitude_of(number);
  const std::uint64_t unit = power_of_ten(decimals);
  std::string text = fmt::format("{}{}", number < 0 ? "-" : "", magnitude / unit);
  if (magnitude % unit == 0) return text;
  text += fmt::format(".{:0{}}", magnitude % unit, decimals);
  while (text.back() == '0') text.pop_back();
  return text;
}

std::optional<std::int64_t> read_decimal(std::string_view text, unsigned decimals) {
  const bool is_negative = text.starts_with('-');
  if (is_negative) text.remove_prefix(1);
  const std::uint64_t most = is_negative ? std::uint64_t{1} << 63 : (std::uint64_t{1} << 63) - 1;
  std::uint64_t read = 0;
  bool has_digits = false;
  bool has_point = false;
  unsigned behind_point = 0;
  const auto append = [&](unsigned digit) {
    if (read > (most - digit) / 10) return false;
    read = read * 10 + digit;
    return true;
  };
  for (const char each : text) {
    if (each == '.' && has_digits && !has_point) {
      has_point = true;
      continue;
    }
    if (!is_digit(each) || (has_point && ++behind_point > decimals)) return std::nullopt;
    has_digits = true;
    if (!append(static_cast<unsigned>(each - '0'))) return std::nullopt;
  }
  if (!has_digits || (has_point && behind_point == 0)) return std::nullopt;
  for (; behind_point < decimals; behind_point++) {
    if (!append(0)) return std::nullopt;
  }
  return static_cast<std::int64_t>(is_negative ? ~read + 1 : read);
}

std::string time_text(std::int64_t ns) {
  if (ns == 0) return "0s";
  for (const time_unit& each : time_units) {
    if (magnitude_of(ns) >= power_of_ten(each.decimals)) return decimal_text(ns, each.decimals) + std::string(each.name);
  }
  return {};  // not reached: whole nanoseconds
}

std::optional<std::int64_t> read_time(std::string_view text) {
  for (auto each = time_units.rbegin(); each != time_units.rend(); ++each) {
    if (text.ends_with(each->name)) return read_decimal(text.substr(0, text.size() - each->name.size()), each->decimals);
  }
  return std::nullopt;
}

std::string name_text(std::string_view name) {
  constexpr std::string_view misread = " \t\r\n;\"\\";
  if (!name.empty() && name.find_first_of(misread) == std::string_view::npos) return std::string(name);
  std::string text = "\"";
  for (const char each : name) {
    if (each == '"' || each == '\\') text += '\\';
    if (each == '\n') {
      text += "\\n";  // it stays one line
    } else {
      text += each;
    }
  }
  return text + "\"";
}

std::expected<std::vector<plan_part>, std::string> read_parts(std::string_view text) {
  std::vector<plan_part> parts;
  plan_part part;
  std::string word;
  bool in_word = false;
  bool in_quotes = false;
  std::size_t part_from = 0;
  const auto end_word = [&] {
    if (in_word) part.words.push_back(std::exchange(word, {}));
    in_word = false;
  };
  const auto end_part = [&](std::size_t to) {
    end_word();
    part.text = trimmed(text.substr(part_from, to - part_from));
    if (!part.words.empty()) parts.push_back(std::move(part));
    part = {};
    part_from = to + 1;
  };
  for (std::size_t i = 0; i < text.size(); i++) {
    const char each = text[i];
    if (in_quotes && each == '\\' && i + 1 < text.size()) {
      i++;
      word += text[i] == 'n' ? '\n' : text[i];
    } else if (each == '"') {
      in_quotes = !in_quotes;
      in_word = true;
    } else if (in_quotes) {
      word += each;
    } else if (each == ';') {
      end_part(i);
    } else if (is_blank(each)) {
      end_word();
    } else {
      word += each;
      in_word = true;
    }
  }
  if (in_quotes) {
    return std::unexpected(fmt::format("the fault plan cannot be read: in \"{}\" a quoted name does not end; close its quotes",
                                       trimmed(text.substr(part_from))));
  }
  end_part(text.size());
  return parts;
}

}  // namespace levity::sim
