#pragma once

// process: child processes. Started on a thread that may block, since loading a program does; awaited by a pidfd, so that no
// signal and no process number is involved; never left as a zombie.
//
//   started  -> ended     the child; wait() or the destructor takes note and reaps it
//   started  -> left      detach(): it goes on; reaped when a later child is started or left, or with us
//
// What the child gets: its three streams and no other descriptor; no signal blocked or ignored; our environment and directory
// unless told otherwise. docs/design/0010 says what a program may do that forks by itself.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/error.hpp"
#include "levity/io/file.hpp"
#include "levity/io/pipe.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// Where one of a child's standard streams leads.
class child_stream {
public:
  static child_stream inherit() noexcept { return {kind::inherit, -1}; }  ///< where ours leads
  static child_stream null() noexcept { return {kind::null, -1}; }        ///< /dev/null
  static child_stream pipe() noexcept { return {kind::pipe, -1}; }        ///< to us: process::input, output, errors
  /// An open file; it must stay open until spawn() has returned.
  static child_stream to(const file& open) noexcept { return {kind::descriptor, open.native_handle()}; }

private:
  friend class process;
  enum class kind : std::uint8_t { inherit, null, pipe, descriptor };
  child_stream(kind what, int fd) noexcept : what_(what), fd_(fd) {}

  kind what_;
  int fd_;
};

/// What to run.
struct command {
  std::string program;                                        ///< a path, or a name that is looked for in PATH
  std::vector<std::string> arguments{};                       ///< without the program's name
  std::optional<std::vector<std::string>> environment{};      ///< "NAME=value"; none: ours
  std::string directory{};                                    ///< empty: ours; a relative program is looked for from there
  child_stream input = child_stream::inherit();   ///< its standard input
  child_stream output = child_stream::inherit();  ///< its standard output
  child_stream errors = child_stream::inherit();  ///< its standard error
  bool new_group = false;  ///< a process group of its own: signals from the terminal do not reach it
};

/// How a process ended: with a code, or by a signal.
struct process_exit {
  int code = 0;    ///< what it gave to exit(), 0 when a signal ended it
  int signal = 0;  ///< 0: it was none

  /// Whether it ended by itself, with code 0.
  [[nodiscard]] bool success() const noexcept { return code == 0 && signal == 0; }
  friend bool operator==(const process_exit&, const process_exit&) = default;
};

/// A child process. Move-only. Operations by one task at a time; not thread-safe, except kill() beside wait().
///
/// The destructor of one that was neither awaited nor detached kills it (SIGKILL) and reaps it: a task that is cancelled while it
/// waits for its child takes the child with it. A program must not wait for children by itself (waitpid(-1), SIGCHLD
/// ignored) while it uses this; wait() then fails with the kernel's ECHILD.
class process {
public:
  process() = default;
  process(process&& other) noexcept;
  process& operator=(process&& other) noexcept;
  ~process();

  /// Starts it. Fails with not_found or permission for the program or directory, invalid, no_memory, no_descriptors; in a simulated
  /// runtime with unsupported. A task that is cancelled before starts none; meanwhile, the child is started and returned.
  static task<io_result<process>> spawn(command what);

  /// Waits for its end. Cancelled or out of time it can be called again; once it has ended every call returns the same.
  [[nodiscard]] task<io_result<process_exit>> wait();

  /// Sends it a signal; `closed` when it is known to have ended. Also while another task waits: the signal goes to this child or,
  /// once it has been awaited, to none.
  io_result<void> kill(int signal) noexcept;

  /// Lets it go on by itself. The pipes to it stay open.
  void detach();

  /// Its number, for messages; -1 before spawn() and after a move. wait() and kill() do not go by it.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  pipe_writer input;   ///< open when command::input is a pipe; close it to end the child's input
  pipe_reader output;  ///< open when command::output is a pipe
  pipe_reader errors;  ///< open when command::errors is a pipe

private:
  void let_go() noexcept;

  pid_t pid_ = -1;
  detail::endpoint* pidfd_ = nullptr;
  atomic<bool> ended_ = false;  // set by who waits, read by who kills: nothing else is learnt from it
  process_exit exit_;           // once it has ended; of who waits
};

}  // namespace levity
