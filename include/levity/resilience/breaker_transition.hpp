#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "levity/base/clock.hpp"
#include "levity/resilience/breaker_state.hpp"
#include "levity/resilience/breaker_window.hpp"

namespace levity::inline v0 {

/// Why a breaker went from one state to another.
enum class transition_cause : std::uint8_t {
  too_many_failures,  ///< of the calls in its window
  too_many_slow,      ///< of the calls in its window took too long
  open_time_over,     ///< it had been open for as long as it was to be
  probe_failed,       ///< while it was half open
  probes_succeeded,   ///< as many as it wants
  probe_unanswered,   ///< a probe has been under way for too long
  forced,             ///< an operator forced it open or closed
  released,           ///< an operator has given it back to its own judgement
};

/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(transition_cause of) noexcept;

/// One change of a breaker's state, as it is told to breaker_settings::on_transition.
struct breaker_transition {
  /// The name of the breaker; lives as long as it does.
  std::string_view name{};
  /// The how manieth change of this breaker it is, from 1. Two that follow each other at once may be told by two threads, in any
  /// order; by this number they can be put right.
  std::uint64_t number = 0;
  breaker_state from{};     ///< the state before
  breaker_state to{};       ///< the state from here on
  transition_cause cause{};  ///< why
  time_point at{};          ///< when: what the call was told that made the change
  /// What was counted when it changed, the call that decided it included; of probes, those that had an answer.
  breaker_window window{};
  /// For how long nothing will be let through; only where `to` is open.
  duration open_for{};

  /// One line for a log: `breaker payments: closed -> open: 5 of 10 calls failed; tries again in 4.71 s`. Allocates.
  [[nodiscard]] std::string message() const;
};

}  // namespace levity
