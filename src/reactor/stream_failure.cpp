#include "reactor/stream_failure.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

void remember(endpoint& socket, int code) noexcept {
  switch (code) {
    case ECONNRESET:
    case ECONNABORTED:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH: socket.was_reset.store(true, std::memory_order_relaxed); break;
    case EPIPE:  // it says nothing new of a stream that was torn, nor of one whose own side has ended
      if (socket.writes.load(std::memory_order_relaxed) == own_side::open) socket.peer_ended.store(true, std::memory_order_relaxed);
      break;
    default: break;
  }
}

io_error transfer_error(endpoint& socket, int code, const char* doing) noexcept {
  remember(socket, code);
  return io_error::from_errno(code, doing);
}

bool torn(endpoint& socket) noexcept {
  if (socket.was_reset.load(std::memory_order_relaxed)) return true;
  if (socket.writes.load(std::memory_order_relaxed) == own_side::ended || socket.peer_ended.load(std::memory_order_relaxed)) {
    return false;
  }
  std::uint8_t state = TCP_CLOSE;  // the first byte of a tcp_info
  socklen_t size = sizeof state;
  if (kernel::getsockopt(socket.fd, IPPROTO_TCP, TCP_INFO, &state, &size) != 0) return true;
  if (state != TCP_CLOSE) return false;
  // Another thread may be ending our side, and have closed it so; or it finds that closed already.
  own_side writes;
  while ((writes = socket.writes.load(std::memory_order_relaxed)) == own_side::ending) give_way();
  if (writes == own_side::ended) return false;
  int error = 0;
  size = sizeof error;
  if (kernel::getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return true;
  // Asked, the kernel forgets it. It says nothing where a transfer was told before us, and has remembered.
  if (error == 0 && socket.peer_ended.load(std::memory_order_relaxed)) return false;
  remember(socket, error == EPIPE ? EPIPE : ECONNRESET);
  return socket.was_reset.load(std::memory_order_relaxed);
}

io_result<void> end_writing(endpoint& socket) noexcept {
  // The word comes before the deed: where the peer has ended already the connection is closed before shutdown(2) has returned, and
  // a reader on another thread, who sees that, asks for the word after it. The promise comes after the deed: of a connection that
  // was reset the kernel refuses the end.
  own_side before = own_side::open;
  socket.writes.compare_exchange_strong(before, own_side::ending, std::memory_order_relaxed, std::memory_order_relaxed);
  const bool ended = kernel::shutdown(socket.fd, SHUT_WR) == 0;
  const int code = errno;
  if (before == own_side::open) socket.writes.store(ended ? own_side::ended : own_side::open, std::memory_order_relaxed);
  if (ended) return {};
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
