#pragma once

// simulated_unix: who carries a host's Unix sockets where they are not the kernel's. Functions are as those of
// platform/unix_socket.hpp, on endpoints instead of descriptors; a would_block of an endpoint is followed by an event, as
// reactor.hpp has it. Descriptors cannot be passed: those of a simulated host are nobody's.

#include <sys/uio.h>

#include <cstddef>
#include <span>

#include "levity/base/error.hpp"
#include "levity/base/unix_address.hpp"
#include "platform/unix_socket.hpp"
#include "reactor/endpoint.hpp"

namespace levity::inline v0::detail {

/// On the thread of the simulation.
struct simulated_unix {
  struct ends {
    endpoint* first;
    endpoint* second;
  };

  // -- streams -------------------------------------------------------------------------------------------------------
  virtual io_result<endpoint*> listen(reactor& home, const unix_bind_request& request) noexcept = 0;
  /// The name is gone, new connections are refused; those that wait are still accepted.
  virtual void stop(endpoint& listener) noexcept = 0;
  /// closed after stop(), when nothing waits any more.
  virtual io_result<endpoint*> try_accept(endpoint& listener, reactor& home) noexcept = 0;
  /// would_block: the backlog there is full, and no event will say when it is not.
  virtual io_result<endpoint*> connect_stream(reactor& home, const unix_address& to) noexcept = 0;
  virtual io_result<ends> stream_pair(reactor& home) noexcept = 0;
  virtual io_result<std::size_t> write(endpoint& stream, std::span<const iovec> pieces) noexcept = 0;
  /// A size of 0 is the end.
  virtual io_result<unix_head> read(endpoint& stream, std::span<std::byte> into) noexcept = 0;
  virtual io_result<void> shutdown_write(endpoint& stream) noexcept = 0;

  // -- datagrams -----------------------------------------------------------------------------------------------------
  virtual io_result<endpoint*> unnamed_datagram(reactor& home) noexcept = 0;
  virtual io_result<ends> datagram_pair(reactor& home) noexcept = 0;
  virtual io_result<void> bind(endpoint& datagram, const unix_bind_request& request) noexcept = 0;
  virtual io_result<void> connect(endpoint& datagram, const unix_address& to) noexcept = 0;
  /// `to` null: to the peer. Else no event follows a would_block.
  virtual io_result<void> send(endpoint& datagram, std::span<const std::byte> bytes, const unix_address* to) noexcept = 0;
  virtual io_result<unix_head> receive(endpoint& datagram, std::span<std::byte> into) noexcept = 0;

  // -- any -----------------------------------------------------------------------------------------------------------
  [[nodiscard]] virtual unix_address local_name(const endpoint& socket) const noexcept = 0;
  [[nodiscard]] virtual unix_address peer_name(const endpoint& socket) const noexcept = 0;
  /// SO_SNDBUF.
  virtual void set_send_buffer(endpoint& socket, int bytes) noexcept = 0;
  /// The name goes with it.
  virtual void close(endpoint& socket) noexcept = 0;

protected:
  ~simulated_unix() = default;
};

}  // namespace levity::detail
