#include "platform/thread_sign.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace levity::inline v0::detail {

thread_sign thread_sign::here() noexcept {
  thread_sign sign;
  if (::pthread_getcpuclockid(::pthread_self(), &sign.clock) != 0) return {};
  sign.id = static_cast<pid_t>(::syscall(SYS_gettid));
  return sign;
}

std::int64_t thread_sign::cpu_ns() const noexcept {
  timespec used{};
  if (id == 0 || ::clock_gettime(clock, &used) != 0) return -1;
  return std::int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

}  // namespace levity::detail
