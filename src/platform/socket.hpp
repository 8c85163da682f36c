#pragma once

#include <sys/socket.h>

#include "levity/base/address.hpp"
#include "levity/base/error.hpp"

namespace levity::inline v0::detail {

struct listen_request {
  address at;
  int backlog = 4096;
  bool reuse_port = false;
  bool ipv6_only = false;
  int defer_accept_s = 0;  // 0: a connection is accepted before its first bytes are there
};

/// A non-blocking listening TCP socket, close-on-exec.
io_result<int> open_listening_socket(const listen_request& request) noexcept;

/// The kernel's form of an address; returns its size.
socklen_t to_kernel(const address& from, sockaddr_storage& to) noexcept;
/// The empty address for another family than IP.
address from_kernel(const sockaddr_storage& from) noexcept;

/// The error of `doing_on` and an address ("listening on "), which its message names.
io_error error_at(const address& at, int code, const char* doing_on, const char* otherwise) noexcept;

/// The address a socket is bound to; the empty address when the kernel does not say.
address socket_local_address(int fd) noexcept;
address socket_peer_address(int fd) noexcept;

io_result<void> set_socket_option(int fd, int level, int option, int value) noexcept;
io_result<int> socket_option(int fd, int level, int option) noexcept;

}  // namespace levity::detail
