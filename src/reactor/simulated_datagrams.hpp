#pragma once

// simulated_datagrams: who carries a host's datagrams (UDP) where they do not come from the kernel. Functions are as those of
// platform/datagram.hpp, on an endpoint instead of a descriptor; a would_block is followed by an event, as reactor.hpp has it.

#include <cstddef>
#include <cstdint>
#include <span>

#include "levity/base/address.hpp"
#include "levity/base/error.hpp"
#include "platform/datagram.hpp"
#include "reactor/endpoint.hpp"

namespace levity::inline v0::detail {

/// On the thread of the simulation.
struct simulated_datagrams {
  virtual io_result<endpoint*> bind(reactor& home, const address& at, bool reuse_port) noexcept = 0;
  virtual io_result<void> connect(endpoint& socket, const address& peer) noexcept = 0;
  /// `to` null: to the peer.
  virtual io_result<void> send(endpoint& socket, std::span<const std::byte> bytes, const address* to) noexcept = 0;
  virtual io_result<datagram_head> receive(endpoint& socket, std::span<std::byte> into) noexcept = 0;
  /// Rows [first, end) in order; how many went, at least one.
  virtual io_result<std::size_t> send(endpoint& socket, const datagram_rows& rows, std::size_t first, std::size_t end) noexcept = 0;
  /// Into rows [0, end); how many came, at least one.
  virtual io_result<std::size_t> receive(endpoint& socket, datagram_rows& rows, std::size_t end) noexcept = 0;
  virtual void set_coalescing(endpoint& socket, bool on) noexcept = 0;
  /// SO_SNDBUF, SO_RCVBUF and SO_BROADCAST of SOL_SOCKET; others are taken and ignored.
  virtual void set_option(endpoint& socket, int level, int option, int value) noexcept = 0;
  /// The same; 0 of others.
  [[nodiscard]] virtual int option(const endpoint& socket, int level, int option) const noexcept = 0;
  [[nodiscard]] virtual std::uint64_t dropped(const endpoint& socket) const noexcept = 0;
  [[nodiscard]] virtual address local_address(const endpoint& socket) const noexcept = 0;
  [[nodiscard]] virtual address peer_address(const endpoint& socket) const noexcept = 0;
  virtual void close(endpoint& socket) noexcept = 0;

protected:
  ~simulated_datagrams() = default;
};

}  // namespace levity::detail
