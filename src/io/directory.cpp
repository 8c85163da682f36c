#include "levity/io/directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "levity/io/detail/file_operation.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/task/yield.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

constexpr const char* listing = "directory read";
constexpr std::size_t batch_bytes = 32 * 1024;

file_kind kind_of_mode(unsigned mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG: return file_kind::regular;
    case S_IFDIR: return file_kind::directory;
    case S_IFLNK: return file_kind::symlink;
    case S_IFIFO: return file_kind::fifo;
    case S_IFSOCK: return file_kind::socket;
    case S_IFBLK: return file_kind::block_device;
    case S_IFCHR: return file_kind::character_device;
    default: return file_kind::unknown;
  }
}

file_kind kind_of_entry(unsigned char type) noexcept { return kind_of_mode(DTTOIF(type)); }

// What a listing holds; gone with the generator, wherever that stands.
struct open_directory {
  explicit open_directory(std::int64_t opened) : fd(static_cast<std::int32_t>(opened)) {
    bytes = static_cast<std::byte*>(frame_allocate(batch_bytes));
  }
  open_directory(const open_directory&) = delete;
  open_directory& operator=(const open_directory&) = delete;
  ~open_directory() {
    frame_free(bytes, batch_bytes);
    close_later(fd);
  }

  std::int32_t fd;
  std::byte* bytes;
};

task<io_result<void>> on_paths(file_operation::kind what, std::string path, std::string other, unsigned mode) {
  const auto done = co_await path_action{what, path.c_str(), other.c_str(), 0, mode};
  if (!done) co_return std::unexpected(done.error());
  co_return io_result<void>{};
}

}  // namespace

task<io_result<file_status>> path_status(std::string path, bool follow) {
  struct statx raw {};
  const auto done = co_await path_action{file_operation::kind::status, path.c_str(), file_wait::by_path,
                                         std::as_writable_bytes(std::span(&raw, 1)), follow ? 0 : AT_SYMLINK_NOFOLLOW};
  if (!done) co_return std::unexpected(done.error());
  file_status status;
  status.kind = kind_of_mode(raw.stx_mode);
  status.size = raw.stx_size;
  status.modified = std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::seconds(raw.stx_mtime.tv_sec) +
                                                                    std::chrono::nanoseconds(raw.stx_mtime.tv_nsec));
  status.mode = raw.stx_mode & 07777u;
  status.uid = raw.stx_uid;
  status.gid = raw.stx_gid;
  status.inode = raw.stx_ino;
  status.links = raw.stx_nlink;
  co_return status;
}

generator<io_result<directory_entry>> list_directory(std::string path) {
  const auto opened = co_await path_action{file_operation::kind::open, path.c_str(), nullptr, O_RDONLY | O_DIRECTORY, 0};
  if (!opened) {
    co_yield std::unexpected(opened.error());
    co_return;
  }
  const open_directory folder(*opened);
  for (;;) {
    cancel_reason why = cancel_reason::none;
    try {
      co_await throw_if_cancelled();
    } catch (const cancelled& ended) {
      why = ended.reason();
    }
    if (why != cancel_reason::none) {
      co_yield std::unexpected(to_io_error(why, listing));
      co_return;
    }
    const auto got = co_await path_action{file_operation::kind::list, path.c_str(), folder.fd,
                                          std::span(folder.bytes, batch_bytes), 0};
    if (!got) co_yield std::unexpected(got.error());
    if (!got || *got == 0) co_return;
    for (std::int64_t at = 0; at < *got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(folder.bytes + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      directory_entry found{std::string(name), kind_of_entry(entry->d_type)};  // named: g++ 12 destroys such a temporary twice
      co_yield std::move(found);
    }
  }
}

task<io_result<void>> make_directory(std::string path, unsigned mode) {
  return on_paths(file_operation::kind::make_directory, std::move(path), {}, mode);
}
task<io_result<void>> remove_directory(std::string path) {
  return on_paths(file_operation::kind::remove_directory, std::move(path), {}, 0);
}
task<io_result<void>> make_link(std::string existing, std::string made) {
  return on_paths(file_operation::kind::link, std::move(existing), std::move(made), 0);
}
task<io_result<void>> make_symlink(std::string target, std::string made) {
  return on_paths(file_operation::kind::symlink, std::move(target), std::move(made), 0);
}

}  // namespace levity
