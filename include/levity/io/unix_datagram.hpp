#pragma once

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
#include "levity/io/unix_listener.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

struct unix_datagram_pair;

/// What one receive took.
struct unix_message {
  byte_view bytes;              ///< in the buffer it was received into
  unix_address from;            ///< the sender's name; empty if it has none
  std::size_t descriptors = 0;  ///< of the span that was given
  bool truncated = false;       ///< it was longer than the buffer, and what did not fit is gone
};

/// A socket for datagrams within this machine. Unlike UDP's they are neither lost nor put out of order: a sender waits while the
/// receiver's queue is full (net.unix.max_dgram_qlen). Move-only; closes in its destructor, and removes the path it made, if the
/// file there is still the one it made.
///
/// One task may receive while another sends; two of a kind at a time are a bug (asserted). Every operation that waits honours
/// cancellation and deadlines and then fails with io_failure::cancelled or timed_out; it has moved nothing. Batches: give a
/// connected descriptor to udp_socket::adopt(), whose addresses are then empty. In a simulated run there are no descriptors: see
/// unix_stream.
class unix_datagram {
public:
  unix_datagram() = default;
  unix_datagram(unix_datagram&& other) noexcept { swap(other); }
  unix_datagram& operator=(unix_datagram&& other) noexcept {
    swap(other);
    return *this;
  }
  ~unix_datagram() { close(); }

  /// A socket that receives at "/run/log.sock" or "@log". Inside a task. A malformed name fails with invalid, a taken one with
  /// address_in_use; the message says what helps.
  static io_result<unix_datagram> bind(std::string_view at, const unix_bind_options& options = {}) noexcept;
  static io_result<unix_datagram> bind(const unix_address& at, const unix_bind_options& options = {}) noexcept;
  /// One without a name: it can send, and nobody can answer.
  static io_result<unix_datagram> unnamed() noexcept;
  /// Two, connected to each other.
  static io_result<unix_datagram_pair> pair() noexcept;
  /// Takes over a descriptor of a Unix datagram socket, also when it fails. It is made non-blocking, with every other descriptor of
  /// the same open file.
  static io_result<unix_datagram> adopt(int fd) noexcept;

  /// From here on `peer` is whom it sends to and the only one it receives from. not_found or refused when it is not there. Never
  /// waits. May be called again for another peer: then Linux drops what has come and was not received, and tells the one before by
  /// reset if that was connected to this socket.
  io_result<void> connect(const unix_address& peer) noexcept;

  class receive_awaiter;
  class send_awaiter;

  /// Sends one datagram, with copies of `descriptors` (at most 253), to the peer of a connected socket. Waits while its own buffer
  /// or the receiver's queue is full. Longer than the send buffer: too_large. The receiver has closed: refused, and what has come
  /// and was not received is gone. Everything must live until it has returned.
  [[nodiscard("co_await the send")]] send_awaiter send(byte_view bytes, std::span<const int> descriptors = {}) noexcept;
  [[nodiscard("co_await the send")]] send_awaiter send(std::string_view text, std::span<const int> descriptors = {}) noexcept;
  /// The same to anybody. While the receiver's queue is full it tries again, at first after 1 ms, later every 32 ms: Linux tells
  /// only connected senders when there is room.
  [[nodiscard]] task<io_result<void>> send_to(byte_view bytes, unix_address to, std::span<const int> descriptors = {});
  [[nodiscard]] task<io_result<void>> send_to(std::string_view text, unix_address to, std::span<const int> descriptors = {});

  /// Waits for a datagram and takes it into the caller's bytes. Descriptors that came with it go into the first of `descriptors`,
  /// whose members are closed before; without any room they are closed, and otherwise see unix_stream::read_some().
  [[nodiscard("co_await the receive")]] receive_awaiter receive(std::span<std::byte> into,
                                                                std::span<descriptor> descriptors = {}) noexcept;

  /// Idempotent. No task may wait on it.
  void close() noexcept;
  /// Whether it has a descriptor: was made, and neither closed nor moved from.
  [[nodiscard]] bool is_open() const noexcept { return socket_ != nullptr; }
  /// Its own name; empty when it has none or is closed.
  [[nodiscard]] unix_address local_address() const noexcept;
  /// The name of the peer of a connected one; empty otherwise.
  [[nodiscard]] unix_address peer_address() const noexcept;
  /// Bytes that wait for receivers (SO_SNDBUF), which also bounds a datagram; the kernel doubles what is asked, within its limits.
  io_result<void> set_send_buffer(int bytes) noexcept;
  /// The descriptor, which stays this socket's; -1 when it is closed.
  [[nodiscard]] int native_handle() const noexcept;
  /// Not for users.
  [[nodiscard]] detail::endpoint* native_endpoint() const noexcept { return socket_; }

private:
  static io_result<unix_datagram> watch(int fd) noexcept;
  void swap(unix_datagram& other) noexcept;

  detail::endpoint* socket_ = nullptr;
  std::uint64_t file_device_ = 0;  // of the file it made
  std::uint64_t file_inode_ = 0;   // 0: none
};

/// Both ends of a pair.
struct unix_datagram_pair {
  unix_datagram first;   ///< receives what the second sends
  unix_datagram second;  ///< and the other way round
};

class unix_datagram::send_awaiter : detail::socket_attempt {
public:
  send_awaiter(detail::endpoint* socket, byte_view bytes, std::span<const int> descriptors) noexcept;

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
  std::span<const int> descriptors_;
};

class unix_datagram::receive_awaiter : detail::socket_attempt {
public:
  receive_awaiter(detail::endpoint* socket, std::span<std::byte> into, std::span<descriptor> descriptors) noexcept;

  using socket_attempt::await_ready;
  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return !try_now(frame, detail::running_task());
  }
  io_result<unix_message> await_resume() const noexcept;

private:
  outcome attempt() noexcept override;
  bool reads() const noexcept override { return true; }
  static const wait_reason reason_;

  std::span<std::byte> into_;
  std::span<descriptor> descriptors_;
  unix_message got_;
};

}  // namespace levity
