#include "levity/base/clock.hpp"

#include <ctime>
#include <utility>

#ifdef LEVITY_MODEL
#include "levity/base/explored_atomic.hpp"
#endif

namespace levity::inline v0 {
namespace {

constinit thread_local detail::time_source* installed = nullptr;

}  // namespace

namespace detail {

std::int64_t kernel_now_ns() noexcept {
#ifdef LEVITY_MODEL
  if (this_explorer != nullptr) return this_explorer->now_ns();
#endif
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

time_source* exchange_time_source(time_source* source) noexcept { return std::exchange(installed, source); }

time_source* this_time_source() noexcept { return installed; }

}  // namespace detail

clock::time_point clock::now() noexcept {
  const std::int64_t ns = installed == nullptr ? detail::kernel_now_ns() : installed->now_ns();
  return time_point{duration{ns}};
}

}  // namespace levity
