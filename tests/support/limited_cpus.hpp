#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "runtime/limit.hpp"
#include "tests/support/temporary_folder.hpp"

namespace levity::test {

/// While it lives, new runtimes read the limit of CPUs from `proc`, a folder like /proc/self, of a process that may use `allowed`.
class limit_source {
public:
  limit_source(std::string proc, detail::cpu_set allowed)
      : before_(std::exchange(detail::make_limit, [proc = std::move(proc), allowed = std::move(allowed)] {
          return std::make_unique<detail::cpu_limit>(proc, allowed);
        })) {}
  limit_source(const limit_source&) = delete;
  limit_source& operator=(const limit_source&) = delete;
  ~limit_source() { detail::make_limit = std::move(before_); }

private:
  std::function<std::unique_ptr<detail::cpu_limit>()> before_;
};

/// While it lives, new runtimes are limited to as many CPUs, of up to four, as the test says last.
class limited_cpus {
public:
  explicit limited_cpus(unsigned cpus) {
    std::filesystem::create_directories(folder_.file("proc"));
    std::filesystem::create_directories(folder_.file("v2"));
    std::ofstream(folder_.file("proc/mountinfo")) << "31 23 0:26 / " << folder_.file("v2") << " rw - cgroup2 cgroup rw\n";
    std::ofstream(folder_.file("proc/cgroup")) << "0::/\n";
    set(cpus);
  }
  /// From 1 to 4, in one write: no reader finds the file empty. Any thread.
  void set(unsigned cpus) const {
    const std::string text = std::to_string(cpus) + "00000 100000\n";
    const int file = ::open(folder_.file("v2/cpu.max").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    (void)!::write(file, text.data(), text.size());
    ::close(file);
  }

private:
  temporary_folder folder_ = temporary_folder::in_memory();
  limit_source source_{folder_.file("proc"), {0, 1, 2, 3}};
};

}  // namespace levity::test
