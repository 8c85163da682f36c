#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

namespace levity::test {

/// A folder of its own for a test; gone with everything in it in the end.
class temporary_folder {
public:
  temporary_folder() : temporary_folder("/tmp") {}
  /// Of very many small files, on a file system in memory.
  static temporary_folder in_memory() { return temporary_folder(::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  explicit temporary_folder(std::string parent) : path_(std::move(parent) + "/levity-test.XXXXXX") { ::mkdtemp(path_.data()); }

  std::string path_;
};

}  // namespace levity::test
