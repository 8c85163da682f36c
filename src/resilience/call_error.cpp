#include "levity/resilience/call_error.hpp"

namespace levity::inline v0 {

std::string_view to_string(call_timeout which) noexcept {
  switch (which) {
    case call_timeout::attempt: return "attempt";
    case call_timeout::total: return "total";
  }
  return "unknown";
}

}  // namespace levity
