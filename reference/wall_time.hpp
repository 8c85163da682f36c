#pragma once

#include <chrono>
#include <cstdint>

namespace orders {

/// Nanoseconds since 1970, for what is read by people or by another process; whatever measures takes levity::clock.
inline std::int64_t wall_ns() noexcept {
  const auto now = std::chrono::system_clock::now();  // the one place that asks
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now.time_since_epoch()).count();
}

}  // namespace orders
