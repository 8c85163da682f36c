#pragma once

#include <dirent.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace levity::test {

/// A folder of its own for a test; gone with everything in it in the end.
class temporary_folder {
public:
  temporary_folder() {
    char name[] = "/tmp/levity-test.XXXXXX";
    path_ = ::mkdtemp(name);
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
};

/// Descriptors that this process has open.
inline int open_descriptors() {
  int count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) count++;
  ::closedir(folder);
  return count;
}

}  // namespace levity::test
