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

}  // namespace levity::detail
