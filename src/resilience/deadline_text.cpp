#include "levity/resilience/deadline_text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace levity::inline v0 {
namespace {

constexpr std::size_t grpc_digits_max = 8;
constexpr std::int64_t grpc_value_max = 99'999'999;
constexpr std::size_t digits_max = 19;

struct grpc_unit {
  char letter;
  std::int64_t ns;
};
// The finest first.
constexpr std::array<grpc_unit, 6> grpc_units{{{'n', 1},
                                               {'u', 1'000},
                                               {'m', 1'000'000},
                                               {'S', 1'000'000'000},
                                               {'M', 60'000'000'000},
                                               {'H', 3'600'000'000'000}}};

// All of `text` as a number; at most 19 digits, so it fits.
std::optional<std::uint64_t> parse_digits(std::string_view text, std::size_t most) noexcept {
  if (text.empty() || text.size() > most) return std::nullopt;
  std::uint64_t value = 0;
  for (const char each : text) {
    if (each < '0' || each > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(each - '0');
  }
  return value;
}

// `count` units, or as long as a duration can be.
duration times(std::uint64_t count, std::int64_t unit_ns) noexcept {
  const auto most = static_cast<std::uint64_t>(duration::max().count() / unit_ns);
  return count > most ? duration::max() : duration{static_cast<std::int64_t>(count) * unit_ns};
}

}  // namespace

std::optional<duration> parse_deadline_ms(std::string_view text) noexcept {
  const auto count = parse_digits(text, digits_max);
  if (!count) return std::nullopt;
  return times(*count, 1'000'000);
}

std::string format_deadline_ms(duration left) { return std::to_string(std::max<std::int64_t>(left.count(), 0) / 1'000'000); }

std::optional<duration> parse_grpc_timeout(std::string_view text) noexcept {
  if (text.empty()) return std::nullopt;
  const auto unit = std::find_if(grpc_units.begin(), grpc_units.end(), [&](grpc_unit each) { return each.letter == text.back(); });
  const auto count = parse_digits(text.substr(0, text.size() - 1), grpc_digits_max);
  if (unit == grpc_units.end() || !count) return std::nullopt;
  return times(*count, unit->ns);
}

std::string format_grpc_timeout(duration left) {
  const std::int64_t ns = std::max<std::int64_t>(left.count(), 0);
  // Hours hold all that a duration does.
  const auto fits =
      std::find_if(grpc_units.begin(), grpc_units.end(), [&](grpc_unit each) { return ns / each.ns <= grpc_value_max; });
  return std::to_string(ns / fits->ns) + fits->letter;
}

time_point deadline_after(duration left, time_point now) noexcept {
  return left < time_point::max() - now ? now + left : time_point::max();
}

}  // namespace levity
