#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace levity::test {

/// The style of gtest's death tests for what starts threads: this program is started anew, or forked where the kernel cannot start
/// it because an emulator of another machine runs it.
inline const char* death_style() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
    ::execl("/proc/self/exe", "a death test", "--gtest_list_tests", static_cast<char*>(nullptr));
    ::_exit(1);
  }
  int status = 0;
  const bool is_started = child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return is_started ? "threadsafe" : "fast";
}

}  // namespace levity::test
