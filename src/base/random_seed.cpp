#include "levity/base/random_seed.hpp"

#include <sys/random.h>

#include <cerrno>

#include "levity/base/clock.hpp"
#include "levity/base/rng.hpp"

namespace levity::inline v0 {

std::uint64_t detail::kernel_seed() noexcept {
  std::uint64_t drawn = 0;
  ssize_t got;
  do {
    got = ::getrandom(&drawn, sizeof drawn, 0);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof drawn)) return drawn;
  // A filter of system calls that was written before getrandom. The address tells processes and threads apart, the clock moments.
  return rng(static_cast<std::uint64_t>(kernel_now_ns()) ^ reinterpret_cast<std::uintptr_t>(&drawn) << 20)();
}

std::uint64_t random_seed() noexcept {
  detail::time_source* const source = detail::this_time_source();
  return source == nullptr ? detail::kernel_seed() : source->draw_seed();
}

}  // namespace levity
