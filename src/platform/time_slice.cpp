#include "platform/time_slice.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace levity::inline v0::detail {
namespace {

// struct sched_attr of the kernel, in its first version: Debian 12's C library has none.
struct attributes {
  std::uint32_t size = sizeof(attributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime_ns = 0;
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};
static_assert(sizeof(attributes) == 48);

constexpr std::uint64_t keep_policy = 0x08;

}  // namespace

// There is no flag that keeps `nice` alone.
void set_time_slice(pid_t thread, time_slice wanted) noexcept {
  errno = 0;
  const int nice = ::getpriority(PRIO_PROCESS, static_cast<id_t>(thread != 0 ? thread : ::gettid()));
  if (nice == -1 && errno != 0) return;
  const attributes all{.flags = keep_policy, .nice = nice, .runtime_ns = wanted == time_slice::brief ? 100'000U : 0U};
  static_cast<void>(::syscall(SYS_sched_setattr, thread, &all, 0));
}

}  // namespace levity::detail
