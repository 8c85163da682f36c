#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "levity/base/address.hpp"
#include "levity/base/error.hpp"
#include "levity/io/byte_view.hpp"
#include "levity/io/detail/socket_attempt.hpp"
#include "levity/io/udp_batch.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0 {

/// How a udp_socket is bound.
struct udp_options {
  /// Several sockets may have the address if all of them say so: each receiver is given to one of them, by its address.
  bool reuse_port = false;
};

/// A socket for datagrams. Move-only; closes in its destructor.
///
/// One task may receive while another sends; two that wait to receive, or two that wait to send, at a time are a bug (asserted).
/// Tasks that send side by side use try_send_to(), which never waits. Every operation that waits honours cancellation and
/// deadlines and then fails with io_failure::cancelled or timed_out; a receive that failed so has taken nothing.
///
/// Datagrams are lost without a word on the way, and at the receiver when its buffer is full: see dropped(). What ICMP says to a
/// connected socket fails its next operation, be it a send or a receive: refused when nobody listens there. That operation moved
/// nothing, and the socket goes on.
///
/// In a simulated run datagrams go over simulated links (sim::link_options), and adopt() is unsupported: there are no descriptors.
class udp_socket {
public:
  udp_socket() = default;
  udp_socket(udp_socket&& other) noexcept
      : socket_(std::exchange(other.socket_, nullptr)), early_fd_(std::exchange(other.early_fd_, -1)) {}
  udp_socket& operator=(udp_socket&& other) noexcept {
    std::swap(socket_, other.socket_);
    std::swap(early_fd_, other.early_fd_);
    return *this;
  }
  ~udp_socket() { close(); }

  /// Opens a socket at "127.0.0.1:7000", "[::1]:7000" or ":7000" (port 0: any free one; see local_address). May be called
  /// before the runtime exists; its first operation then has it watched, and must be over before another task uses it. A malformed
  /// address fails with io_failure::invalid, a taken one with address_in_use.
  static io_result<udp_socket> bind(std::string_view at, udp_options options = {}) noexcept;
  static io_result<udp_socket> bind(const address& at, udp_options options = {}) noexcept;

  /// Takes over a descriptor of a datagram socket, also when it fails. One of another family than IP (a Unix socketpair) works, but
  /// its addresses read as empty.
  static io_result<udp_socket> adopt(int fd) noexcept;

  /// From here on `peer` is whom it sends to and the only one it receives from, and failures on the way are reported. Never waits;
  /// nothing is sent. May be called again for another peer. By text as bind(), and invalid as there.
  io_result<void> connect(const address& peer) noexcept;
  io_result<void> connect(std::string_view peer) noexcept;

  class send_awaiter;
  class send_segments_awaiter;
  class send_batch_awaiter;
  class receive_awaiter;
  class receive_batch_awaiter;

  /// Sends one datagram to the peer of a connected socket. At most 65,507 bytes (65,527 over IPv6), else too_large; none is a
  /// datagram too. Waits only while the socket's send buffer is full. The bytes must live until it has returned.
  [[nodiscard("co_await the send")]] send_awaiter send(byte_view bytes) noexcept;
  [[nodiscard("co_await the send")]] send_awaiter send(std::string_view text) noexcept;
  /// The same to anybody.
  [[nodiscard("co_await the send")]] send_awaiter send_to(byte_view bytes, const address& to) noexcept;
  [[nodiscard("co_await the send")]] send_awaiter send_to(std::string_view text, const address& to) noexcept;

  /// Sends one datagram now, or fails with would_block. Any number of tasks and threads at a time.
  io_result<void> try_send(byte_view bytes) noexcept;
  /// The same to anybody.
  io_result<void> try_send_to(byte_view bytes, const address& to) noexcept;

  /// Sends `bytes` as datagrams of `segment_bytes` (at least one), the last one of what remains: up to 64 of them a system call
  /// where the kernel cuts (UDP_SEGMENT), one by one where it will not. No bytes: no datagram. When it fails, a part may have gone.
  [[nodiscard("co_await the send")]] send_segments_awaiter send_segments(byte_view bytes, std::size_t segment_bytes) noexcept;
  /// The same to anybody.
  [[nodiscard("co_await the send")]] send_segments_awaiter send_segments_to(byte_view bytes, std::size_t segment_bytes,
                                                                             const address& to) noexcept;

  /// Sends what is left of the batch, in order. Done when batch.sent() == batch.size(); after a failure batch.sent() says how far
  /// it came, and sending it again goes on from there.
  [[nodiscard("co_await the send")]] send_batch_awaiter send(udp_send_batch& batch) noexcept;

  /// Waits for a datagram and takes it into the caller's bytes, which must live until it has returned. Does not ask who sent it.
  [[nodiscard("co_await the receive")]] receive_awaiter receive(std::span<std::byte> into) noexcept;
  /// The same, with the sender.
  [[nodiscard("co_await the receive")]] receive_awaiter receive_from(std::span<std::byte> into) noexcept;
  /// Waits for a datagram and takes all that are there, up to the batch's capacity; returns batch.size(), at least one.
  [[nodiscard("co_await the receive")]] receive_batch_awaiter receive(udp_receive_batch& batch) noexcept;

  /// Lets the kernel hand over several datagrams of one sender and size in one buffer (UDP_GRO): see udp_datagram::segments().
  /// Receive into 65,536 bytes then: what does not fit is lost. unsupported before Linux 5.0.
  io_result<void> set_coalescing(bool on) noexcept;

  /// Size of the kernel's send buffer in bytes of payload and bookkeeping; the kernel doubles what is asked, within its limits.
  io_result<void> set_send_buffer(int bytes) noexcept;
  /// The same for what has come and was not received.
  io_result<void> set_receive_buffer(int bytes) noexcept;
  /// What the kernel made of it, in its count.
  [[nodiscard]] io_result<int> send_buffer() const noexcept;
  /// The same for what has come and was not received.
  [[nodiscard]] io_result<int> receive_buffer() const noexcept;
  /// Allows broadcast addresses.
  io_result<void> set_broadcast(bool on) noexcept;

  /// How many datagrams came for this socket since it was opened and were dropped, because its receive buffer was full.
  [[nodiscard]] io_result<std::uint64_t> dropped() const noexcept;

  /// Where it is bound; the empty address when closed.
  [[nodiscard]] address local_address() const noexcept;
  /// Whom it is connected to; the empty address when closed or not connected.
  [[nodiscard]] address peer_address() const noexcept;

  /// Idempotent. No task may wait on it.
  void close() noexcept;
  /// Whether it has a descriptor: was bound or adopted, and neither closed nor moved from.
  [[nodiscard]] bool is_open() const noexcept { return socket_ != nullptr || early_fd_ >= 0; }

  /// Not for users. Null before its first operation inside a runtime.
  [[nodiscard]] detail::endpoint* native_endpoint() const noexcept { return socket_; }

private:
  [[nodiscard]] int fd() const noexcept;
  [[nodiscard]] io_result<detail::endpoint*> watched() noexcept;
  io_result<void> set_option(int level, int option, int value) noexcept;
  [[nodiscard]] io_result<int> option(int level, int option) const noexcept;

  detail::endpoint* socket_ = nullptr;
  int early_fd_ = -1;  // bound before any runtime; watched at the first operation
};

class udp_socket::send_awaiter : detail::socket_attempt {
public:
  send_awaiter(io_result<detail::endpoint*> socket, byte_view bytes, const address* to) noexcept;

  using socket_attempt::await_ready;
  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<void> await_resume() const noexcept;

private:
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return false; }
  static const wait_reason reason_;

  byte_view bytes_;
  std::optional<address> to_;
};

class udp_socket::send_segments_awaiter : detail::socket_attempt {
public:
  send_segments_awaiter(io_result<detail::endpoint*> socket, byte_view bytes, std::size_t segment_bytes,
                        const address* to) noexcept;

  using socket_attempt::await_ready;
  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<void> await_resume() const noexcept;

private:
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return false; }
  static const wait_reason reason_;

  byte_view left_;
  std::size_t segment_bytes_;
  std::optional<address> to_;
  bool kernel_cuts_ = true;
};

class udp_socket::send_batch_awaiter : detail::socket_attempt {
public:
  send_batch_awaiter(io_result<detail::endpoint*> socket, udp_send_batch& batch) noexcept;

  using socket_attempt::await_ready;
  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<void> await_resume() const noexcept;

private:
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return false; }
  static const wait_reason reason_;

  udp_send_batch& batch_;
};

class udp_socket::receive_awaiter : detail::socket_attempt {
public:
  receive_awaiter(io_result<detail::endpoint*> socket, std::span<std::byte> into, bool wants_sender) noexcept;

  using socket_attempt::await_ready;
  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<udp_datagram> await_resume() const noexcept;

private:
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return true; }
  static const wait_reason reason_;

  std::span<std::byte> into_;
  udp_datagram got_;
  bool wants_sender_;
};

class udp_socket::receive_batch_awaiter : detail::socket_attempt {
public:
  receive_batch_awaiter(io_result<detail::endpoint*> socket, udp_receive_batch& batch) noexcept;

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

  udp_receive_batch& batch_;
};

}  // namespace levity
