// quantity.hpp -- durations, counts and sizes as people write and read them on a command line.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace levity::tools {

/// "250us", "20ms", "1.5s", "5m", "1h" -> nanoseconds. A bare number is seconds. The error is one sentence.
[[nodiscard]] std::expected<std::int64_t, std::string> parse_duration_ns(std::string_view text);

/// "12000", "12k", "1.5M" -> number; never negative. The error is one sentence.
[[nodiscard]] std::expected<double, std::string> parse_number(std::string_view text);

/// 812 ns, 45.1 us, 1.23 ms, 20.0 ms, 3.10 s: three digits and a unit.
[[nodiscard]] std::string show_duration(double ns);

/// 950, 12,000, 1,234,567: with separators.
[[nodiscard]] std::string show_count(std::uint64_t count);

/// 512 B, 12.3 KiB, 4.50 GiB.
[[nodiscard]] std::string show_bytes(double bytes);

}  // namespace levity::tools
