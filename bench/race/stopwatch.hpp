#pragma once

// What every program of the races prints, and the clocks it reads. Knows no runtime.

#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace race {

inline std::int64_t now_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

/// CPU time of all threads of this process, and wall time, since it was made.
class stopwatch {
public:
  /// Prints the JSON line: how many operations there were, what they cost and what came out. Two runtimes that do not print
  /// the same result have not done the same work.
  void print(std::uint64_t operations, std::uint64_t result, const char* more = "") const {
    const std::int64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_from_;
    const std::int64_t wall = now_ns(CLOCK_MONOTONIC) - wall_from_;
    std::printf("{\"operations\": %llu, \"cpu_ns\": %lld, \"wall_ns\": %lld, \"result\": %llu%s}\n",
                static_cast<unsigned long long>(operations), static_cast<long long>(cpu), static_cast<long long>(wall),
                static_cast<unsigned long long>(result), more);
    std::fflush(stdout);
  }

private:
  std::int64_t cpu_from_ = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  std::int64_t wall_from_ = now_ns(CLOCK_MONOTONIC);
};

/// The number at a place of the command line.
inline std::uint64_t argument(int count, char** values, int at) {
  if (at >= count) {
    std::fprintf(stderr, "%s: argument %d is missing; see bench/race/README.md\n", values[0], at);
    std::exit(2);
  }
  return std::strtoull(values[at], nullptr, 10);
}

[[noreturn]] inline void too_slow() {
  std::fputs("the first tasks woke before the last ones slept; is the machine busy?\n", stderr);
  std::exit(1);
}

/// What memory of this process is resident, in bytes.
inline std::int64_t resident_bytes() {
  std::int64_t kib = -1;
  if (std::FILE* file = std::fopen("/proc/self/smaps_rollup", "re")) {
    char line[256];
    while (std::fgets(line, sizeof line, file) != nullptr) {
      long long value = 0;
      if (std::sscanf(line, "Rss: %lld kB", &value) == 1) kib = value;
    }
    std::fclose(file);
  }
  return kib * 1024;
}

}  // namespace race
