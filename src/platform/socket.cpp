#include "platform/socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "levity/base/lasting_text.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

socklen_t to_kernel(const address& from, sockaddr_storage& to) noexcept {
  std::memset(&to, 0, sizeof to);
  if (from.is_v6()) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(from.port());
    std::memcpy(&v6.sin6_addr, from.bytes(), 16);
    return sizeof v6;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(to);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(from.port());
  std::memcpy(&v4.sin_addr, from.bytes(), 4);
  return sizeof v4;
}

address from_kernel(const sockaddr_storage& from) noexcept {
  if (from.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from);
    return address::from_bytes(v6.sin6_addr.s6_addr, true, ntohs(v6.sin6_port));
  }
  if (from.ss_family != AF_INET) return {};
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(from);
  return address::from_bytes(reinterpret_cast<const std::uint8_t*>(&v4.sin_addr), false, ntohs(v4.sin_port));
}

io_result<int> open_listening_socket(const listen_request& request) noexcept {
  constexpr const char* doing = "listening";
  const int fd = kernel::socket(request.at.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(error_at(request.at, errno, "listening on ", doing));
  const auto set = [fd](int level, int option, int value) noexcept {
    return kernel::setsockopt(fd, level, option, &value, sizeof value) == 0;
  };
  sockaddr_storage at;
  const socklen_t size = to_kernel(request.at, at);
  const bool listens =
      set(SOL_SOCKET, SO_REUSEADDR, 1) && (!request.reuse_port || set(SOL_SOCKET, SO_REUSEPORT, 1)) &&
      (!request.at.is_v6() || set(IPPROTO_IPV6, IPV6_V6ONLY, request.ipv6_only ? 1 : 0)) &&
      (request.defer_accept_s == 0 || set(IPPROTO_TCP, TCP_DEFER_ACCEPT, request.defer_accept_s)) &&
      kernel::bind(fd, reinterpret_cast<sockaddr*>(&at), size) == 0 && kernel::listen(fd, request.backlog) == 0;
  if (!listens) {
    const int code = errno;
    kernel::close(fd);
    return std::unexpected(error_at(request.at, code, "listening on ", doing));
  }
  return fd;
}

io_error error_at(const address& at, int code, const char* doing_on, const char* otherwise) noexcept {
  try {
    return io_error::from_errno(code, lasting_text(doing_on, at.to_string(), otherwise));
  } catch (const std::bad_alloc&) {
    return io_error::from_errno(code, otherwise);
  }
}

address socket_local_address(int fd) noexcept {
  sockaddr_storage at{};
  socklen_t size = sizeof at;
  return kernel::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0 ? from_kernel(at) : address{};
}

address socket_peer_address(int fd) noexcept {
  sockaddr_storage at{};
  socklen_t size = sizeof at;
  return kernel::getpeername(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0 ? from_kernel(at) : address{};
}

io_result<void> set_socket_option(int fd, int level, int option, int value) noexcept {
  if (kernel::setsockopt(fd, level, option, &value, sizeof value) == 0) return {};
  return std::unexpected(io_error::from_errno(errno, "setting a socket option"));
}

io_result<int> socket_option(int fd, int level, int option) noexcept {
  int value = 0;
  socklen_t size = sizeof value;
  if (kernel::getsockopt(fd, level, option, &value, &size) == 0) return value;
  return std::unexpected(io_error::from_errno(errno, "asking for a socket option"));
}

}  // namespace levity::detail
