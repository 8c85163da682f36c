#include "platform/thread_sign.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

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

char thread_sign::state() const noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", static_cast<int>(id));
  FILE* file = std::fopen(path, "re");
  if (file == nullptr) return '?';
  char text[128];
  const std::size_t count = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  text[count] = '\0';
  // "ID (NAME) STATE ...", and a name may hold anything.
  const char* name_end = std::strrchr(text, ')');
  return name_end != nullptr && name_end[1] == ' ' ? name_end[2] : '?';
}

}  // namespace levity::detail
