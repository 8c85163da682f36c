#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace orders {

/// Owns a file descriptor.
class file_descriptor {
public:
  file_descriptor() = default;
  explicit file_descriptor(int fd) noexcept : fd_(fd) {}
  file_descriptor(file_descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  file_descriptor& operator=(file_descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~file_descriptor();

  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }
  explicit operator bool() const noexcept { return fd_ >= 0; }

private:
  int fd_ = -1;
};

// Blocking file operations for the time before the service serves. Errors are whole sentences with path and cause.

std::expected<file_descriptor, std::string> open_file(const std::string& path, int flags);
std::expected<std::uint64_t, std::string> size_of(const file_descriptor& file, const std::string& path);
/// Up to `size` bytes from `offset`; fewer only at the end of the file.
std::expected<void, std::string> read_at(const file_descriptor& file, const std::string& path, std::uint64_t offset,
                                         std::size_t size, std::string& out);
std::expected<void, std::string> write_at(const file_descriptor& file, const std::string& path, std::uint64_t offset,
                                          std::string_view bytes);
std::expected<void, std::string> sync_file(const file_descriptor& file, const std::string& path);
std::expected<void, std::string> sync_directory(const std::string& path);
std::expected<void, std::string> rename_file(const std::string& from, const std::string& to);
std::expected<void, std::string> remove_file(const std::string& path);
std::expected<void, std::string> truncate_file(const file_descriptor& file, const std::string& path,
                                               std::uint64_t size);

}  // namespace orders
