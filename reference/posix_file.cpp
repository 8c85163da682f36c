#include "reference/posix_file.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace orders {
namespace {

std::unexpected<std::string> failed(std::string_view what, const std::string& path) {
  const int error = errno;
  std::string remedy;
  if (error == ENOSPC || error == EDQUOT) remedy = "; free some space on that file system";
  if (error == EACCES || error == EPERM || error == EROFS) remedy = "; the service must be allowed to write there";
  return std::unexpected(
      fmt::format("Cannot {} {}: {}{}.", what, path, std::generic_category().message(error), remedy));
}

template <class Call>
auto retried(const Call& call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

}  // namespace

file_descriptor::~file_descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

std::expected<file_descriptor, std::string> open_file(const std::string& path, int flags) {
  const int fd = retried([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0644); });
  if (fd < 0) return failed("open", path);
  return file_descriptor{fd};
}

std::expected<std::uint64_t, std::string> size_of(const file_descriptor& file, const std::string& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return failed("look at", path);
  if (!S_ISREG(status.st_mode)) return std::unexpected(path + " is not a regular file; move it away.");
  return static_cast<std::uint64_t>(status.st_size);
}

std::expected<void, std::string> read_at(const file_descriptor& file, const std::string& path, std::uint64_t offset,
                                         std::size_t size, std::string& out) {
  const std::size_t start = out.size();
  out.resize(start + size);
  std::size_t done = 0;
  while (done < size) {
    const auto got = retried(
        [&] { return ::pread(file.get(), out.data() + start + done, size - done, static_cast<off_t>(offset + done)); });
    if (got < 0) {
      out.resize(start);
      return failed("read", path);
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  out.resize(start + done);
  return {};
}

std::expected<void, std::string> write_at(const file_descriptor& file, const std::string& path, std::uint64_t offset,
                                          std::string_view bytes) {
  while (!bytes.empty()) {
    const auto put =
        retried([&] { return ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (put < 0) return failed("write to", path);
    bytes.remove_prefix(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

std::expected<void, std::string> sync_file(const file_descriptor& file, const std::string& path) {
  if (retried([&] { return ::fsync(file.get()); }) != 0) return failed("make durable", path);
  return {};
}

std::expected<void, std::string> sync_directory(const std::string& path) {
  const auto directory = open_file(path, O_RDONLY | O_DIRECTORY);
  if (!directory) return std::unexpected(directory.error());
  if (retried([&] { return ::fsync(directory->get()); }) != 0) return failed("make durable", path);
  return {};
}

std::expected<void, std::string> rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return failed("rename", from);
  return {};
}

std::expected<void, std::string> remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed("remove", path);
  return {};
}

std::expected<void, std::string> truncate_file(const file_descriptor& file, const std::string& path,
                                               std::uint64_t size) {
  if (retried([&] { return ::ftruncate(file.get(), static_cast<off_t>(size)); }) != 0) return failed("shorten", path);
  return {};
}

}  // namespace orders
