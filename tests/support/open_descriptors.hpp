#pragma once

#include <dirent.h>
#include <unistd.h>

#include <cstring>

namespace levity::test {

/// How many descriptors this process has; without those of files below /proc, and of its control groups, which the watchdog opens
/// when it suspects a task.
inline int open_descriptors(bool with_proc = false) {
  int count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(folder)) {
    char target[8] = "";
    const ssize_t size = ::readlinkat(::dirfd(folder), entry->d_name, target, sizeof target);
    const bool of_watchdog = std::strncmp(target, "/proc/", 6) == 0 || std::strncmp(target, "/sys/", 5) == 0;
    if (with_proc || size < 0 || !of_watchdog) count++;
  }
  ::closedir(folder);
  return count;
}

}  // namespace levity::test
