#pragma once

// deadline_text: how a deadline travels to the next service: as what is left of it, since no two machines' clocks agree.
//
//   header                 form                                                     who speaks it
//   X-Request-Deadline-Ms  1*DIGIT, milliseconds                                    HTTP services
//   grpc-timeout           1*8DIGIT and a unit: H M S (hours to seconds), m u n     gRPC ("Timeout" of its HTTP/2 protocol)
//
// Reading is strict: nothing before, between or behind, no sign. Writing rounds down, so that the one who is called gives up no
// later than the one who waits. What is more than a duration holds (292 years) is as long as one can be: nobody waits for it either
// way.

#include <optional>
#include <string>
#include <string_view>

#include "levity/base/clock.hpp"

namespace levity::inline v0 {

/// The names of the headers, in the spelling of HTTP/1; they are compared without regard to case.
inline constexpr std::string_view deadline_ms_header = "X-Request-Deadline-Ms";
/// The same of gRPC's.
inline constexpr std::string_view grpc_timeout_header = "grpc-timeout";

/// What such a header says is left; empty where it is malformed. More digits than 19 are. Pure, O(digits).
[[nodiscard]] std::optional<duration> parse_deadline_ms(std::string_view text) noexcept;
/// What is left, in whole milliseconds, rounded down: "0" for less than one, and for what has passed. Fits std::string's own
/// memory.
[[nodiscard]] std::string format_deadline_ms(duration left);

/// The same for gRPC's header.
[[nodiscard]] std::optional<duration> parse_grpc_timeout(std::string_view text) noexcept;
/// What is left in the finest unit that eight digits hold, rounded down: exact below 0.1 s, else to one part in 100,000,
/// "0n" for what has passed.
[[nodiscard]] std::string format_grpc_timeout(duration left);

/// The moment at which `left` is over, or the end of time.
[[nodiscard]] time_point deadline_after(duration left, time_point now) noexcept;

}  // namespace levity
