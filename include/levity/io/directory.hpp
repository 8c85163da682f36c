#pragma once

// Directories and what is known of paths. Like all of a file's operations these run on the ring thread or on threads; no worker
// waits for the disk, and a cancelled task waits for the operation that is in flight.

#include <cstdint>
#include <string>

#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/task/generator.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// What a name stands for.
enum class file_kind : std::uint8_t {
  regular,           ///< a file of bytes
  directory,         ///< more names
  symlink,           ///< another path
  fifo,              ///< a pipe with a name
  socket,            ///< a Unix socket
  block_device,      ///< a disk
  character_device,  ///< a terminal and the like
  unknown,           ///< the file system does not say in its directories: ask path_status()
};

/// What the kernel knows of a file.
struct file_status {
  file_kind kind = file_kind::unknown;                       ///< never unknown when it was asked for
  std::uint64_t size = 0;                                    ///< bytes
  std::chrono::sys_time<std::chrono::nanoseconds> modified;  ///< when its bytes were last changed
  unsigned mode = 0;                                         ///< permissions
  std::uint32_t uid = 0;                                     ///< its owner
  std::uint32_t gid = 0;                                     ///< its group
  std::uint64_t inode = 0;                                   ///< its number in its file system
  std::uint64_t links = 0;                                   ///< names that it has
};

/// Asks for a file by its path; of a symbolic link about what it leads to, or with `follow` off about the link itself.
[[nodiscard]] task<io_result<file_status>> path_status(std::string path, bool follow = true);

/// A name in a directory.
struct directory_entry {
  std::string name;                     ///< without the path
  file_kind kind = file_kind::unknown;  ///< of the name itself: a symbolic link is not followed
};

/// Gives what is in a directory, one name after the other, but for "." and "..", in the order of the file system, which is
/// none. After an error, which is the last value, and after the last name it ends. Names that come or go meanwhile may be given or
/// not, the others are given once. Holds 32 KiB and a descriptor however large the directory is, and asks for as many names at a
/// time as fit. Cancelled or out of time it gives that error before the next of those.
///
///     auto names = lv::list_directory("/var/spool/orders");
///     for (auto each = co_await names.next(); each && *each; each = co_await names.next()) use((*each)->name);
[[nodiscard]] generator<io_result<directory_entry>> list_directory(std::string path);

/// mkdir(2), with the permissions `mode` less the umask. Durable after sync_directory() of the one it is in.
task<io_result<void>> make_directory(std::string path, unsigned mode = 0777);
/// rmdir(2), of an empty one; else it fails with `other`, and code() is ENOTEMPTY.
task<io_result<void>> remove_directory(std::string path);
/// link(2): `made` is another name of `existing`.
task<io_result<void>> make_link(std::string existing, std::string made);
/// symlink(2): `made` leads to `target`, which is any text and is looked up from where `made` is.
task<io_result<void>> make_symlink(std::string target, std::string made);

}  // namespace levity
