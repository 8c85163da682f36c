#pragma once

#include <time.h>

#include <cstdint>

/// CPU time of this process, all its threads, in nanoseconds.
inline std::int64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}
