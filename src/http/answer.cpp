#include "levity/http/answer.hpp"

namespace levity::inline v0::http {

void detail::kept_answer::clear() noexcept {
  head.clear();
  head_text.clear();
  trailers.clear();
  trailer_text.clear();
}

void answer::clear() noexcept {
  kept_.clear();
  body_.clear();
  timings_ = {};
  redirects_ = 0;
  kept_connection_ = false;
}

}  // namespace levity::http
