#pragma once

#include <cstdint>

#include <levity/levity.hpp>

namespace orders {

/// Nanoseconds since 1970, for what is read by people or by another process; whatever measures takes levity::clock.
inline std::int64_t wall_ns() noexcept {
  return levity::wall_clock::now().time_since_epoch().count();
}

}  // namespace orders
