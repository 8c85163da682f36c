#include "levity/resilience/rejection.hpp"

#include <fmt/format.h>

namespace levity::inline v0 {
namespace {

std::string_view explain(rejection_cause of) noexcept {
  switch (of) {
    case rejection_cause::breaker_open: return "the breaker is open, for too many of the last calls failed";
    case rejection_cause::probe_under_way: return "the breaker is half open, and another call tries whether it may close";
    case rejection_cause::rate_exceeded: return "more calls were made than the rate allows; slow down or raise the rate";
    case rejection_cause::bulkhead_full:
      return "the bulkhead is full: all its places are taken, and none came free in time; call less or raise concurrent_max";
    case rejection_cause::limit_reached: return "as many calls are under way as the other side answers in time";
    case rejection_cause::overloaded: return "calls have been waiting too long, so some are not begun; call less or add capacity";
    case rejection_cause::too_late: return "less time is left than the call takes; give it a longer deadline";
  }
  return "refused for an unknown cause";
}

}  // namespace

std::string_view to_string(rejection_cause of) noexcept {
  switch (of) {
    case rejection_cause::breaker_open: return "breaker_open";
    case rejection_cause::probe_under_way: return "probe_under_way";
    case rejection_cause::rate_exceeded: return "rate_exceeded";
    case rejection_cause::bulkhead_full: return "bulkhead_full";
    case rejection_cause::limit_reached: return "limit_reached";
    case rejection_cause::overloaded: return "overloaded";
    case rejection_cause::too_late: return "too_late";
  }
  return "unknown";
}

std::string rejection::message() const {
  if (retry_after <= duration::zero()) return std::string(explain(cause));
  return fmt::format("{}; ask again in {:.0f} ms", explain(cause), std::chrono::duration<double, std::milli>(retry_after).count());
}

}  // namespace levity
