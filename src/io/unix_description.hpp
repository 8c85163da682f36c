#pragma once

// What is said of a Unix socket that may be a simulated one: by a dump, and to who wants descriptors passed.

#include <cstddef>

#include "platform/unix_socket.hpp"
#include "reactor/reactor.hpp"
#include "reactor/simulated_unix.hpp"

namespace levity::inline v0::detail {

/// "fd 12 /run/orders.sock"; of a simulated one its number.
inline void describe_unix_endpoint(const endpoint& socket, char* text, std::size_t size) noexcept {
  const simulated_unix* const by = socket.home->unix_sockets;
  if (by == nullptr) return describe_unix_socket(socket.fd, text, size);
  const unix_address own = by->local_name(socket);
  describe_unix_socket(socket.fd, own.is_empty() ? by->peer_name(socket) : own, text, size);
}

/// A simulated host has none that would mean anything to another.
inline io_error no_descriptors_to_pass() noexcept {
  return {io_failure::unsupported, 0, "sending descriptors (between simulated Unix sockets none can be passed; send bytes)"};
}

}  // namespace levity::detail
