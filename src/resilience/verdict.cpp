#include "levity/resilience/verdict.hpp"

namespace levity::inline v0 {

std::string_view to_string(verdict of) noexcept {
  switch (of) {
    case verdict::success: return "success";
    case verdict::failure: return "failure";
    case verdict::neutral: return "neutral";
  }
  return "unknown";
}

}  // namespace levity
