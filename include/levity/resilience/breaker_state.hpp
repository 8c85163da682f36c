#pragma once

#include <cstdint>
#include <string_view>

namespace levity::inline v0 {

/// Whether a breaker lets calls through. A gauge of it: 0 is well, everything else is worth a look.
enum class breaker_state : std::uint8_t {
  closed,         ///< calls go through, and are judged
  half_open,      ///< a few calls go through as probes, to find out whether it may close
  open,           ///< none go through until some time has passed
  forced_closed,  ///< an operator's word: all go through, none is judged
  forced_open,    ///< an operator's word: none go through, however long
};

/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(breaker_state of) noexcept;

}  // namespace levity
