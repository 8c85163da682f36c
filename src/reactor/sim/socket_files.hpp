#pragma once

// socket_files: where the paths of a simulated host's Unix sockets are. A path is a name in the host's file system: it outlives the
// process that made it, and must be removed before another socket can have it.

#include <cstdint>

namespace levity::inline v0::detail {

/// Results below 0 are a negative errno. On the thread of the simulation.
struct socket_files {
  /// Makes the file of a socket, whose permissions are `mode`, or where that is -1 what a umask leaves of 0777; returns its number,
  /// above 0, which no other file ever has. -EADDRINUSE: there is a file of that name.
  virtual std::int64_t make_socket(const char* path, int mode) = 0;
  /// The number of the socket's file at `path`, where the last name may be a link that is followed, or not; -ENOTSOCK for others.
  [[nodiscard]] virtual std::int64_t find_socket(const char* path, bool follow) const = 0;
  /// 0 when it is gone.
  virtual std::int64_t remove_socket(const char* path) = 0;

protected:
  ~socket_files() = default;
};

}  // namespace levity::detail
