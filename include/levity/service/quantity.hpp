#pragma once

// Durations and sizes as people write them: "1h30m", "250ms", "64MiB". A number without a unit is refused, for nobody knows what
// it means.

#include <compare>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "levity/base/clock.hpp"

namespace levity::inline v0::service {

/// A number of bytes, told apart from other numbers by its type.
struct byte_size {
  std::uint64_t bytes = 0;  ///< how many

  friend constexpr auto operator<=>(byte_size, byte_size) noexcept = default;
};

/// Reads "30s", "1.5ms", "1h30m": one or more numbers, each with one of ns, us, ms, s, m, h, d; "0" alone needs none. No blanks, no
/// sign. The error is a sentence. What is finer than a nanosecond is cut off.
[[nodiscard]] std::expected<duration, std::string> parse_duration(std::string_view text);

/// A text that parse_duration() reads as the same duration, as short as people would write it; negative ones with a '-' that it
/// does not read.
[[nodiscard]] std::string to_text(duration span);

/// Reads "64MiB", "1.5GiB", "10kB", "512B": a number and one of B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (of 1024);
/// "0" alone needs none. The error is a sentence. Parts of a byte are cut off.
[[nodiscard]] std::expected<byte_size, std::string> parse_byte_size(std::string_view text);

/// A text that parse_byte_size() reads as the same size: in the largest unit of 1024 that divides it.
[[nodiscard]] std::string to_text(byte_size size);

}  // namespace levity::service
