#include "levity/service/quantity.hpp"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <limits>
#include <span>

#include "base/quoted_text.hpp"

namespace levity::inline v0::service {
namespace {

using levity::detail::quoted_text;

struct unit {
  std::string_view name;
  std::uint64_t worth;
};

constexpr std::array<unit, 8> time_units{{{"ns", 1},
                                          {"us", 1'000},
                                          {"µs", 1'000},
                                          {"ms", 1'000'000},
                                          {"s", 1'000'000'000},
                                          {"m", 60'000'000'000},
                                          {"h", 3'600'000'000'000},
                                          {"d", 86'400'000'000'000}}};

constexpr std::array<unit, 9> size_units{{{"B", 1},
                                          {"kB", 1'000},
                                          {"MB", 1'000'000},
                                          {"GB", 1'000'000'000},
                                          {"TB", 1'000'000'000'000},
                                          {"KiB", std::uint64_t{1} << 10},
                                          {"MiB", std::uint64_t{1} << 20},
                                          {"GiB", std::uint64_t{1} << 30},
                                          {"TiB", std::uint64_t{1} << 40}}};

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

enum class trouble : std::uint8_t { none, no_number, no_unit, unknown_unit, too_large };

struct part {
  unsigned __int128 worth = 0;  // in the smallest unit
  trouble wrong = trouble::none;
};

// Takes one number with its unit from the front of `text`.
part take_part(std::string_view& text, std::span<const unit> units) noexcept {
  std::size_t at = 0;
  unsigned __int128 whole = 0;
  while (at < text.size() && is_digit(text[at])) {
    whole = whole * 10 + static_cast<unsigned>(text[at++] - '0');
    if (whole > std::numeric_limits<std::uint64_t>::max()) return {0, trouble::too_large};
  }
  const bool has_whole = at > 0;
  std::uint64_t fraction = 0;
  std::uint64_t scale = 1;
  bool has_fraction = false;
  if (at < text.size() && text[at] == '.') {
    at++;
    while (at < text.size() && is_digit(text[at])) {
      has_fraction = true;
      if (scale < 1'000'000'000'000'000) {  // further digits are below what any unit tells apart
        scale *= 10;
        fraction = fraction * 10 + static_cast<unsigned>(text[at] - '0');
      }
      at++;
    }
    if (!has_fraction) return {0, trouble::no_number};
  }
  if (!has_whole) return {0, trouble::no_number};
  std::size_t end = at;
  while (end < text.size() && !is_digit(text[end]) && text[end] != '.') end++;
  const std::string_view name = text.substr(at, end - at);
  if (name.empty()) return {0, trouble::no_unit};
  for (const unit& each : units) {
    if (each.name != name) continue;
    text.remove_prefix(end);
    return {whole * each.worth + static_cast<unsigned __int128>(fraction) * each.worth / scale, trouble::none};
  }
  return {0, trouble::unknown_unit};
}

std::string explain(trouble wrong, std::string_view text, std::string_view what, std::string_view units, std::string_view most) {
  switch (wrong) {
    case trouble::no_unit: return fmt::format("{} has no unit; write one of {} behind the number", quoted_text(text), units);
    case trouble::unknown_unit: return fmt::format("{} has a unit that is none of {}", quoted_text(text), units);
    case trouble::too_large: return fmt::format("{} is more than {}", quoted_text(text), most);
    default: return fmt::format("{} is no {}; write a number and one of {}", quoted_text(text), what, units);
  }
}

}  // namespace

std::expected<duration, std::string> parse_duration(std::string_view text) {
  constexpr std::string_view names = "ns, us, ms, s, m, h, d";
  if (text == "0") return duration::zero();
  std::string_view rest = text;
  unsigned __int128 sum = 0;
  trouble wrong = rest.empty() ? trouble::no_number : trouble::none;
  while (wrong == trouble::none && !rest.empty()) {
    const part next = take_part(rest, time_units);
    wrong = next.wrong;
    sum += next.worth;
    if (wrong == trouble::none && sum > static_cast<std::uint64_t>(duration::max().count())) wrong = trouble::too_large;
  }
  if (wrong != trouble::none) return std::unexpected(explain(wrong, text, "duration", names, "292 years"));
  return duration(static_cast<std::int64_t>(sum));
}

std::string to_text(duration span) {
  if (span < duration::zero()) {
    // The least one has no positive counterpart.
    return "-" + to_text(span == duration::min() ? duration::max() : -span);
  }
  auto left = static_cast<std::uint64_t>(span.count());
  if (left == 0) return "0s";
  std::string text;
  const auto whole = [&](std::uint64_t worth, std::string_view name) {
    if (left >= worth) fmt::format_to(std::back_inserter(text), "{}{}", left / worth, name);
    left %= worth;
  };
  whole(3'600'000'000'000, "h");
  whole(60'000'000'000, "m");
  if (left == 0) return text;
  // What is left, in one unit, with as many digits behind the point as it takes.
  std::uint64_t worth = 1;
  std::string_view name = "ns";
  if (left >= 1'000'000'000 || !text.empty()) {
    worth = 1'000'000'000;
    name = "s";
  } else if (left >= 1'000'000) {
    worth = 1'000'000;
    name = "ms";
  } else if (left >= 1'000) {
    worth = 1'000;
    name = "us";
  }
  fmt::format_to(std::back_inserter(text), "{}", left / worth);
  if (std::uint64_t fraction = left % worth; fraction != 0) {
    text += '.';
    for (worth /= 10; fraction != 0; fraction %= worth, worth /= 10) {
      text += static_cast<char>('0' + fraction / worth);
      if (worth == 1) break;
    }
  }
  text += name;
  return text;
}

std::expected<byte_size, std::string> parse_byte_size(std::string_view text) {
  constexpr std::string_view names = "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB";
  if (text == "0") return byte_size{};
  std::string_view rest = text;
  const part only = take_part(rest, size_units);
  trouble wrong = only.wrong;
  if (wrong == trouble::none && only.worth > std::numeric_limits<std::uint64_t>::max()) wrong = trouble::too_large;
  if (wrong == trouble::none && !rest.empty()) wrong = trouble::no_number;  // a second number
  if (wrong != trouble::none) return std::unexpected(explain(wrong, text, "size", names, "16 EiB"));
  return byte_size{static_cast<std::uint64_t>(only.worth)};
}

std::string to_text(byte_size size) {
  std::uint64_t left = size.bytes;
  static constexpr std::array<std::string_view, 5> names{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t at = 0;
  while (left != 0 && left % 1024 == 0 && at + 1 < names.size()) {
    left /= 1024;
    at++;
  }
  return fmt::format("{}{}", left, names[at]);
}

}  // namespace levity::service
