#pragma once

// child: starting a child process, waiting for it, and leaving none behind as a zombie. Every call here may block but try_reap.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "levity/base/error.hpp"

namespace levity::inline v0::detail {

struct spawn_request {
  static constexpr int inherit = -1;
  static constexpr int null = -2;

  std::string program;
  std::vector<std::string> arguments;
  std::optional<std::vector<std::string>> environment;
  std::string directory;
  int streams[3] = {inherit, inherit, inherit};  // or a descriptor of ours
  bool new_group = false;
};

struct spawned {
  pid_t pid = -1;
  int pidfd = -1;  // close-on-exec
};

/// Starts it: signals unblocked and as they are by default, no descriptor but its three streams. Blocks until the program is
/// loaded; not_found and permission mean the program or the directory.
io_result<spawned> spawn_child(const spawn_request& request);

/// How a child ended: as waitid() tells it.
struct child_end {
  int code = 0;    // CLD_EXITED, CLD_KILLED, CLD_DUMPED
  int status = 0;  // exit code or signal
};

/// The end of a child that has ended; would_block while it lives. Never blocks.
io_result<child_end> try_reap(int pidfd) noexcept;
/// Waits for a child and forgets it.
void reap(pid_t pid) noexcept;
/// Reaps it without waiting, if not now then when a later child is started or left.
void leave_child(pid_t pid);

io_result<void> signal_child(int pidfd, int signal) noexcept;

}  // namespace levity::detail
