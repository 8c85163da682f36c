#include "levity/sync/broadcast.hpp"

#include <cstdio>

namespace levity::inline v0 {

std::string_view to_string(broadcast_failure why) noexcept {
  switch (why) {
    case broadcast_failure::closed: return "broadcast closed";
    case broadcast_failure::lagged: return "lagged";
    case broadcast_failure::cancelled: return "cancelled";
    case broadcast_failure::timed_out: return "timed out";
    case broadcast_failure::would_block: return "would block";
  }
  return "unknown";
}

namespace detail {

const wait_reason broadcast_wait::reason_{"broadcast receive", &queued_wait::take_back, &change_awaiter::settle,
                                          &broadcast_wait::describe};

void broadcast_wait::describe(const waiter& self, char* text, std::size_t size) noexcept {
  std::snprintf(text, size, "broadcast %p", static_cast<const void*>(&static_cast<const broadcast_wait&>(self).list_));
}

}  // namespace detail
}  // namespace levity
