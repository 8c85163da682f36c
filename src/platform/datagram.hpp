#pragma once

// Datagram sockets: one system call a function, none of which blocks. A result of would_block: not now.

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "levity/base/address.hpp"
#include "levity/base/error.hpp"

namespace levity::inline v0::detail {

/// A non-blocking UDP socket bound to `at`, close-on-exec.
io_result<int> open_datagram_socket(const address& at, bool reuse_port) noexcept;

/// From here on the kernel sends to `peer` by default, takes nothing from others, and reports what ICMP says about it.
io_result<void> connect_datagram_socket(int fd, const address& peer) noexcept;

/// Whether it carries datagrams; closed if it is no descriptor, invalid if it is something else.
io_result<void> check_datagram_socket(int fd) noexcept;

/// Sends one datagram; `to` null: to the peer. With `segment_bytes` the kernel cuts it into datagrams of so many bytes, the last
/// one of what remains; see max_segmented_bytes().
io_result<void> send_datagram(int fd, std::span<const std::byte> bytes, const address* to, std::size_t segment_bytes) noexcept;

/// How many of `left` bytes one system call may send as datagrams of `segment_bytes`; 0: this kernel cannot cut.
std::size_t max_segmented_bytes(std::size_t left, std::size_t segment_bytes) noexcept;
/// Whether a refused segmented send may be tried piece by piece: the socket, its route or its device cannot cut.
bool refuses_segments(io_error error) noexcept;

struct datagram_head {
  std::size_t size = 0;           // bytes that were stored
  std::size_t segment_bytes = 0;  // several datagrams in one: all but the last are so long; 0: it is one
  address from;                   // the empty address if it was not asked for or is none of IP
  bool truncated = false;
};

/// Receives one datagram, or several at once where set_coalescing() is on.
io_result<datagram_head> receive_datagram(int fd, std::span<std::byte> into, bool wants_sender) noexcept;

/// Whether several datagrams of one sender may be received at once.
io_result<void> set_coalescing(int fd, bool on) noexcept;

/// Datagrams that came and found no room in the socket's receive buffer.
io_result<std::uint64_t> dropped_datagrams(int fd) noexcept;

/// What the kernel reads and writes for a batch of datagrams: headers, pieces, addresses, control messages. Sized once.
class datagram_rows {
public:
  explicit datagram_rows(std::size_t capacity);  // throws std::bad_alloc
  ~datagram_rows();
  datagram_rows(const datagram_rows&) = delete;
  datagram_rows& operator=(const datagram_rows&) = delete;

  /// Row `at` is to send `bytes`; `to` null: to the peer.
  void set_outgoing(std::size_t at, std::span<const std::byte> bytes, const address* to) noexcept;
  /// Row `at` is to receive into `into`.
  void set_incoming(std::size_t at, std::span<std::byte> into) noexcept;

  /// Sends rows [first, end) in order and returns how many went, at least one.
  io_result<std::size_t> send(int fd, std::size_t first, std::size_t end) noexcept;
  /// Receives into rows [0, end) what is there, and returns how many came, at least one.
  io_result<std::size_t> receive(int fd, std::size_t end) noexcept;

  /// What came into row `at`.
  [[nodiscard]] datagram_head head(std::size_t at) const noexcept;

  // For who carries rows instead of the kernel.
  /// The bytes of row `at`, to be sent or to be filled.
  [[nodiscard]] std::span<std::byte> bytes(std::size_t at) const noexcept;
  /// To whom row `at` is to go; nothing: to the peer.
  [[nodiscard]] std::optional<address> receiver(std::size_t at) const noexcept;
  /// This has come into row `at`, which was set by set_incoming().
  void set_head(std::size_t at, const datagram_head& came) noexcept;

  /// The kernel takes no more in one call.
  static constexpr std::size_t call_max = 1024;

private:
  struct row;
  std::unique_ptr<mmsghdr[]> headers_;
  std::unique_ptr<row[]> rows_;
};

}  // namespace levity::detail
