#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "levity/base/error.hpp"
#include "levity/io/tcp.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0 {

namespace detail {
struct endpoint;
}  // namespace detail

/// The end of a pipe that bytes come out of. Move-only; closes in its destructor. A lending byte_source.
///
/// One task at a time reads. Reads honour cancellation and deadlines; one that is cancelled took nothing. io_failure::eof when
/// every writer has closed.
class pipe_reader {
public:
  pipe_reader() = default;
  pipe_reader(pipe_reader&& other) noexcept
      : pipe_(std::exchange(other.pipe_, nullptr)), buffer_(std::exchange(other.buffer_, nullptr)) {}
  pipe_reader& operator=(pipe_reader&& other) noexcept {
    std::swap(pipe_, other.pipe_);
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~pipe_reader() { close(); }

  /// Takes over a descriptor of a pipe, a terminal or a character device; it must not block (O_NONBLOCK), and that is a property
  /// of the open file description, which other processes may share: see standard_input. Inside a task.
  static io_result<pipe_reader> adopt(int fd) noexcept;

  class read_some_awaiter;
  class read_into_awaiter;

  /// As tcp_stream::read_some: a view of what has come, at most 16 KiB, valid until the next read.
  [[nodiscard("co_await the read")]] read_some_awaiter read_some() noexcept;
  [[nodiscard("co_await the read")]] read_into_awaiter read_some(std::span<std::byte> into) noexcept;

  /// Idempotent. No task may wait on it.
  void close() noexcept;
  /// Whether it has a descriptor: was adopted or made, and neither closed nor moved from.
  [[nodiscard]] bool is_open() const noexcept { return pipe_ != nullptr; }

  /// Not for users.
  [[nodiscard]] detail::endpoint* native_endpoint() const noexcept { return pipe_; }

private:
  void drop_buffer() noexcept;

  detail::endpoint* pipe_ = nullptr;
  std::byte* buffer_ = nullptr;
};

class pipe_reader::read_into_awaiter : detail::socket_attempt {
public:
  read_into_awaiter(detail::endpoint* pipe, std::span<std::byte> into) noexcept;

  using socket_attempt::await_ready;
  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<std::size_t> await_resume() const noexcept;

private:
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return true; }
  static const wait_reason reason_;

  std::span<std::byte> into_;
  std::size_t size_ = 0;
};

class pipe_reader::read_some_awaiter : detail::socket_attempt {
public:
  explicit read_some_awaiter(pipe_reader& reader) noexcept;

  using socket_attempt::await_ready;
  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<byte_view> await_resume() const noexcept;

private:
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return true; }
  void before_wait() noexcept override;
  static const wait_reason reason_;

  pipe_reader& reader_;
  std::size_t size_ = 0;
};

/// The end of a pipe that bytes go into. Move-only; closes in its destructor, and the reader then reads end of stream after what
/// was written. A gathering byte_sink.
///
/// One task at a time writes. Writes honour cancellation and deadlines, and may then have written a part. Without a reader:
/// io_failure::reset; no signal is raised.
class pipe_writer {
public:
  pipe_writer() = default;
  pipe_writer(pipe_writer&& other) noexcept : pipe_(std::exchange(other.pipe_, nullptr)) {}
  pipe_writer& operator=(pipe_writer&& other) noexcept {
    std::swap(pipe_, other.pipe_);
    return *this;
  }
  ~pipe_writer() { close(); }

  /// As pipe_reader::adopt.
  static io_result<pipe_writer> adopt(int fd) noexcept;

  class write_awaiter;

  /// Writes all of it. The bytes must live until it has returned.
  [[nodiscard("co_await the write")]] write_awaiter write_all(byte_view bytes) noexcept;
  [[nodiscard("co_await the write")]] write_awaiter write_all(std::string_view text) noexcept;
  /// Several pieces; `pieces` is consumed: its entries are advanced as bytes leave.
  [[nodiscard("co_await the write")]] write_awaiter write_all(std::span<iovec> pieces) noexcept;

  /// Idempotent. No task may wait on it.
  void close() noexcept;
  /// Whether it has a descriptor: was adopted or made, and neither closed nor moved from.
  [[nodiscard]] bool is_open() const noexcept { return pipe_ != nullptr; }

  /// Not for users.
  [[nodiscard]] detail::endpoint* native_endpoint() const noexcept { return pipe_; }

private:
  detail::endpoint* pipe_ = nullptr;
};

class pipe_writer::write_awaiter : detail::socket_attempt {
public:
  write_awaiter(detail::endpoint* pipe, iovec piece) noexcept;
  write_awaiter(detail::endpoint* pipe, std::span<iovec> pieces) noexcept;

  // Nothing to write needs no room: an attempt might wait for some.
  bool await_ready() const noexcept {
    if (socket_ == nullptr || single_.iov_len != 0) return false;
    for (const iovec& piece : pieces_) {
      if (piece.iov_len != 0) return false;
    }
    return true;
  }

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<void> await_resume() const noexcept;

private:
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return false; }
  static const wait_reason reason_;

  iovec single_{};
  std::span<iovec> pieces_;  // empty: single_
};

/// Both ends of a new pipe.
struct pipe_ends {
  pipe_reader reader;  ///< gets what is written to `writer`
  pipe_writer writer;  ///< closing it ends the stream
};

/// A pipe within this process, or for a child process to inherit an end of. Inside a task. Fails with no_descriptors, and in a
/// simulated runtime with unsupported.
[[nodiscard]] io_result<pipe_ends> make_pipe() noexcept;

}  // namespace levity
