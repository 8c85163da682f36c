#pragma once

// schedule_text: schedules and choices as words of a replay line.
//
//   random, fifo, exhaustive, pct:DEPTH, pct:DEPTH:STEPS; each with +detaching behind it, or without
//   0,1,0,2

#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "levity/sim/schedule.hpp"

namespace levity::inline v0::sim {

/// The text; of a schedule without its bounds, which a replay does not need.
[[nodiscard]] std::string schedule_text(const schedule& how);
/// The schedule of that text, with the bounds of `bounds`. The error is what the text says wrong, and what to write.
[[nodiscard]] std::expected<schedule, std::string> parse_schedule(std::string_view text, const schedule& bounds);

[[nodiscard]] std::string choices_text(std::span<const unsigned> choices);
/// The empty text is no choices: all are 0. The error likewise.
[[nodiscard]] std::expected<std::vector<unsigned>, std::string> parse_choices(std::string_view text);

}  // namespace levity::sim
