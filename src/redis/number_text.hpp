#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace levity::inline v0::redis::detail {

/// Decimal digits behind an optional sign, all of the text, within 64 bits.
[[nodiscard]] std::optional<std::int64_t> integer_of(std::string_view text) noexcept;

/// A decimal number with an optional sign, fraction and exponent, or inf, infinity, nan in any case; all of the text.
[[nodiscard]] std::optional<double> real_of(std::string_view text) noexcept;

/// As few digits as tell it apart; "inf", "-inf", "nan".
void append_real(std::string& out, double number);

}  // namespace levity::redis::detail
