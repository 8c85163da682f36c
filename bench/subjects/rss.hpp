#pragma once

#include <cstdint>
#include <cstdio>

// What memory of this process is resident, in bytes; negative where the kernel does not say.
inline std::int64_t rss_bytes() {
  std::int64_t kib = -1;
  if (FILE* file = std::fopen("/proc/self/smaps_rollup", "re")) {
    char line[256];
    while (std::fgets(line, sizeof line, file) != nullptr) {
      long long value = 0;
      if (std::sscanf(line, "Rss: %lld kB", &value) == 1) kib = value;
    }
    std::fclose(file);
  }
  return kib * 1024;
}
