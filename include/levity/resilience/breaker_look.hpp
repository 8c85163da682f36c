#pragma once

#include <cstdint>

#include "levity/base/clock.hpp"
#include "levity/resilience/breaker_state.hpp"
#include "levity/resilience/breaker_window.hpp"

namespace levity::inline v0 {

/// What a breaker shows of itself at one moment: for a metric, a page, a test. State, window and probes are of the same moment;
/// the counters are read beside it.
struct breaker_look {
  breaker_state state{};    ///< as the last call left it: one whose open time is over says `open` until somebody asks it
  breaker_window window{};  ///< closed: what it judges by at the moment
  time_point tries_again_at{};             ///< open: from when on a call is let through as a probe
  unsigned probes_under_way = 0;           ///< half open: let through, and without a verdict
  unsigned probes_succeeded = 0;           ///< half open: since it was
  std::uint64_t transitions = 0;           ///< changes of its state, ever
  std::uint64_t refused = 0;               ///< calls that were not let through, ever
  std::uint64_t would_have_refused = 0;    ///< calls that were let through because it only observes, ever
  std::uint64_t stale_results = 0;         ///< verdicts that came when its state had changed since the call began, ever
};

}  // namespace levity
