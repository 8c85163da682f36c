#pragma once

// Control groups of the kernel's own, made for a test where this user may make them.

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

#include "platform/text_file.hpp"
#include "tests/support/temporary_folder.hpp"

namespace levity::test {

struct hierarchy {
  std::string root, at;
};

// Where the hierarchy is mounted; empty if it is not. `controller` is v1's, null for v2.
inline hierarchy find_hierarchy(const char* controller) {
  std::istringstream lines(detail::read_text("/proc/self/mountinfo").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::string skipped, root, at, type, options;
    std::istringstream left(line);
    left >> skipped >> skipped >> skipped >> root >> at;
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream(line.substr(dash + 3)) >> type >> skipped >> options;
    const bool has = controller != nullptr && ("," + options + ",").find("," + std::string(controller) + ",") != std::string::npos;
    if (controller == nullptr ? type == "cgroup2" : type == "cgroup" && has) return {root == "/" ? "" : root, at};
  }
  return {};
}

// A group of the kernel's, made for a test.
class real_group {
public:
  real_group(const hierarchy& in, const std::string& name) : path_(in.at + "/" + name), in_root_(in.root + "/" + name) {
    made_ = !in.at.empty() && ::mkdir(path_.c_str(), 0755) == 0;
    why_not_ = in.at.empty() ? "it is not mounted" : std::strerror(errno);
  }
  real_group(const real_group&) = delete;
  real_group& operator=(const real_group&) = delete;
  ~real_group() {
    if (made_) ::rmdir(path_.c_str());
  }
  [[nodiscard]] bool is_made() const { return made_; }
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& in_root() const { return in_root_; }
  [[nodiscard]] bool has(const char* file) const { return ::access((path_ + "/" + file).c_str(), W_OK) == 0; }
  /// Throws std::system_error.
  void write(const char* file, std::string_view text) const {
    FILE* to = std::fopen((path_ + "/" + file).c_str(), "w");
    bool written = to != nullptr && std::fwrite(text.data(), 1, text.size(), to) == text.size();
    if (to != nullptr) written = std::fclose(to) == 0 && written;
    if (!written) throw std::system_error(errno, std::generic_category(), path_ + "/" + file);
  }

private:
  std::string path_;
  std::string in_root_;
  bool made_ = false;
  std::string why_not_;
};

// A process that is in such a group is no other than this one, but for the line that says so.
class process_in {
public:
  explicit process_in(const std::string& lines) {
    std::ofstream(folder_.file("mountinfo")) << detail::read_text("/proc/self/mountinfo").value_or("") << "\n";
    std::ofstream(folder_.file("cgroup")) << lines << "\n";
  }
  [[nodiscard]] const std::string& proc() const { return folder_.path(); }

private:
  test::temporary_folder folder_;
};

inline std::string name_of_group() { return "levity-test-" + std::to_string(::getpid()); }

}  // namespace levity::test
