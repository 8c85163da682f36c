#include "levity/task/cancel.hpp"

namespace levity::inline v0 {

std::string_view to_string(cancel_reason reason) noexcept {
  switch (reason) {
    case cancel_reason::none: return "not cancelled";
    case cancel_reason::requested: return "requested";
    case cancel_reason::deadline: return "deadline passed";
    case cancel_reason::sibling_failed: return "a sibling failed";
    case cancel_reason::abandoned: return "its scope was left";
    case cancel_reason::lost_race: return "another branch was first";
    case cancel_reason::shutdown: return "shutdown";
  }
  return "unknown";
}

const char* cancelled::what() const noexcept {
  switch (reason_) {
    case cancel_reason::deadline: return "the task was cancelled: a deadline around it passed";
    case cancel_reason::sibling_failed: return "the task was cancelled: a sibling failed";
    case cancel_reason::abandoned: return "the task was cancelled: its scope was left without join";
    case cancel_reason::lost_race: return "the task was cancelled: another branch of the race was first";
    case cancel_reason::shutdown: return "the task was cancelled: the runtime shuts down";
    case cancel_reason::none:
    case cancel_reason::requested: break;
  }
  return "the task was cancelled";
}

}  // namespace levity
