#include "common/quantity.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace levity::tools {

namespace {

struct scaled {
  double number;
  std::string_view unit;
};

std::expected<scaled, std::string> split(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number < 0)
    return std::unexpected(fmt::format("'{}' does not start with a number that is zero or more", text));
  return scaled{number, text.substr(static_cast<std::size_t>(end - text.data()))};
}

std::string three_digits(double number) {
  if (number < 9.995) return fmt::format("{:.2f}", number);
  if (number < 99.95) return fmt::format("{:.1f}", number);
  return fmt::format("{:.0f}", number);
}

}  // namespace

std::expected<std::int64_t, std::string> parse_duration_ns(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, double>, 8> units{{{"ns", 1.0},
                                                                            {"us", 1e3},
                                                                            {"\u00b5s", 1e3},
                                                                            {"ms", 1e6},
                                                                            {"s", 1e9},
                                                                            {"", 1e9},
                                                                            {"m", 60e9},
                                                                            {"h", 3600e9}}};
  const auto parts = split(text);
  if (!parts) return std::unexpected(parts.error());
  for (const auto& [unit, ns] : units) {
    if (unit != parts->unit) continue;
    const double total = parts->number * ns;
    if (total > 9e18) return std::unexpected(fmt::format("'{}' is longer than 285 years", text));
    return static_cast<std::int64_t>(std::llround(total));
  }
  return std::unexpected(fmt::format("'{}' has no known unit; write ns, us, ms, s, m or h", text));
}

std::expected<double, std::string> parse_number(std::string_view text) {
  const auto parts = split(text);
  if (!parts) return std::unexpected(parts.error());
  if (parts->unit.empty()) return parts->number;
  if (parts->unit == "k" || parts->unit == "K") return parts->number * 1e3;
  if (parts->unit == "M") return parts->number * 1e6;
  return std::unexpected(fmt::format("'{}' has no known unit; write a number, or a number and k or M", text));
}

std::string show_duration(double ns) {
  if (ns < 999.5) return fmt::format("{:.0f} ns", ns);
  if (ns < 999.5e3) return three_digits(ns / 1e3) + " \u00b5s";
  if (ns < 999.5e6) return three_digits(ns / 1e6) + " ms";
  return three_digits(ns / 1e9) + " s";
}

std::string show_count(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t place = digits.size(); place > 3; place -= 3) digits.insert(place - 3, ",");
  return digits;
}

std::string show_bytes(double bytes) {
  static constexpr std::array<std::string_view, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1023.5 && unit + 1 < units.size()) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{} {}", three_digits(bytes), units[unit]);
}

}  // namespace levity::tools
