#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "levity/base/address.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/io/byte_view.hpp"
#include "levity/io/detail/socket_attempt.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// One TCP connection. Move-only; closes in its destructor.
///
/// One task may read while another writes; two readers or two writers at a time are a bug (asserted). Every operation
/// that waits honours cancellation and deadlines and then fails with io_failure::cancelled or timed_out; bytes that were
/// read or written by then are not lost (a read that is cancelled took nothing; a cancelled write_all may have sent a part).
/// Outcomes: eof, reset, cancelled and timed_out are four different failures.
class tcp_stream {
public:
  tcp_stream() = default;
  tcp_stream(tcp_stream&& other) noexcept;
  tcp_stream& operator=(tcp_stream&& other) noexcept;
  ~tcp_stream();

  /// Connects; refused, unreachable and timed_out are the usual failures. Inside a task.
  static task<io_result<tcp_stream>> connect(address to);
  /// The same by text, "127.0.0.1:7000" or "[::1]:7000", which is read before this returns. What address::parse() refuses fails
  /// with invalid, and the message quotes it. Names are looked up by connect() of levity/resolve/connect.hpp.
  static task<io_result<tcp_stream>> connect(std::string_view to);

  class read_some_awaiter;
  class read_into_awaiter;
  class write_awaiter;

  /// Waits until there is something to read and returns a view of it, at most 16 KiB, never empty. The view lies in a pooled
  /// buffer and is valid until the next read_some() on this stream, its move or its end. While a task waits here
  /// the connection holds no buffer. End of stream is io_failure::eof. Inline when bytes are there: one system call.
  [[nodiscard("co_await the read")]] read_some_awaiter read_some() noexcept;

  /// The same into the caller's bytes (at least one), which must live until the read has returned.
  [[nodiscard("co_await the read")]] read_into_awaiter read_some(std::span<std::byte> into) noexcept;

  /// Reads what is there; would_block when nothing is. For whoever keeps a connection that should be silent and is about to use it:
  /// a byte, the end or a failure says that it is not to be used. One system call. Inside a task; nobody reads meanwhile.
  [[nodiscard]] io_result<std::size_t> try_read_some(std::span<std::byte> into) noexcept;
  /// Gives back the buffer in which the view of the last read_some() lies: a connection that rests needs none.
  void drop_buffer() noexcept;

  /// Writes all of it. The bytes must live until the write has returned. Inline while the socket takes them.
  [[nodiscard("co_await the write")]] write_awaiter write_all(byte_view bytes) noexcept;
  [[nodiscard("co_await the write")]] write_awaiter write_all(std::string_view text) noexcept;
  /// The same for several pieces in one system call. `pieces` is consumed: its entries are advanced as bytes leave.
  [[nodiscard("co_await the write")]] write_awaiter write_all(std::span<iovec> pieces) noexcept;

  /// Ends our side: the peer reads end of stream after all that was written. Reading goes on.
  io_result<void> shutdown_write() noexcept;

  /// Closes now, in order; what was written still arrives. Idempotent. No task may wait on the stream.
  void close() noexcept;
  /// Closes now and resets the connection: the peer sees io_failure::reset.
  void abort() noexcept;

  /// Whether it is connected as far as this side goes: neither closed nor moved from. What the peer did shows in reads and writes.
  [[nodiscard]] bool is_open() const noexcept { return socket_ != nullptr; }
  /// Our end; the empty address when closed.
  [[nodiscard]] address local_address() const noexcept;
  /// The other end; the empty address when closed.
  [[nodiscard]] address peer_address() const noexcept;
  /// TCP_NODELAY is on by default.
  io_result<void> set_no_delay(bool on) noexcept;
  /// SO_KEEPALIVE: the kernel probes a silent peer, and reads fail with timed_out when it is gone. Off by default.
  io_result<void> set_keep_alive(bool on) noexcept;
  /// For how long the peer's machine may be silent before the connection is given up, so that reads and writes fail with timed_out:
  /// about what was sent and it has not acknowledged or not taken (TCP_USER_TIMEOUT, in milliseconds), and while nothing is under
  /// way, about probes, each third of `at_most` and in whole seconds (SO_KEEPALIVE). A peer that is slow to answer is not silent:
  /// its kernel acknowledges for it. Nothing or less: off, as by default.
  io_result<void> set_silence_max(duration at_most) noexcept;
  /// Bytes that the kernel holds for the peer (SO_SNDBUF); it doubles what is asked, within its limits, and no longer tunes it.
  io_result<void> set_send_buffer(int bytes) noexcept;
  /// The same for what has come and was not read (SO_RCVBUF).
  io_result<void> set_receive_buffer(int bytes) noexcept;

  /// Not for users.
  [[nodiscard]] detail::endpoint* native_endpoint() const noexcept { return socket_; }
  /// Takes an endpoint over. Not for users.
  explicit tcp_stream(detail::endpoint& socket) noexcept : socket_(&socket) {}

private:
  static task<io_result<tcp_stream>> connect_to(io_result<address> read);

  detail::endpoint* socket_ = nullptr;
  std::byte* buffer_ = nullptr;
};

class tcp_stream::read_some_awaiter : detail::socket_attempt {
public:
  explicit read_some_awaiter(tcp_stream& stream) noexcept;

  using socket_attempt::await_ready;
  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<byte_view> await_resume() const noexcept;

private:
  friend class tcp_stream;
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return true; }
  void before_wait() noexcept override;
  static const wait_reason reason_;

  tcp_stream& stream_;
  std::size_t size_ = 0;
};

class tcp_stream::read_into_awaiter : detail::socket_attempt {
public:
  read_into_awaiter(detail::endpoint* socket, std::span<std::byte> into) noexcept;

  using socket_attempt::await_ready;
  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<std::size_t> await_resume() const noexcept;

private:
  friend class tcp_stream;
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return true; }
  static const wait_reason reason_;

  std::span<std::byte> into_;
  std::size_t size_ = 0;
};

class tcp_stream::write_awaiter : detail::socket_attempt {
public:
  write_awaiter(detail::endpoint* socket, iovec piece) noexcept;
  write_awaiter(detail::endpoint* socket, std::span<iovec> pieces) noexcept;

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
  friend class tcp_stream;
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return false; }
  static const wait_reason reason_;

  iovec single_{};
  std::span<iovec> pieces_;  // empty: single_
};

}  // namespace levity
