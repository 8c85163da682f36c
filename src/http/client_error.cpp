#include "levity/http/client_error.hpp"

namespace levity::inline v0::http {

std::string_view to_string(client_failure what) noexcept {
  switch (what) {
    case client_failure::invalid_request: return "invalid_request";
    case client_failure::closed: return "closed";
    case client_failure::pool_exhausted: return "pool_exhausted";
    case client_failure::unresolved: return "unresolved";
    case client_failure::unreachable: return "unreachable";
    case client_failure::connection_lost: return "connection_lost";
    case client_failure::timed_out: return "timed_out";
    case client_failure::cancelled: return "cancelled";
    case client_failure::bad_answer: return "bad_answer";
    case client_failure::answer_too_large: return "answer_too_large";
    case client_failure::too_many_redirects: break;
  }
  return "too_many_redirects";
}

}  // namespace levity::http
