#include "levity/resilience/breaker_state.hpp"

namespace levity::inline v0 {

std::string_view to_string(breaker_state of) noexcept {
  switch (of) {
    case breaker_state::closed: return "closed";
    case breaker_state::half_open: return "half_open";
    case breaker_state::open: return "open";
    case breaker_state::forced_closed: return "forced_closed";
    case breaker_state::forced_open: return "forced_open";
  }
  return "unknown";
}

}  // namespace levity
