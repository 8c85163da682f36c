#include "reactor/stream_failure.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

io_error transfer_error(endpoint& socket, int code, const char* doing) noexcept {
  const io_error error = io_error::from_errno(code, doing);
  if (error == io_failure::reset) socket.was_reset.store(true, std::memory_order_relaxed);
  return error;
}

bool torn(const endpoint& socket) noexcept {
  if (socket.was_reset.load(std::memory_order_relaxed)) return true;
  if (socket.write_ended.load(std::memory_order_relaxed)) return false;
  std::uint8_t state = TCP_ESTABLISHED;  // the first byte of a tcp_info
  socklen_t size = sizeof state;
  if (kernel::getsockopt(socket.fd, IPPROTO_TCP, TCP_INFO, &state, &size) != 0 || state != TCP_CLOSE) return false;
  return !socket.write_ended.load(std::memory_order_relaxed);  // another thread may have ended our side since, and so closed it
}

io_result<void> end_writing(endpoint& socket) noexcept {
  // The word comes before the deed: where the peer has ended already the connection is closed before shutdown(2) has returned, and
  // a reader on another thread, who sees that, asks for the word after it.
  const bool before = socket.write_ended.exchange(true, std::memory_order_relaxed);
  if (kernel::shutdown(socket.fd, SHUT_WR) == 0) return {};
  const int code = errno;
  socket.write_ended.store(before, std::memory_order_relaxed);
  return std::unexpected(io_error::from_errno(code, "ending the stream"));
}

bool died_in_the_queue(int code) noexcept {
  switch (code) {
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENETDOWN:
    case ENETUNREACH:
    case EOPNOTSUPP:
    case ETIMEDOUT: return true;
    default: return false;
  }
}

}  // namespace levity::detail
