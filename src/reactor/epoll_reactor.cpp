#include "reactor/epoll_reactor.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "levity/base/assert.hpp"
#include "platform/syscall.hpp"
#include "reactor/stream_failure.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr int generation_shift = 48;
constexpr std::uint64_t address_mask = (std::uint64_t{1} << generation_shift) - 1;

}  // namespace

io_result<std::unique_ptr<epoll_reactor>> epoll_reactor::create(bool embedded) noexcept {
  const int poll_fd = kernel::epoll_create1(EPOLL_CLOEXEC);
  if (poll_fd < 0) return std::unexpected(io_error::from_errno(errno, "creating an epoll descriptor"));
  const int bell_fd = kernel::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (bell_fd < 0) {
    const int code = errno;
    kernel::close(poll_fd);
    return std::unexpected(io_error::from_errno(code, "creating an event descriptor"));
  }
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = 0;
  if (kernel::epoll_ctl(poll_fd, EPOLL_CTL_ADD, bell_fd, &event) != 0) {
    const int code = errno;
    kernel::close(poll_fd);
    kernel::close(bell_fd);
    return std::unexpected(io_error::from_errno(code, "watching the doorbell"));
  }
  std::unique_ptr<epoll_reactor> made(new epoll_reactor(poll_fd, bell_fd));
  if (!embedded) return made;
  made->timer_fd_ = kernel::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (made->timer_fd_ < 0) return std::unexpected(io_error::from_errno(errno, "creating a timer descriptor"));
  if (kernel::epoll_ctl(poll_fd, EPOLL_CTL_ADD, made->timer_fd_, &event) == 0) return made;
  return std::unexpected(io_error::from_errno(errno, "watching a timer descriptor"));
}

epoll_reactor::~epoll_reactor() {
  if (timer_fd_ >= 0) kernel::close(timer_fd_);
  kernel::close(bell_fd_);
  kernel::close(poll_fd_);
}

void epoll_reactor::poll([[maybe_unused]] const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept {
  LEVITY_DEBUG_ASSERT(held.held(), "a reactor is polled by who holds its lease");
  constexpr std::size_t events_max = 256;
  // Of some thousand connections neither endpoint nor record nor frame is in a near cache when its event comes, and each locked
  // exchange waits for its own: they are asked for ahead.
  constexpr int sockets_ahead = 8;
  constexpr int records_ahead = 4;
  constexpr std::size_t frame_bytes_ahead = 192;
  std::array<epoll_event, events_max> events;
  // Each event readies at most two tasks.
  const auto wanted = static_cast<int>(std::min(events_max, ready.room() / 2));
  if (wanted == 0) return;
  int count;
  if (guest != nullptr && guest->has_more()) until_ns = 0;
  if (until_ns == 0) {
    count = kernel::epoll_wait(poll_fd_, events.data(), wanted, 0);
  } else if (until_ns == timer_wheel::never_ns) {
    count = kernel::epoll_wait(poll_fd_, events.data(), wanted, -1);
  } else {
    const std::int64_t left_ns = std::max<std::int64_t>(until_ns - kernel_now_ns(), 0);
    const timespec left{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
    count = kernel::epoll_pwait2(poll_fd_, events.data(), wanted, &left);
    if (count < 0 && errno != EINTR) {  // before Linux 5.11, or a filter of system calls that does not know it
      const auto left_ms = static_cast<int>(std::min<std::int64_t>((left_ns + 999'999) / 1'000'000, 1'000'000));
      count = kernel::epoll_wait(poll_fd_, events.data(), wanted, left_ms);
    }
  }
  // Below any address: the doorbell, the timer or the guest, 0, or another reactor.
  const auto is_socket = [&events](int at) { return events[static_cast<std::size_t>(at)].data.u64 > news_set::number_max; };
  const auto socket_of = [&events](int at) {
    return reinterpret_cast<endpoint*>(events[static_cast<std::size_t>(at)].data.u64 & address_mask);
  };
  for (int i = 0; i < std::min(count, sockets_ahead); i++) prefetch<sizeof(endpoint)>(socket_of(i));
  for (int i = 0; i < count; i++) {
    if (i + sockets_ahead < count) prefetch<sizeof(endpoint)>(socket_of(i + sockets_ahead));
    if (i + records_ahead < count && is_socket(i + records_ahead)) socket_of(i + records_ahead)->reading.prefetch_waiter();
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (!is_socket(i)) {
      if (event.data.u64 != 0) news.put(static_cast<unsigned>(event.data.u64));
      continue;
    }
    endpoint* socket = socket_of(i);
    const auto generation = static_cast<std::uint16_t>(event.data.u64 >> generation_shift);
    if (socket->generation.load(std::memory_order_relaxed) != generation) continue;
    // A read stops before urgent data, so after any of these a short one proves nothing.
    constexpr std::uint32_t breaks = EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR;
    if ((event.events & breaks) != 0) socket->hung_up.store(true, std::memory_order_relaxed);
    if ((event.events & (EPOLLIN | breaks)) != 0) {
      task_record* reader = socket->reading.event();
      if (reader != nullptr && wake_deferred(*reader)) {
        prefetch<frame_bytes_ahead>(reader->leaf.address());
        ready.add(*reader);
      }
    }
    if ((event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
      task_record* writer = socket->writing.event();
      if (writer != nullptr && wake_deferred(*writer)) ready.add(*writer);
    }
  }
  // Whatever ended the wait: a completion interrupts it before the guest's descriptor is found readable.
  if (guest != nullptr) guest->collect(ready);
}

io_result<void> epoll_reactor::invite([[maybe_unused]] const poll_lease& held, int fd, poll_guest& comes) noexcept {
  LEVITY_DEBUG_ASSERT(held.held() && guest == nullptr, "a reactor has one guest, invited by who holds its lease");
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = 0;
  if (kernel::epoll_ctl(poll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return std::unexpected(io_error::from_errno(errno, "watching an io_uring"));
  }
  guest = &comes;
  return {};
}

io_result<void> epoll_reactor::attend(reactor& rested, unsigned number) noexcept {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = number;
  if (kernel::epoll_ctl(poll_fd_, EPOLL_CTL_ADD, static_cast<epoll_reactor&>(rested).poll_fd_, &event) == 0) return {};
  return std::unexpected(io_error::from_errno(errno, "watching an epoll descriptor"));
}

void epoll_reactor::dismiss(reactor& rested) noexcept {
  kernel::epoll_ctl(poll_fd_, EPOLL_CTL_DEL, static_cast<epoll_reactor&>(rested).poll_fd_, nullptr);
}

void epoll_reactor::ring() noexcept {
  kernel::ring_bell(bell_fd_);
}

// Edge-triggered and never read, as the doorbell: setting it anew takes an expiry back.
void epoll_reactor::wake_at(std::int64_t due_ns) noexcept {
  LEVITY_ASSERT(timer_fd_ >= 0, "only a reactor that was made to be embedded has a timer's descriptor");
  itimerspec when{};
  if (due_ns != timer_wheel::never_ns) {
    const std::int64_t at_ns = std::max<std::int64_t>(due_ns, 1);  // 0 would disarm it
    when.it_value = {at_ns / 1'000'000'000, at_ns % 1'000'000'000};
  }
  kernel::timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when);
}

io_result<endpoint*> epoll_reactor::watch(int fd, bool listener) noexcept {
  endpoint* socket;
  try {
    socket = &allocate_endpoint();
  } catch (const std::bad_alloc&) {
    kernel::close(fd);
    return std::unexpected(io_error{io_failure::no_memory, ENOMEM, "watching a socket"});
  }
  socket->fd = fd;
  socket->home = this;
  epoll_event event{};
  event.events = listener ? static_cast<std::uint32_t>(EPOLLIN | EPOLLET)
                          : static_cast<std::uint32_t>(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET);
  event.data.u64 = reinterpret_cast<std::uint64_t>(socket) |
                   static_cast<std::uint64_t>(socket->generation.load(std::memory_order_relaxed)) << generation_shift;
  if (kernel::epoll_ctl(poll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    const int code = errno;
    kernel::close(fd);
    free_endpoint(*socket);
    // Not a disk: the limit of watches (fs.epoll.max_user_watches).
    return std::unexpected(code == ENOSPC ? io_error{io_failure::no_memory, code, "watching a socket"}
                                          : io_error::from_errno(code, "watching a socket"));
  }
  open_.fetch_add(1, std::memory_order_relaxed);
  return socket;
}

io_result<endpoint*> epoll_reactor::adopt(int fd) noexcept {
  const io_result<endpoint*> watched = watch(fd, false);
  if (watched) (*watched)->adopted = true;
  return watched;
}

io_result<endpoint*> epoll_reactor::listen(const listen_request& request) noexcept {
  const io_result<int> fd = open_listening_socket(request);
  if (!fd) return std::unexpected(fd.error());
  return watch(*fd, true);
}

io_result<endpoint*> epoll_reactor::try_accept(endpoint& listener, reactor& home) noexcept {
  for (;;) {
    const int fd = kernel::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      const int on = 1;
      kernel::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return static_cast<epoll_reactor&>(home).watch(fd, false);
    }
    if (errno != EINTR && !died_in_the_queue(errno)) return std::unexpected(io_error::from_errno(errno, "accepting"));
  }
}

io_result<endpoint*> epoll_reactor::start_connect(const address& to) noexcept {
  constexpr const char* doing = "connecting";
  const int fd = kernel::socket(to.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(io_error::from_errno(errno, doing));
  const int on = 1;
  kernel::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_storage at;
  const socklen_t size = to_kernel(to, at);
  if (kernel::connect(fd, reinterpret_cast<sockaddr*>(&at), size) != 0 && errno != EINPROGRESS && errno != EINTR) {
    const int code = errno;
    kernel::close(fd);
    return std::unexpected(io_error::from_errno(code, doing));
  }
  return watch(fd, false);
}

io_result<void> epoll_reactor::finish_connect(endpoint& socket) noexcept {
  constexpr const char* doing = "connecting";
  int code = 0;
  socklen_t size = sizeof code;
  if (kernel::getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0) code = errno;
  if (code != 0) return std::unexpected(io_error::from_errno(code, doing));
  sockaddr_storage peer;
  size = sizeof peer;
  if (kernel::getpeername(socket.fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0) return {};
  return std::unexpected(errno == ENOTCONN ? io_error{io_failure::would_block, EAGAIN, doing}
                                           : io_error::from_errno(errno, doing));
}

namespace {

// Whether anything is left behind a read that got all that it asked for only another read could tell; of a service whose messages
// are as long as its buffer that is a system call more for each. A socket on which one was in vain tells it with the bytes
// from then on.
void ask_for_rest(endpoint& socket) noexcept {
  const int on = 1;
  socket.tells_rest = kernel::setsockopt(socket.fd, IPPROTO_TCP, TCP_INQ, &on, sizeof on) == 0;
}

ssize_t read_and_look(endpoint& socket, std::span<std::byte> into) noexcept {
  alignas(cmsghdr) std::byte told[CMSG_SPACE(sizeof(int))];
  iovec piece{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = told;
  message.msg_controllen = sizeof told;
  const ssize_t got = kernel::recvmsg(socket.fd, &message, 0);
  const cmsghdr* rest = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (rest != nullptr && rest->cmsg_level == IPPROTO_TCP && rest->cmsg_type == TCP_CM_INQ) {
    int bytes = 1;
    std::memcpy(&bytes, CMSG_DATA(rest), sizeof bytes);
    socket.took_all = bytes == 0;
  }
  return got;
}

}  // namespace

io_result<std::size_t> epoll_reactor::try_read(endpoint& socket, std::span<std::byte> into) noexcept {
  socket.took_all = false;
  for (;;) {
    const ssize_t got =
        socket.tells_rest ? read_and_look(socket, into) : kernel::read(socket.fd, into.data(), into.size());
    if (got > 0) {
      socket.filled = static_cast<std::size_t>(got) == into.size();
      return static_cast<std::size_t>(got);
    }
    if (got == 0) {
      return std::unexpected(torn(socket) ? io_error{io_failure::reset, ECONNRESET, "reading"}
                                          : io_error{io_failure::eof, 0, "reading"});
    }
    if (errno == EINTR) continue;
    const io_error why = transfer_error(socket, errno, "reading");
    if (why == io_failure::would_block && std::exchange(socket.filled, false) && !socket.tells_rest) ask_for_rest(socket);
    return std::unexpected(why);
  }
}

io_result<std::size_t> epoll_reactor::try_write(endpoint& socket, std::span<const iovec> from) noexcept {
  for (;;) {
    ssize_t sent;
    if (from.size() == 1) {
      sent = kernel::send(socket.fd, from[0].iov_base, from[0].iov_len, MSG_NOSIGNAL);
    } else {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(from.data());
      message.msg_iovlen = from.size();
      sent = kernel::sendmsg(socket.fd, &message, MSG_NOSIGNAL);
    }
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EPIPE && socket.writes.load(std::memory_order_relaxed) != own_side::open) {
      return std::unexpected(io_error::from_errno(EPIPE, "writing"));  // our own doing: reads go on
    }
    if (errno != EINTR) return std::unexpected(transfer_error(socket, errno, "writing"));
  }
}

io_result<void> epoll_reactor::shutdown_write(endpoint& socket) noexcept { return end_writing(socket); }

void epoll_reactor::close(endpoint& socket, bool abort) noexcept {
  LEVITY_ASSERT(!socket.reading.has_waiter_approx() && !socket.writing.has_waiter_approx(),
                "a socket is closed when no task waits on it");
  if (abort) {
    const linger at_once{1, 0};
    kernel::setsockopt(socket.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  const int fd = socket.fd;
  if (socket.adopted) kernel::epoll_ctl(poll_fd_, EPOLL_CTL_DEL, fd, nullptr);
  free_endpoint(socket);  // first: its generation must be another before the number can be reused
  kernel::close(fd);
  open_.fetch_sub(1, std::memory_order_relaxed);
}

address epoll_reactor::local_address(const endpoint& socket) const noexcept { return socket_local_address(socket.fd); }

address epoll_reactor::peer_address(const endpoint& socket) const noexcept { return socket_peer_address(socket.fd); }

io_result<void> epoll_reactor::set_option(endpoint& socket, int level, int option, int value) noexcept {
  if (kernel::setsockopt(socket.fd, level, option, &value, sizeof value) == 0) return {};
  return std::unexpected(io_error::from_errno(errno, "setting a socket option"));
}

}  // namespace levity::detail
