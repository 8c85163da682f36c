#include "levity/base/assert.hpp"

#ifdef LEVITY_MODEL
#include "levity/base/explored_atomic.hpp"
#endif

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace levity::inline v0::detail {

void assertion_failed(const char* condition, const char* message, const char* file, int line) noexcept {
  char text[1024];
  const int length = std::snprintf(text, sizeof text, "%s:%d: broken belief: %s (%s)\n", file, line, message, condition);
#ifdef LEVITY_MODEL
  if (this_explorer != nullptr) this_explorer->fails(text, {});
#endif
  if (length > 0) {
    const auto size = static_cast<std::size_t>(length) < sizeof text ? static_cast<std::size_t>(length) : sizeof text - 1;
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, size);
  }
  std::abort();
}

}  // namespace levity::detail
