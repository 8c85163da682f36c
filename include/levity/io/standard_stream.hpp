#pragma once

// standard_input, standard_output: streams that this process was given by another, which goes on using them.
//
// Why not simply O_NONBLOCK: that flag belongs to the open file description, which the shell, the siblings in a pipeline and the
// next program on the terminal share. Set here, their reads fail with EAGAIN, also after we are gone. So none is ever set:
//
//   pipe, terminal, device   opened once more through /proc/self/fd: a description of our own, which may be non-blocking
//   socket                   attempts that say MSG_DONTWAIT
//   file                     on a thread for blocking calls: it always has an answer
//   what cannot be reopened  the same thread: a pipe of another user, a sandbox without /proc

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "levity/base/error.hpp"
#include "levity/io/pipe.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// What this process reads from its parent. Move-only; a byte_source. One task at a time reads.
///
/// Reads honour cancellation and deadlines where the stream could be reopened (see above; is_pollable() says so). Where not, a
/// cancelled read waits for the system call to end, which for a file is soon.
class standard_input {
public:
  standard_input() = default;
  standard_input(standard_input&& other) noexcept
      : polled_(std::move(other.polled_)), blocking_fd_(std::exchange(other.blocking_fd_, -1)) {}
  standard_input& operator=(standard_input&& other) noexcept {
    std::swap(polled_, other.polled_);
    std::swap(blocking_fd_, other.blocking_fd_);
    return *this;
  }
  ~standard_input() { close(); }

  /// Inside a task. `fd` stays open and as it is, and another may be given. `closed` when there is none.
  static io_result<standard_input> open(int fd = 0) noexcept;

  /// Waits for at least one byte and takes what is there, up to `into`, which must live until it has returned. io_failure::eof at
  /// the end.
  [[nodiscard]] task<io_result<std::size_t>> read_some(std::span<std::byte> into);

  /// Closes ours; `fd` stays open.
  void close() noexcept;
  /// Whether waits honour cancellation at once: the stream could be reopened for polling.
  [[nodiscard]] bool is_pollable() const noexcept { return polled_.is_open(); }

private:
  pipe_reader polled_;
  int blocking_fd_ = -1;
};

/// What this process writes for its parent. Move-only; a byte_sink. One task at a time writes. As standard_input.
class standard_output {
public:
  standard_output() = default;
  standard_output(standard_output&& other) noexcept
      : polled_(std::move(other.polled_)), blocking_fd_(std::exchange(other.blocking_fd_, -1)) {}
  standard_output& operator=(standard_output&& other) noexcept {
    std::swap(polled_, other.polled_);
    std::swap(blocking_fd_, other.blocking_fd_);
    return *this;
  }
  ~standard_output() { close(); }

  /// Inside a task. Standard error is open(2).
  static io_result<standard_output> open(int fd = 1) noexcept;

  /// Writes all of it. The bytes must live until it has returned. A cancelled write may have written a part.
  [[nodiscard]] task<io_result<void>> write_all(byte_view bytes);
  [[nodiscard]] task<io_result<void>> write_all(std::string_view text);

  /// Closes ours; `fd` stays open.
  void close() noexcept;
  /// Whether waits honour cancellation at once: the stream could be reopened for polling.
  [[nodiscard]] bool is_pollable() const noexcept { return polled_.is_open(); }

private:
  pipe_writer polled_;
  int blocking_fd_ = -1;
};

}  // namespace levity
