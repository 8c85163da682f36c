#include "levity/base/wall_clock.hpp"

#include <ctime>

namespace levity::inline v0 {

std::int64_t detail::kernel_wall_ns() noexcept {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

std::int64_t detail::wall_seconds() noexcept {
  time_source* const source = this_time_source();
  if (source == nullptr) return std::time(nullptr);
  return source->wall_ns() / 1'000'000'000;
}

wall_clock::time_point wall_clock::now() noexcept {
  detail::time_source* const source = detail::this_time_source();
  return time_point{duration{source == nullptr ? detail::kernel_wall_ns() : source->wall_ns()}};
}

}  // namespace levity
