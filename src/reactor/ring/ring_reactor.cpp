#include "reactor/ring/ring_reactor.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/memory/frame_pool.hpp"
#include "platform/syscall.hpp"
#include "reactor/stream_failure.hpp"

namespace levity::inline v0::detail {
namespace {

ring_socket& own(endpoint& socket) noexcept { return static_cast<ring_socket&>(socket); }

void no_delay(int fd) noexcept {
  const int on = 1;
  kernel::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

io_result<std::unique_ptr<ring_reactor>> ring_reactor::create(std::shared_ptr<socket_ring> shared, bool hosted) noexcept {
  std::unique_ptr<epoll_reactor> host;
  if (hosted) {
    io_result<std::unique_ptr<epoll_reactor>> made = epoll_reactor::create(true);
    if (!made) return std::unexpected(made.error());
    host = std::move(*made);
  }
  return std::unique_ptr<ring_reactor>(new ring_reactor(std::move(shared), std::move(host)));
}

ring_reactor::~ring_reactor() {
  ring_->leave(*this);
  const auto forget = [](ring_socket& socket) noexcept {
    socket.events.store(0, std::memory_order_relaxed);
    drop_references(socket, ring_socket::one_event);
  };
  while (undelivered_ != nullptr) forget(*std::exchange(undelivered_, undelivered_->next_event));
  inbox.take(forget);
}

// ---- polling ---------------------------------------------------------------------------------------------------------

void ring_reactor::poll(const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept {
  LEVITY_DEBUG_ASSERT(held.held(), "a reactor is polled by who holds its lease");
  if (host_ != nullptr) {
    sleep_.wake_up();
    host_->poll(held, 0, ready);  // takes the edges: they were meant for the loop that polls us now
  }
  for (;;) {
    const bool delivered = deliver(ready);
    if (sleep_.heard() || delivered || undelivered_ != nullptr || until_ns == 0) return;
    if (until_ns != timer_wheel::never_ns && kernel_now_ns() >= until_ns) return;
    sleep_until(held, until_ns, ready);
  }
}

// Turns what the ring thread told into events, as far as the batch has room. True: there were any.
bool ring_reactor::deliver(ready_batch& ready) noexcept {
  if (!inbox.empty_approx()) {
    ring_socket** last = &undelivered_;
    while (*last != nullptr) last = &(*last)->next_event;
    inbox.take([&last](ring_socket& each) {
      each.next_event = nullptr;
      *last = &each;
      last = &each.next_event;
    });
  }
  const bool any = undelivered_ != nullptr;
  while (undelivered_ != nullptr && ready.room() >= 2) {
    ring_socket& socket = *std::exchange(undelivered_, undelivered_->next_event);
    // From here on it may be in the inbox again.
    const std::uint32_t events = socket.events.exchange(0, std::memory_order_acq_rel);  // E201 acquire, release.
    if ((events & ring_socket::event_read) != 0) {
      task_record* reader = socket.reading.event();
      if (reader != nullptr && wake_deferred(*reader)) ready.add(*reader);
    }
    if ((events & ring_socket::event_write) != 0) {
      task_record* writer = socket.writing.event();
      if (writer != nullptr && wake_deferred(*writer)) ready.add(*writer);
    }
    drop_references(socket, ring_socket::one_event);
  }
  return any;
}

void ring_reactor::sleep_until(const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept {
  sleep_.fall_asleep();
  if (inbox.empty_approx() && !sleep_.is_rung_approx()) {
    if (host_ != nullptr) {
      host_->poll(held, until_ns, ready);
    } else {
      sleep_.wait(until_ns);
    }
  }
  sleep_.wake_up();
}

io_result<void> ring_reactor::attend(reactor& rested, unsigned number) noexcept {
  static_cast<ring_reactor&>(rested).sleep_.is_attended_by(*this, number);
  news.put(number);
  ring();
  return {};
}

void ring_reactor::dismiss(reactor& rested) noexcept { static_cast<ring_reactor&>(rested).sleep_.is_dismissed(); }

// The end of a turn: from here on the loop that watches our descriptor sleeps for us.
void ring_reactor::wake_at(std::int64_t due_ns) noexcept {
  if (host_ == nullptr) return;
  host_->wake_at(due_ns);
  sleep_.fall_asleep();
  if (undelivered_ != nullptr || !inbox.empty_approx() || sleep_.is_rung_approx()) wake();
}

// ---- opening ---------------------------------------------------------------------------------------------------------

io_result<ring_socket*> ring_reactor::open(int fd, ring_socket::kind what) noexcept {
  ring_socket* socket;
  try {
    socket = &allocate_ring_socket();
  } catch (const std::bad_alloc&) {
    kernel::close(fd);
    return std::unexpected(io_error{io_failure::no_memory, ENOMEM, "watching a socket"});
  }
  socket->fd = fd;
  socket->what = what;
  socket->home = this;
  socket->sink = this;
  publish(*socket);
  open_.fetch_add(1, std::memory_order_relaxed);
  return socket;
}

io_result<endpoint*> ring_reactor::listen(const listen_request& request) noexcept {
  const io_result<int> fd = open_listening_socket(request);
  if (!fd) return std::unexpected(fd.error());
  return open(*fd, ring_socket::kind::listener);
}

io_result<endpoint*> ring_reactor::adopt_listener(int fd) noexcept { return open(fd, ring_socket::kind::shared_listener); }

io_result<endpoint*> ring_reactor::adopt(int fd) noexcept {
  const io_result<ring_socket*> opened = open(fd, ring_socket::kind::watched);
  if (!opened) return std::unexpected(opened.error());
  (*opened)->adopted = true;
  if (const io_result<void> watched = ring_->watch(**opened); !watched) {
    close(**opened, false);
    return std::unexpected(watched.error());
  }
  return *opened;
}

// While no accept is armed, the attempt is made here: then what waits in the kernel is taken without a hop. One that finds nothing
// has an accept armed, and from then on connections come by themselves.
io_result<endpoint*> ring_reactor::try_accept(endpoint& listener, reactor& home) noexcept {
  constexpr const char* doing = "accepting";
  ring_socket& from = own(listener);
  int fd = -1;
  int code = EAGAIN;
  from.lock.lock();
  if (!from.accepted.empty()) {
    fd = from.accepted.front();
    from.accepted.erase(from.accepted.begin());
    from.held--;
  } else if (from.end_code != 0) {
    code = std::exchange(from.end_code, 0);
  }
  const bool rests = !from.receiving && code == EAGAIN && from.held < socket_ring::accepted_max / 2;
  const bool tries = rests && fd < 0 && !from.blocks;
  if (rests && !tries) from.receiving = true;
  from.lock.unlock();
  if (tries) {
    do {
      fd = kernel::accept4(from.fd, nullptr, nullptr, SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || died_in_the_queue(errno)));
    if (fd < 0) {
      code = errno;
      if (code == EAGAIN) {
        from.lock.lock();
        from.receiving = true;
        from.lock.unlock();
        ring_->request(from, ring_socket::want_accept);
      }
    }
  } else if (rests) {
    ring_->request(from, ring_socket::want_accept);
  }
  if (fd < 0) return std::unexpected(io_error::from_errno(code, doing));
  no_delay(fd);
  return static_cast<ring_reactor&>(home).open(fd, ring_socket::kind::stream);
}

io_result<endpoint*> ring_reactor::start_connect(const address& to) noexcept {
  constexpr const char* doing = "connecting";
  // Blocking, so that no kernel takes O_NONBLOCK for a wish not to wait on the ring; attempts say MSG_DONTWAIT.
  const int fd = kernel::socket(to.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(io_error::from_errno(errno, doing));
  no_delay(fd);
  const io_result<ring_socket*> opened = open(fd, ring_socket::kind::stream);
  if (!opened) return std::unexpected(opened.error());
  ring_socket& socket = **opened;
  try {
    socket.connect_to = new (frame_allocate(sizeof(sockaddr_storage))) sockaddr_storage;
  } catch (const std::bad_alloc&) {
    close(socket, true);
    return std::unexpected(io_error{io_failure::no_memory, ENOMEM, doing});
  }
  socket.connect_to_size = to_kernel(to, *socket.connect_to);
  socket.connecting.store(ring_socket::connect_pending, std::memory_order_relaxed);
  ring_->request(socket, ring_socket::want_connect);
  return &socket;
}

io_result<void> ring_reactor::finish_connect(endpoint& socket) noexcept {
  constexpr const char* doing = "connecting";
  const int state = own(socket).connecting.load(std::memory_order_relaxed);
  if (state == 0) return {};
  if (state == ring_socket::connect_pending) return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
  return std::unexpected(io_error::from_errno(-state, doing));
}

// ---- bytes -----------------------------------------------------------------------------------------------------------

io_result<std::size_t> ring_reactor::try_read(endpoint& socket, std::span<std::byte> into) noexcept {
  constexpr const char* doing = "reading";
  ring_socket& from = own(socket);
  std::size_t moved = 0;
  std::uint32_t emptied = 0;
  bool ended = false;
  int code = 0;
  bool ask = false;
  for (;;) {
    while (from.front != nullptr && moved < into.size()) {
      received_chunk& chunk = *from.front;
      const std::size_t part = std::min<std::size_t>(chunk.size - from.front_used, into.size() - moved);
      std::memcpy(into.data() + moved, chunk.bytes + from.front_used, part);
      moved += part;
      from.front_used += static_cast<std::uint32_t>(part);
      if (from.front_used < chunk.size) break;
      from.front = chunk.next;
      from.front_used = 0;
      ring_->give_back(chunk);
      emptied++;
    }
    if (moved == into.size() && emptied == 0) break;  // not before what was asked for is handed over
    from.lock.lock();
    from.held -= std::exchange(emptied, 0);
    const bool more = from.front == nullptr && from.arrived != nullptr;
    if (more) from.front = std::exchange(from.arrived, nullptr);
    if (!from.receiving && !from.ended && from.held < socket_ring::chunks_max / 2) from.receiving = ask = true;
    ended = from.ended;
    code = from.end_code;
    from.lock.unlock();
    if (!more || moved == into.size()) break;
  }
  if (ask) ring_->request(from, ring_socket::want_receive);
  if (moved > 0) return moved;
  if (ended && code != 0) return std::unexpected(transfer_error(socket, code, doing));
  // A reset that a write met is waited for here, too: the kernel still has what arrived before it, and then says that it ended.
  if (ended) {
    return std::unexpected(torn(socket) ? io_error{io_failure::reset, ECONNRESET, doing} : io_error{io_failure::eof, 0, doing});
  }
  return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
}

io_result<std::size_t> ring_reactor::try_write(endpoint& socket, std::span<const iovec> from) noexcept {
  constexpr const char* doing = "writing";
  ring_socket& to = own(socket);
  // The end may be on its way to the ring thread: it must not meet a send behind it. Our own doing: reads go on.
  if (socket.writes.load(std::memory_order_relaxed) != own_side::open) return std::unexpected(io_error::from_errno(EPIPE, doing));
  // E203 acquire.
  if (to.sending.load(std::memory_order_acquire)) return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
  if (to.send_code != 0) return std::unexpected(transfer_error(socket, to.send_code, doing));
  ssize_t sent;
  do {
    if (from.size() == 1) {
      sent = kernel::send(to.fd, from[0].iov_base, from[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(from.data());
      message.msg_iovlen = from.size();
      sent = kernel::sendmsg(to.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  } while (sent < 0 && errno == EINTR);
  if (sent < 0 && errno != EAGAIN) {
    return std::unexpected(transfer_error(socket, errno, doing));
  }
  const std::size_t moved = sent < 0 ? 0 : static_cast<std::size_t>(sent);
  std::size_t left = 0;
  for (const iovec& piece : from) left += piece.iov_len;
  left -= moved;
  if (left == 0) return moved;

  // The socket is full: what is left goes out on the ring.
  const std::size_t size = std::min(left, socket_ring::taken_over_max);
  outgoing_bytes* out;
  try {
    out = new (frame_allocate(sizeof(outgoing_bytes) + size)) outgoing_bytes(to, static_cast<std::uint32_t>(size));
  } catch (const std::bad_alloc&) {
    if (moved > 0) return moved;
    return std::unexpected(io_error{io_failure::no_memory, ENOMEM, doing});
  }
  std::size_t skip = moved;
  std::size_t filled = 0;
  for (const iovec& piece : from) {
    if (filled == size) break;
    if (skip >= piece.iov_len) {
      skip -= piece.iov_len;
      continue;
    }
    const std::size_t part = std::min(piece.iov_len - skip, size - filled);
    std::memcpy(out->bytes() + filled, static_cast<const std::byte*>(piece.iov_base) + skip, part);
    filled += part;
    skip = 0;
  }
  to.out = out;
  to.sending.store(true, std::memory_order_relaxed);
  ring_->request(to, ring_socket::want_send);
  return moved + size;
}

io_result<void> ring_reactor::shutdown_write(endpoint& socket) noexcept {
  ring_socket& ends = own(socket);
  // Relaxed: how the send ended is the next write's business, of which there is none.
  if (ends.sending.load(std::memory_order_relaxed)) {
    socket.writes.store(own_side::ended, std::memory_order_relaxed);
    ring_->request(ends, ring_socket::want_end);
    return {};
  }
  return end_writing(socket);
}

// ---- closing ---------------------------------------------------------------------------------------------------------

// True: there was something that nobody read.
bool ring_reactor::drop_unread(ring_socket& socket) noexcept {
  socket.lock.lock();
  received_chunk* arrived = std::exchange(socket.arrived, nullptr);
  std::vector<int> accepted;
  accepted.swap(socket.accepted);
  socket.lock.unlock();
  bool any = false;
  for (received_chunk* list : {std::exchange(socket.front, nullptr), arrived}) {
    while (list != nullptr) {
      ring_->give_back(*std::exchange(list, list->next));
      any = true;
    }
  }
  for (const int fd : accepted) close_with_reset(fd);
  return any;
}

void ring_reactor::close(endpoint& socket, bool abort) noexcept {
  LEVITY_ASSERT(!socket.reading.has_waiter_approx() && !socket.writing.has_waiter_approx(),
                "a socket is closed when no task waits on it");
  ring_socket& closes = own(socket);
  open_.fetch_sub(1, std::memory_order_relaxed);
  if (closes.what == ring_socket::kind::watched) {
    ring_->unwatch(closes);
    const int fd = socket.fd;
    drop_references(closes, ring_socket::one_use);  // first: its generation must be another before the number can be reused
    kernel::close(fd);
    return;
  }
  // Nobody shall come any more, and the address be free at once. (Of one that was opened elsewhere others may take connections.)
  if (closes.what == ring_socket::kind::listener) kernel::shutdown(socket.fd, SHUT_RDWR);
  // Before what was not taken is dropped: behind that, the last completion could bring more, and the memory would keep it for its
  // next user. E202 acquire.
  const bool alone = (closes.references.load(std::memory_order_acquire) & ring_socket::uses_mask) == ring_socket::one_use;
  if (drop_unread(closes)) abort = true;
  if (abort && closes.what == ring_socket::kind::stream) {
    const linger at_once{1, 0};
    kernel::setsockopt(socket.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  if (alone) {
    if (closes.connect_to != nullptr) frame_free(std::exchange(closes.connect_to, nullptr), sizeof(sockaddr_storage));
    kernel::close(socket.fd);
    drop_references(closes, ring_socket::one_use);
    return;
  }
  ring_->request(closes, abort ? ring_socket::want_abort : ring_socket::want_close);
}

address ring_reactor::local_address(const endpoint& socket) const noexcept { return socket_local_address(socket.fd); }

address ring_reactor::peer_address(const endpoint& socket) const noexcept { return socket_peer_address(socket.fd); }

io_result<void> ring_reactor::set_option(endpoint& socket, int level, int option, int value) noexcept {
  return set_socket_option(socket.fd, level, option, value);
}

}  // namespace levity::detail
