#pragma once

// plan_text: the words and numbers of a fault plan's text, each of which reads back exactly.

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "levity/sim/fault_plan.hpp"

namespace levity::inline v0::sim {

/// A number that counts units of 10^-decimals: "12.5" of 125'000 and 4.
[[nodiscard]] std::string decimal_text(std::int64_t number, unsigned decimals);
/// Reads that, nothing if it is none or would have to be rounded.
[[nodiscard]] std::optional<std::int64_t> read_decimal(std::string_view text, unsigned decimals);

/// "2.5s", "300ms", "10us", "7ns" of nanoseconds.
[[nodiscard]] std::string time_text(std::int64_t ns);
[[nodiscard]] std::optional<std::int64_t> read_time(std::string_view text);

/// A kind of fault as the text of a plan names it: "kill".
[[nodiscard]] std::string_view fault_text(fault_kind what) noexcept;

/// A host's name as one word.
[[nodiscard]] std::string name_text(std::string_view name);

struct plan_part {
  std::vector<std::string> words;  // one at least
  std::string_view text;
};

/// What stands between semicolons, cut into words; empty parts are left out. The error is a sentence.
[[nodiscard]] std::expected<std::vector<plan_part>, std::string> read_parts(std::string_view text);

}  // namespace levity::sim
