#include "levity/resilience/retry_stop.hpp"

namespace levity::inline v0 {

std::string_view to_string(retry_stop why) noexcept {
  switch (why) {
    case retry_stop::final: return "final";
    case retry_stop::repetitions_used: return "repetitions_used";
    case retry_stop::past_deadline: return "past_deadline";
    case retry_stop::asked_to_wait: return "asked_to_wait";
    case retry_stop::budget_spent: return "budget_spent";
    case retry_stop::not_repeatable: return "not_repeatable";
    case retry_stop::refused: return "refused";
    case retry_stop::cancelled: return "cancelled";
  }
  return "unknown";
}

}  // namespace levity
