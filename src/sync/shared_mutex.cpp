#include "levity/sync/shared_mutex.hpp"

#include <cstdio>

namespace levity::inline v0 {

const wait_reason shared_mutex::awaiter_base::write_reason{"shared mutex lock", &awaiter_base::leave, &awaiter_base::settle,
                                                           &awaiter_base::describe};
const wait_reason shared_mutex::awaiter_base::read_reason{"shared mutex shared lock", &awaiter_base::leave,
                                                          &awaiter_base::settle, &awaiter_base::describe};

void shared_mutex::awaiter_base::describe(const detail::waiter& self, char* text, std::size_t size) noexcept {
  shared_mutex& wanted = static_cast<const awaiter_base&>(self).mutex_;
  const std::uint64_t taken = whole - wanted.turns_.available_approx();
  if (taken == whole) {
    std::snprintf(text, size, "shared mutex %p, held by a writer", static_cast<const void*>(&wanted));
  } else {
    std::snprintf(text, size, "shared mutex %p, held by %llu readers", static_cast<const void*>(&wanted),
                  static_cast<unsigned long long>(taken));
  }
}

}  // namespace levity
