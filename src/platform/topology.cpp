#include "platform/topology.hpp"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

namespace levity::inline v0::detail {
namespace {

// The first line of a small file, empty if there is none.
std::string first_line(const std::string& path) {
  std::string line;
  if (FILE* file = std::fopen(path.c_str(), "re")) {
    char text[256];
    if (std::fgets(text, sizeof text, file) != nullptr) line = text;
    std::fclose(file);
  }
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return line;
}

double quota_in(const std::string& folder, bool v2) {
  double quota = 0;
  double period = 0;
  if (v2) {
    if (std::sscanf(first_line(folder + "/cpu.max").c_str(), "%lf %lf", &quota, &period) != 2) return 0;
  } else {
    if (std::sscanf(first_line(folder + "/cpu.cfs_quota_us").c_str(), "%lf", &quota) != 1) return 0;
    if (std::sscanf(first_line(folder + "/cpu.cfs_period_us").c_str(), "%lf", &period) != 1) return 0;
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

// The tightest CPU quota from this process's cgroup up to the root, in CPUs; 0 without one.
double cgroup_quota() {
  double tightest = 0;
  FILE* file = std::fopen("/proc/self/cgroup", "re");
  if (file == nullptr) return 0;
  char line[4096];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    char* controllers = std::strchr(line, ':');
    if (controllers == nullptr) continue;
    char* path = std::strchr(++controllers, ':');
    if (path == nullptr) continue;
    *path++ = '\0';
    path[std::strcspn(path, "\n")] = '\0';
    const bool v2 = *controllers == '\0';
    bool cpu = v2;
    for (char* name = std::strtok(controllers, ","); name != nullptr; name = std::strtok(nullptr, ",")) {
      cpu = cpu || std::strcmp(name, "cpu") == 0;
    }
    if (!cpu) continue;
    const std::string mounts[] = {v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu",
                                  v2 ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup/cpu,cpuacct"};
    for (const std::string& mount : mounts) {
      for (std::string group = path;;) {
        const double quota = quota_in(mount + group, v2);
        if (quota > 0 && (tightest == 0 || quota < tightest)) tightest = quota;
        const std::size_t slash = group.rfind('/');
        if (slash == std::string::npos || group.size() <= 1) break;
        group.resize(slash);
      }
    }
  }
  std::fclose(file);
  return tightest;
}

}  // namespace

unsigned usable_cpus() noexcept {
  unsigned cpus = 1;
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0) cpus = static_cast<unsigned>(CPU_COUNT(&allowed));
  try {
    if (const double quota = cgroup_quota(); quota > 0) cpus = std::min(cpus, static_cast<unsigned>(std::ceil(quota)));
  } catch (...) {
  }
  return std::max(cpus, 1U);
}

}  // namespace levity::detail
