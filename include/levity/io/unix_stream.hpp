#pragma once

// unix_stream: a connection within this machine, by path or abstract name, which also carries descriptors and says who the peer is.
//
// How it differs from TCP: a connect succeeds or fails at once, but for a full backlog, which is waited out. A peer that closes
// while something lies unread at its side resets; one that closes in order, or dies with nothing unread, ends. To write to
// either is a reset, and what the peer had written before can still be read.

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "levity/base/error.hpp"
#include "levity/base/unix_address.hpp"
#include "levity/io/byte_view.hpp"
#include "levity/io/descriptor.hpp"
#include "levity/io/detail/socket_attempt.hpp"
#include "levity/task/detail/promise.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

struct unix_stream_pair;

/// Who is at the other end, as the kernel says: the process that connected, listened or made the pair, at that time.
struct unix_credentials {
  std::int32_t pid = 0;   ///< in this process's namespace, 0 if it is not in it; may belong to another process by now
  std::uint32_t uid = 0;  ///< its effective user
  std::uint32_t gid = 0;  ///< its effective group
};

/// What a read that takes descriptors, too, has got.
struct unix_received {
  std::size_t size = 0;         ///< bytes
  std::size_t descriptors = 0;  ///< of the span that was given
};

/// One connection. Move-only; closes in its destructor. A lending byte_source, a gathering byte_sink, a byte_stream.
///
/// One task may read while another writes; two readers or two writers at a time are a bug (asserted). Every operation that waits
/// honours cancellation and deadlines and then fails with io_failure::cancelled or timed_out: a read has taken nothing, a
/// write may have sent a part. eof, reset, cancelled and timed_out are four different failures.
///
/// In a simulated run both ends are on one host, paths are names in its file system, there are no descriptors (native_handle() is
/// -1, adopt() and a write that sends some are unsupported), and the peer is process 1 of user 0.
class unix_stream {
public:
  unix_stream() = default;
  unix_stream(unix_stream&& other) noexcept
      : socket_(std::exchange(other.socket_, nullptr)), buffer_(std::exchange(other.buffer_, nullptr)) {}
  unix_stream& operator=(unix_stream&& other) noexcept {
    std::swap(socket_, other.socket_);
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~unix_stream() { close(); }

  /// Connects. not_found and refused are the usual failures: there is no such path, or nobody listens there any more. While the
  /// backlog is full it tries again, at first after 1 ms, later every 32 ms: Linux tells nobody when there is room. Inside a task.
  static task<io_result<unix_stream>> connect(unix_address to);
  /// The same by text: "/run/orders.sock" or "@orders". What unix_address::parse() refuses fails with invalid.
  static task<io_result<unix_stream>> connect(std::string_view to);

  /// Two streams, connected to each other. Inside a task.
  static io_result<unix_stream_pair> pair() noexcept;

  /// Takes over a descriptor of a connected Unix stream socket, also when it fails: one that was received or inherited. It is made
  /// non-blocking, and so is every other descriptor of the same open file. Inside a task.
  static io_result<unix_stream> adopt(int fd) noexcept;

  class read_some_awaiter;
  class read_into_awaiter;
  class receive_awaiter;
  class write_awaiter;

  /// As tcp_stream::read_some: a view of what has come, at most 16 KiB, never empty, valid until the next read. Descriptors that
  /// came with it are closed.
  [[nodiscard("co_await the read")]] read_some_awaiter read_some() noexcept;
  [[nodiscard("co_await the read")]] read_into_awaiter read_some(std::span<std::byte> into) noexcept;

  /// Reads bytes, at least one, and the descriptors that were sent with them, close-on-exec, into the first of `descriptors`, whose
  /// members are closed before. A read ends behind the bytes of one write that bore descriptors, so what they belong to is
  /// said by the bytes. When more come than there is room for, at most 253, all that came are closed and it fails with too_large;
  /// with no_descriptors when this process may open no more. The bytes are lost then, so give the connection up.
  [[nodiscard("co_await the read")]] receive_awaiter read_some(std::span<std::byte> into,
                                                               std::span<descriptor> descriptors) noexcept;

  /// Writes all of it. The bytes must live until the write has returned. Inline while the socket takes them.
  [[nodiscard("co_await the write")]] write_awaiter write_all(byte_view bytes) noexcept;
  [[nodiscard("co_await the write")]] write_awaiter write_all(std::string_view text) noexcept;
  /// The same for several pieces in one system call. `pieces` is consumed: its entries are advanced as bytes leave.
  [[nodiscard("co_await the write")]] write_awaiter write_all(std::span<iovec> pieces) noexcept;

  /// Writes all of it and sends copies of `descriptors` along with the first byte, of which there must be one; the caller keeps and
  /// may close its own. Both must live until it has returned. More than 253: too_large. A limit of descriptors that are sent and
  /// not received (ulimit -n, all processes of the user): no_descriptors.
  [[nodiscard("co_await the write")]] write_awaiter write_all(byte_view bytes, std::span<const int> descriptors) noexcept;
  [[nodiscard("co_await the write")]] write_awaiter write_all(std::string_view text, std::span<const int> descriptors) noexcept;

  /// Ends our side: the peer reads end of stream after all that was written. Reading goes on.
  io_result<void> shutdown_write() noexcept;
  /// Closes now; what was written still arrives. Idempotent. No task may wait on the stream. What came and was not read makes
  /// this a reset for the peer: close_gracefully() is the way to end a conversation.
  void close() noexcept;

  /// Whether it is connected as far as this side goes: neither closed nor moved from. What the peer did shows in reads and writes.
  [[nodiscard]] bool is_open() const noexcept { return socket_ != nullptr; }
  /// Asks the kernel who the peer is (SO_PEERCRED): nothing that a peer says of itself. Fails with closed.
  [[nodiscard]] io_result<unix_credentials> peer_credentials() const noexcept;
  /// The name of this end; empty for the side that connected, unless it was bound elsewhere.
  [[nodiscard]] unix_address local_address() const noexcept;
  /// The name of the other end: for a client what it connected to, for a server usually none.
  [[nodiscard]] unix_address peer_address() const noexcept;
  /// Bytes that the kernel holds for the peer (SO_SNDBUF); it doubles what is asked, within its limits.
  io_result<void> set_send_buffer(int bytes) noexcept;
  /// SO_RCVBUF: without effect on a Unix stream, whose sender's buffer is the only bound. For code that sets both.
  io_result<void> set_receive_buffer(int bytes) noexcept;

  /// The descriptor, which stays this stream's; -1 when it is closed.
  [[nodiscard]] int native_handle() const noexcept;
  /// Not for users.
  [[nodiscard]] detail::endpoint* native_endpoint() const noexcept { return socket_; }
  /// Takes an endpoint over. Not for users.
  explicit unix_stream(detail::endpoint& socket) noexcept : socket_(&socket) {}

private:
  void drop_buffer() noexcept;

  detail::endpoint* socket_ = nullptr;
  std::byte* buffer_ = nullptr;
};

/// Both ends of a new connection.
struct unix_stream_pair {
  unix_stream first;   ///< reads what the second writes
  unix_stream second;  ///< and the other way round
};

class unix_stream::read_some_awaiter : detail::socket_attempt {
public:
  explicit read_some_awaiter(unix_stream& stream) noexcept;

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

  unix_stream& stream_;
  std::size_t size_ = 0;
};

class unix_stream::read_into_awaiter : detail::socket_attempt {
public:
  read_into_awaiter(detail::endpoint* socket, std::span<std::byte> into) noexcept;

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

class unix_stream::receive_awaiter : detail::socket_attempt {
public:
  receive_awaiter(detail::endpoint* socket, std::span<std::byte> into, std::span<descriptor> descriptors) noexcept;

  using socket_attempt::await_ready;
  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<unix_received> await_resume() const noexcept;

private:
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return true; }
  static const wait_reason reason_;

  std::span<std::byte> into_;
  std::span<descriptor> descriptors_;
  unix_received got_;
};

class unix_stream::write_awaiter : detail::socket_attempt {
public:
  write_awaiter(detail::endpoint* socket, iovec piece, std::span<const int> descriptors) noexcept;
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
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return false; }
  static const wait_reason reason_;

  iovec single_{};
  std::span<iovec> pieces_;  // empty: single_
  std::span<const int> descriptors_;
};

}  // namespace levity
