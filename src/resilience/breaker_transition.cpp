#include "levity/resilience/breaker_transition.hpp"

#include <fmt/format.h>

namespace levity::inline v0 {
namespace {

std::string explain(const breaker_transition& told) {
  const breaker_window& window = told.window;
  switch (told.cause) {
    case transition_cause::too_many_failures:
      return window.failures_in_a_row > 0 && window.failures == window.failures_in_a_row && window.successes == 0
                 ? fmt::format("{} calls in a row failed", window.failures_in_a_row)
                 : fmt::format("{} of {} calls failed", window.failures, window.calls);
    case transition_cause::too_many_slow: return fmt::format("{} of {} calls took too long", window.slow, window.calls);
    case transition_cause::open_time_over: return "its time is over, so the next calls are probes";
    case transition_cause::probe_failed: return "a probe failed";
    case transition_cause::probes_succeeded: return fmt::format("{} probes succeeded", window.successes);
    case transition_cause::probe_unanswered: return "a probe has not answered for too long";
    case transition_cause::forced: return "an operator wants it so";
    case transition_cause::released: return "an operator lets it judge by itself again";
  }
  return "for an unknown cause";
}

}  // namespace

std::string_view to_string(transition_cause of) noexcept {
  switch (of) {
    case transition_cause::too_many_failures: return "too_many_failures";
    case transition_cause::too_many_slow: return "too_many_slow";
    case transition_cause::open_time_over: return "open_time_over";
    case transition_cause::probe_failed: return "probe_failed";
    case transition_cause::probes_succeeded: return "probes_succeeded";
    case transition_cause::probe_unanswered: return "probe_unanswered";
    case transition_cause::forced: return "forced";
    case transition_cause::released: return "released";
  }
  return "unknown";
}

std::string breaker_transition::message() const {
  std::string line = fmt::format("breaker {}: {} -> {}: {}", name, to_string(from), to_string(to), explain(*this));
  if (to == breaker_state::open) line += fmt::format("; tries again in {:.2f} s", std::chrono::duration<double>(open_for).count());
  return line;
}

}  // namespace levity
