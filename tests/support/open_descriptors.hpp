#pragma once

#include <dirent.h>
#include <unistd.h>

#include <cstring>

namespace levity::test {

/// How many descriptors this process has; without those of files below /proc, which the watchdog opens when it suspects a task.
inline int open_descriptors(bool with_proc = false) {
  int count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(folder)) {
    char target[8] = "";
    const ssize_t size = ::readlinkat(::dirfd(folder), entry->d_name, target, sizeof target);
    if (with_proc || size < 0 || std::strncmp(target, "/proc/", 6) != 0) count++;
  }
  ::closedir(folder);
  return count;
}

}  // namespace levity::test
