#include "reactor/ring/socket_ring.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "levity/base/clock.hpp"
#include "levity/memory/frame_pool.hpp"
#include "platform/futex.hpp"
#include "platform/syscall.hpp"
#include "reactor/stream_failure.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr unsigned entries = 1024;
constexpr std::int64_t linger_ns = 60'000'000'000;
constexpr std::int64_t linger_at_end_ns = 2'000'000'000;
constexpr std::int64_t linger_look_ns = 500'000'000;  // how often those that linger are looked at
constexpr std::int64_t starving_retry_ns = 1'000'000;

// The user data of an operation: the address of what it belongs to, and which it is in the low bits. Never 0.
enum class operation : std::uint64_t { accept = 1, receive, connect, watch, send, cancel, ready };
constexpr std::uint64_t operation_mask = 7;

constexpr int generation_shift = 48;
constexpr std::uint64_t address_mask = (std::uint64_t{1} << generation_shift) - 1;

std::uint64_t mark(const void* of, operation what) noexcept {
  return reinterpret_cast<std::uint64_t>(of) | static_cast<std::uint64_t>(what);
}

// Of an operation that nobody cancelled: it is worth another attempt.
bool is_passing(int code) noexcept { return code == EAGAIN || code == EINTR || code == ECANCELED; }

// The limit of locked memory is reached, or the socket cannot.
bool is_refusal_without_copy(int code) noexcept { return code == ENOMEM || code == ENOBUFS || code == EOPNOTSUPP; }

void reset_on_close(int fd) noexcept {
  const linger at_once{1, 0};
  kernel::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void free_outgoing(outgoing_bytes& bytes) noexcept { frame_free(&bytes, sizeof(outgoing_bytes) + bytes.size); }

}  // namespace

void close_with_reset(int fd) noexcept {
  reset_on_close(fd);
  kernel::close(fd);
}

io_result<std::shared_ptr<socket_ring>> socket_ring::create(const socket_ring_options& options) noexcept {
  std::shared_ptr<socket_ring> made;
  try {
    made = std::shared_ptr<socket_ring>(new socket_ring(options));
    made->chunks_ = std::make_unique<received_chunk[]>(options.buffers);
  } catch (const std::bad_alloc&) {
    return std::unexpected(io_error{io_failure::no_memory, ENOMEM, "setting up io_uring"});
  }
  made->watch_fd_ = kernel::epoll_create1(EPOLL_CLOEXEC);
  if (made->watch_fd_ < 0) return std::unexpected(io_error::from_errno(errno, "creating an epoll descriptor"));
  if (const io_result<void> started = made->host_.start(entries); !started) return std::unexpected(started.error());
  return made;
}

socket_ring::~socket_ring() {
  host_.stop();
  if (watch_fd_ >= 0) kernel::close(watch_fd_);
}

io_result<void> socket_ring::opened(ring& on) noexcept {
  // As old as multishot receives (Linux 6.0), which cannot be asked for.
  if (!on.knows(IORING_OP_SEND_ZC)) return std::unexpected(io_error::from_errno(EINVAL, "looking for multishot receives"));
  const io_result<void> registered = pool_.open(on, kernel::buffer_entries(options_.buffers), options_.buffer_bytes);
  if (!registered) return registered;
  for (std::uint32_t i = 0; i < pool_.count(); i++) {
    chunks_[i].buffer = static_cast<std::uint16_t>(i);
    chunks_[i].bytes = pool_.at(static_cast<std::uint16_t>(i));
  }
  arm_watch(on);
  return {};
}

// ---- from workers ----------------------------------------------------------------------------------------------------

void socket_ring::request(ring_socket& from, std::uint32_t wants) noexcept {
  // E200 release, acquire.
  if (from.wants.fetch_or(wants, std::memory_order_acq_rel) != 0) return;  // queued, and not looked at yet
  from.references.fetch_add(ring_socket::one_use, std::memory_order_relaxed);
  inbox_.push(from);
  host_.knock();
}

void socket_ring::give_back(received_chunk& chunk) noexcept {
  if (chunk.pooled) {
    pool_.give(chunk.buffer);
  } else {
    frame_free(&chunk, sizeof(received_chunk) + chunk.size);
  }
}

void socket_ring::leave(event_sink& sink) noexcept {
  farewell last{&sink};
  farewells_.push(last);
  host_.knock();
  // E207 acquire.
  while (last.told.load(std::memory_order_acquire) == 0) {
    futex_wait(reinterpret_cast<const std::uint32_t*>(&last.told), 0);
  }
}

io_result<void> socket_ring::watch(ring_socket& watched) noexcept {
  epoll_event event{};
  event.events = static_cast<std::uint32_t>(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  event.data.u64 = reinterpret_cast<std::uint64_t>(&watched) |
                   static_cast<std::uint64_t>(watched.generation.load(std::memory_order_relaxed)) << generation_shift;
  if (kernel::epoll_ctl(watch_fd_, EPOLL_CTL_ADD, watched.fd, &event) == 0) return {};
  // Not a disk: the limit of watches (fs.epoll.max_user_watches).
  if (errno == ENOSPC) return std::unexpected(io_error{io_failure::no_memory, ENOSPC, "watching a descriptor"});
  return std::unexpected(io_error::from_errno(errno, "watching a descriptor"));
}

void socket_ring::unwatch(ring_socket& watched) noexcept { kernel::epoll_ctl(watch_fd_, EPOLL_CTL_DEL, watched.fd, nullptr); }

// ---- the ring thread -------------------------------------------------------------------------------------------------

unsigned socket_ring::take(ring& on) noexcept {
  // Who leaves has closed its sockets before: those requests are in the inbox once the farewell is seen.
  farewell* leaving = nullptr;
  farewells_.take([&leaving](farewell& each) { each.next = std::exchange(leaving, &each); });
  const unsigned count = inbox_.take([this, &on](ring_socket& each) { carry_out(on, each); });
  while (leaving != nullptr) {
    farewell& each = *std::exchange(leaving, leaving->next);
    const auto* word = reinterpret_cast<const std::uint32_t*>(&each.told);
    each.told.store(1, std::memory_order_release);  // E207 release. Gone from here on.
    futex_wake_one(word);
  }
  return count;
}

void socket_ring::carry_out(ring& on, ring_socket& socket) noexcept {
  const std::uint32_t wants = socket.wants.exchange(0, std::memory_order_acq_rel);  // E200 acquire, release.
  socket.aborting = socket.aborting || (wants & ring_socket::want_abort) != 0;
  socket.closing = socket.closing || (wants & (ring_socket::want_close | ring_socket::want_abort)) != 0;
  if (!socket.closing && !swept_) {
    if ((wants & ring_socket::want_connect) != 0) arm_connect(on, socket);
    if ((wants & ring_socket::want_receive) != 0) arm_receive(on, socket);
    if ((wants & ring_socket::want_accept) != 0) arm_accept(on, socket);
  }
  if ((wants & ring_socket::want_send) != 0) {
    if (socket.aborting || swept_) {
      free_outgoing(*socket.out);
      finish_send(socket, ECANCELED);
    } else {
      send(on, socket, *socket.out);
    }
  }
  if ((wants & ring_socket::want_end) != 0) {
    if (socket.out != nullptr) {
      socket.end_wanted = true;
    } else {
      kernel::shutdown(socket.fd, SHUT_WR);
    }
  }
  if (socket.closing) advance_close(on, socket);
  drop_references(socket, ring_socket::one_use);
}

void socket_ring::completed(ring& on, const completion& what) noexcept {
  const auto kind = static_cast<operation>(what.data & operation_mask);
  void* const of = reinterpret_cast<void*>(what.data & ~operation_mask);
  switch (kind) {
    case operation::accept: return accepted(on, *static_cast<ring_socket*>(of), what);
    case operation::receive: return received(on, *static_cast<ring_socket*>(of), what);
    case operation::connect: return connected(on, *static_cast<ring_socket*>(of), what);
    case operation::watch: return watched(on, what);
    case operation::send: return sent(on, *static_cast<outgoing_bytes*>(of), what);
    case operation::cancel: operations_--; return;
    case operation::ready: return seen_ready(on, *static_cast<ring_socket*>(of));
  }
}

void socket_ring::settled(ring& on) noexcept {
  const std::int64_t now_ns = starving_ != nullptr ? kernel_now_ns() : 0;
  for (ring_socket* each = std::exchange(starving_, nullptr); each != nullptr;) {
    ring_socket& socket = *std::exchange(each, each->next_starving);
    if (socket.closing || swept_) {
      socket.starving = false;
      end(on, socket);
    } else if (pool_.free_approx() > 0 && socket.starves_until_ns <= now_ns) {
      socket.starving = false;
      arm_again_or_rest(on, socket);  // first: a socket without anything in flight may be closed by its owner at any moment
      end(on, socket);
    } else {
      socket.next_starving = std::exchange(starving_, &socket);
    }
  }
  if (!lingering_.empty()) end_lingering(on, kernel_now_ns());
  while (touched_ != nullptr) {
    event_sink& sink = *std::exchange(touched_, touched_->next_touched);
    sink.touched = false;
    sink.wake();
  }
}

std::int64_t socket_ring::due_ns() const noexcept {
  std::int64_t due_ns = ring::for_ever_ns;
  if (starving_ != nullptr) due_ns = kernel_now_ns() + starving_retry_ns;
  return lingering_.empty() ? due_ns : std::min(due_ns, linger_look_at_ns_);
}

bool socket_ring::may_end(ring& on) noexcept {
  if (!ending_) {
    ending_ = true;
    const std::int64_t last_ns = kernel_now_ns() + linger_at_end_ns;
    for (ring_socket* each : lingering_) each->linger_due_ns = std::min(each->linger_due_ns, last_ns);
  }
  if (!lingering_.empty()) return false;
  if (operations_ == 0) return true;
  if (!swept_) {
    swept_ = true;
    io_uring_sqe& entry = on.next_entry();
    io_uring_prep_cancel64(&entry, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(&entry, mark(nullptr, operation::cancel));
    operations_++;
    settled(on);  // those that starve have nothing to be cancelled
  }
  return operations_ == 0;
}

void socket_ring::begin(ring_socket& socket) noexcept {
  operations_++;
  socket.in_flight++;
  socket.references.fetch_add(ring_socket::one_use, std::memory_order_relaxed);
}

// An operation had its last completion.
void socket_ring::end(ring& on, ring_socket& socket) noexcept {
  operations_--;
  socket.in_flight--;
  if (socket.closing) advance_close(on, socket);
  drop_references(socket, ring_socket::one_use);
}

void socket_ring::cancel(ring& on, std::uint64_t data) noexcept {
  io_uring_sqe& entry = on.next_entry();
  io_uring_prep_cancel64(&entry, data, 0);
  io_uring_sqe_set_data64(&entry, mark(nullptr, operation::cancel));
  operations_++;
}

void socket_ring::post(ring_socket& socket, std::uint32_t events) noexcept {
  if (socket.closing) return;
  // E201 release, acquire.
  if (socket.events.fetch_or(events, std::memory_order_acq_rel) != 0) return;  // queued, and not looked at yet
  socket.references.fetch_add(ring_socket::one_event, std::memory_order_relaxed);
  event_sink& sink = *socket.sink;
  sink.inbox.push(socket);
  if (sink.touched) return;
  sink.touched = true;
  sink.next_touched = std::exchange(touched_, &sink);
}

// Both directions have an outcome.
void socket_ring::fail(ring_socket& socket) noexcept {
  socket.hung_up.store(true, std::memory_order_relaxed);
  post(socket, ring_socket::event_read | ring_socket::event_write);
}

// ---- accepting -------------------------------------------------------------------------------------------------------

void socket_ring::arm_accept(ring& on, ring_socket& listener) noexcept {
  if (listener.receive_armed) return;
  io_uring_sqe& entry = on.next_entry();
  io_uring_prep_multishot_accept(&entry, listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
  io_uring_sqe_set_data64(&entry, mark(&listener, operation::accept));
  listener.receive_armed = true;
  listener.receive_cancelled = false;
  begin(listener);
}

void socket_ring::accepted(ring& on, ring_socket& listener, const completion& what) noexcept {
  bool full = false;
  if (what.result >= 0) {
    bool kept = false;
    if (!listener.closing) {
      listener.lock.lock();
      try {
        listener.accepted.push_back(what.result);
        full = ++listener.held >= accepted_max;
        kept = true;
      } catch (const std::bad_alloc&) {
      }
      listener.lock.unlock();
    }
    if (!kept) close_with_reset(what.result);
    post(listener, ring_socket::event_read);
  }
  if (!what.is_last()) {
    if (full && !std::exchange(listener.receive_cancelled, true)) cancel(on, mark(&listener, operation::accept));
    return;
  }
  listener.receive_armed = false;
  if (!listener.closing && !swept_) {
    switch (what.result >= 0 ? ECANCELED : -what.result) {
      case ECANCELED: arm_again_or_rest(on, listener); break;
      case EAGAIN:  // a kernel that takes O_NONBLOCK at its word
        if (listener.what == ring_socket::kind::shared_listener) {
          arm_ready(on, listener);  // the flag is others' too: their accepts would wait
          break;
        }
        listener.lock.lock();
        listener.blocks = true;
        listener.lock.unlock();
        kernel::fcntl(listener.fd, F_SETFL, kernel::fcntl(listener.fd, F_GETFL) & ~O_NONBLOCK);
        arm_accept(on, listener);
        break;
      default: {
        if (what.result == -EINTR || died_in_the_queue(-what.result)) {
          arm_accept(on, listener);
          break;
        }
        listener.lock.lock();
        listener.end_code = -what.result;
        listener.receiving = false;
        listener.lock.unlock();
        post(listener, ring_socket::event_read);
      }
    }
  }
  end(on, listener);
}

void socket_ring::arm_ready(ring& on, ring_socket& listener) noexcept {
  io_uring_sqe& entry = on.next_entry();
  io_uring_prep_poll_add(&entry, listener.fd, POLLIN);
  io_uring_sqe_set_data64(&entry, mark(&listener, operation::ready));
  listener.receive_armed = true;
  listener.receive_cancelled = false;
  listener.awaits_ready = true;
  begin(listener);
}

void socket_ring::seen_ready(ring& on, ring_socket& listener) noexcept {
  listener.receive_armed = false;
  listener.awaits_ready = false;
  if (!listener.closing && !swept_) arm_accept(on, listener);
  end(on, listener);
}

// A multishot has ended although there may be more.
void socket_ring::arm_again_or_rest(ring& on, ring_socket& socket) noexcept {
  const bool listens = socket.what != ring_socket::kind::stream;
  socket.lock.lock();
  const bool again = socket.held < (listens ? accepted_max : chunks_max) / 2;
  if (!again) socket.receiving = false;
  socket.lock.unlock();
  if (!again) return;
  if (listens) {
    arm_accept(on, socket);
  } else {
    arm_receive(on, socket);
  }
}

// ---- receiving -------------------------------------------------------------------------------------------------------

void socket_ring::arm_receive(ring& on, ring_socket& socket) noexcept {
  if (socket.receive_armed || socket.starving) return;
  io_uring_sqe& entry = on.next_entry();
  io_uring_prep_recv_multishot(&entry, socket.fd, nullptr, 0, 0);
  entry.flags |= IOSQE_BUFFER_SELECT;
  entry.buf_group = buffer_ring::group;
  io_uring_sqe_set_data64(&entry, mark(&socket, operation::receive));
  socket.receive_armed = true;
  socket.receive_cancelled = false;
  begin(socket);
}

// The bytes of a completion; copied where buffers are short.
received_chunk& socket_ring::chunk_of(const completion& what) noexcept {
  received_chunk& pooled = chunks_[pool_.took(what.flags)];
  pooled.next = nullptr;
  pooled.size = static_cast<std::uint32_t>(what.result);
  if (pool_.free_approx() >= (pool_.count() + 1) / 2) return pooled;
  try {
    auto* own = new (frame_allocate(sizeof(received_chunk) + pooled.size)) received_chunk;
    auto* bytes = reinterpret_cast<std::byte*>(own + 1);
    std::memcpy(bytes, pooled.bytes, pooled.size);
    own->bytes = bytes;
    own->size = pooled.size;
    own->pooled = false;
    pool_.give(pooled.buffer);
    return *own;
  } catch (const std::bad_alloc&) {
    return pooled;
  }
}

void socket_ring::received(ring& on, ring_socket& socket, const completion& what) noexcept {
  bool full = false;
  if (what.result > 0) {
    received_chunk& chunk = chunk_of(what);
    if (socket.closing) {
      socket.unread = true;
      give_back(chunk);
    } else {
      socket.lock.lock();
      (socket.arrived == nullptr ? socket.arrived : socket.arrived_last->next) = &chunk;
      socket.arrived_last = &chunk;
      full = ++socket.held >= chunks_max;
      socket.lock.unlock();
      post(socket, ring_socket::event_read);
    }
  } else if ((what.flags & IORING_CQE_F_BUFFER) != 0) {
    pool_.give(pool_.took(what.flags));
  }
  if (!what.is_last()) {
    if (full && !std::exchange(socket.receive_cancelled, true)) cancel(on, mark(&socket, operation::receive));
    return;
  }
  socket.receive_armed = false;
  if (!socket.closing && !swept_) {
    switch (what.result > 0 ? ECANCELED : -what.result) {
      case ENOBUFS:
      case ENOMEM:
        // Without a buffer it goes on when one is there; what else the kernel lacks, it may have in a while.
        socket.starves_until_ns = pool_.free_approx() == 0 ? 0 : kernel_now_ns() + starving_retry_ns;
        socket.starving = true;  // keeps what the operation counted for
        socket.next_starving = std::exchange(starving_, &socket);
        return;
      case EAGAIN:
      case EINTR:
      case ECANCELED: arm_again_or_rest(on, socket); break;
      default: end_of_stream(socket, -what.result);
    }
  }
  end(on, socket);
}

void socket_ring::end_of_stream(ring_socket& socket, int code) noexcept {
  remember(socket, code);
  socket.lock.lock();
  socket.receiving = false;
  socket.ended = true;
  socket.end_code = code;
  socket.lock.unlock();
  if (code != 0) return fail(socket);
  socket.hung_up.store(true, std::memory_order_relaxed);
  post(socket, ring_socket::event_read);
}

// ---- connecting; watching -----------------------------------------------------------------------------------------

void socket_ring::arm_connect(ring& on, ring_socket& socket) noexcept {
  io_uring_sqe& entry = on.next_entry();
  io_uring_prep_connect(&entry, socket.fd, reinterpret_cast<const sockaddr*>(socket.connect_to), socket.connect_to_size);
  io_uring_sqe_set_data64(&entry, mark(&socket, operation::connect));
  socket.connect_armed = true;
  begin(socket);
}

void socket_ring::connected(ring& on, ring_socket& socket, const completion& what) noexcept {
  socket.connect_armed = false;
  const int code = what.result == -EISCONN ? 0 : what.result;
  if (!socket.closing && !swept_ && is_passing(-code)) {
    arm_connect(on, socket);
  } else {
    // Relaxed: who finds it finds all that there is to it. The event brings the rest (E201).
    socket.connecting.store(code, std::memory_order_relaxed);
    if (code == 0) {
      post(socket, ring_socket::event_write);
    } else {
      fail(socket);
    }
  }
  end(on, socket);
}

void socket_ring::arm_watch(ring& on) noexcept {
  io_uring_sqe& entry = on.next_entry();
  io_uring_prep_poll_multishot(&entry, watch_fd_, POLLIN);
  io_uring_sqe_set_data64(&entry, mark(nullptr, operation::watch));
  operations_++;
}

void socket_ring::watched(ring& on, const completion& what) noexcept {
  constexpr int events_max = 64;
  epoll_event events[events_max];
  for (int count = 1; count > 0 || (count < 0 && errno == EINTR);) {  // what is left there would raise no event any more
    count = kernel::epoll_wait(watch_fd_, events, events_max, 0);
    for (int i = 0; i < count; i++) {
      const epoll_event& event = events[i];
      auto& socket = *reinterpret_cast<ring_socket*>(event.data.u64 & address_mask);
      if (!try_hold(socket)) continue;
      if (socket.generation.load(std::memory_order_relaxed) == static_cast<std::uint16_t>(event.data.u64 >> generation_shift)) {
        const bool over = (event.events & (EPOLLHUP | EPOLLERR)) != 0;
        if (over || (event.events & EPOLLRDHUP) != 0) socket.hung_up.store(true, std::memory_order_relaxed);
        std::uint32_t told = 0;
        if (over || (event.events & (EPOLLIN | EPOLLRDHUP)) != 0) told |= ring_socket::event_read;
        if (over || (event.events & EPOLLOUT) != 0) told |= ring_socket::event_write;
        if (told != 0) post(socket, told);
      }
      drop_references(socket, ring_socket::one_use);
    }
  }
  if (!what.is_last()) return;
  operations_--;
  if (!swept_) arm_watch(on);
}

// ---- sending ---------------------------------------------------------------------------------------------------------

// MSG_WAITALL: one completion for all of it, unless something goes wrong in between.
void socket_ring::send(ring& on, ring_socket& socket, outgoing_bytes& bytes) noexcept {
  io_uring_sqe& entry = on.next_entry();
  const std::byte* from = bytes.bytes() + bytes.sent;
  const std::size_t size = bytes.size - bytes.sent;
  if (size >= options_.zero_copy_from && !bytes.copies) {
    io_uring_prep_send_zc(&entry, socket.fd, from, size, MSG_NOSIGNAL | MSG_WAITALL, 0);
  } else {
    io_uring_prep_send(&entry, socket.fd, from, size, MSG_NOSIGNAL | MSG_WAITALL);
  }
  io_uring_sqe_set_data64(&entry, mark(&bytes, operation::send));
  bytes.in_flight++;
  socket.sends++;
  begin(socket);
}

void socket_ring::sent(ring& on, outgoing_bytes& bytes, const completion& what) noexcept {
  ring_socket& socket = *bytes.socket;
  if ((what.flags & IORING_CQE_F_NOTIF) == 0) {  // otherwise it tells only that the kernel has let go of the bytes
    if (what.result > 0) bytes.sent += static_cast<std::uint32_t>(what.result);
    const bool refused = !bytes.copies && is_refusal_without_copy(-what.result);
    if (refused) bytes.copies = true;
    const bool failed = what.result < 0 && !is_passing(-what.result) && !refused;
    if (failed || bytes.sent == bytes.size) {
      bytes.done = true;
      finish_send(socket, failed ? -what.result : 0);
    } else if (socket.aborting || swept_) {
      bytes.done = true;
      finish_send(socket, ECANCELED);
    } else {
      send(on, socket, bytes);
    }
  }
  if (!what.is_last()) {
    if (socket.closing) advance_close(on, socket);
    return;
  }
  socket.sends--;
  if (--bytes.in_flight == 0 && bytes.done) free_outgoing(bytes);
  end(on, socket);
}

void socket_ring::finish_send(ring_socket& socket, int code) noexcept {
  socket.out = nullptr;
  if (code == 0) {
    if (socket.end_wanted) kernel::shutdown(socket.fd, SHUT_WR);
  } else {
    socket.send_code = code;
    remember(socket, code);
  }
  socket.sending.store(false, std::memory_order_release);  // E203 release.
  if (code == 0) {
    post(socket, ring_socket::event_write);
  } else {
    fail(socket);
  }
}

// ---- closing ---------------------------------------------------------------------------------------------------------

void socket_ring::linger(ring_socket& socket) noexcept {
  try {
    lingering_.push_back(&socket);
  } catch (const std::bad_alloc&) {
    socket.aborting = true;
    reset_on_close(socket.fd);
    return;
  }
  socket.lingering = true;
  socket.linger_index = static_cast<std::uint32_t>(lingering_.size() - 1);
  const std::int64_t now_ns = kernel_now_ns();
  socket.linger_due_ns = now_ns + (ending_ ? linger_at_end_ns : linger_ns);
  if (lingering_.size() == 1) linger_look_at_ns_ = now_ns + linger_look_ns;
}

// Those whose time is over.
void socket_ring::end_lingering(ring& on, std::int64_t now_ns) noexcept {
  if (now_ns < linger_look_at_ns_) return;
  linger_look_at_ns_ = now_ns + linger_look_ns;
  for (std::size_t i = lingering_.size(); i-- > 0;) {
    ring_socket& socket = *lingering_[i];
    if (socket.linger_due_ns > now_ns) continue;
    stop_lingering(socket);  // the last one, which was looked at, takes its place
    socket.aborting = true;
    reset_on_close(socket.fd);
    advance_close(on, socket);
  }
}

void socket_ring::stop_lingering(ring_socket& socket) noexcept {
  lingering_[socket.linger_index] = lingering_.back();
  lingering_[socket.linger_index]->linger_index = socket.linger_index;
  lingering_.pop_back();
  socket.lingering = false;
}

// A closed socket: takes the next step, the last one when nothing is in flight.
void socket_ring::advance_close(ring& on, ring_socket& socket) noexcept {
  if (!std::exchange(socket.cancelled, true)) {
    const bool accepts = socket.what == ring_socket::kind::listener || socket.what == ring_socket::kind::shared_listener;
    const operation armed = socket.awaits_ready ? operation::ready : accepts ? operation::accept : operation::receive;
    if (socket.receive_armed) cancel(on, mark(&socket, armed));
    if (socket.connect_armed) cancel(on, mark(&socket, operation::connect));
    if (socket.sends != 0 && !socket.aborting) linger(socket);
  }
  if (socket.sends == 0 && socket.lingering) stop_lingering(socket);
  if (socket.out != nullptr) {
    if (socket.aborting && !std::exchange(socket.send_cancelled, true)) cancel(on, mark(socket.out, operation::send));
    return;
  }
  // What was sent without a copy is let go of when the peer has got it, which may be never, or by a reset.
  if (socket.in_flight == (socket.aborting ? socket.sends : 0)) finish_close(socket);
}

void socket_ring::finish_close(ring_socket& socket) noexcept {
  if (std::exchange(socket.closed, true)) return;
  // What was told to no one any more.
  while (socket.arrived != nullptr) {
    give_back(*std::exchange(socket.arrived, socket.arrived->next));
    socket.unread = true;
  }
  for (const int fd : socket.accepted) close_with_reset(fd);
  std::vector<int>().swap(socket.accepted);
  if (socket.connect_to != nullptr) frame_free(std::exchange(socket.connect_to, nullptr), sizeof(sockaddr_storage));
  if (socket.unread) reset_on_close(socket.fd);
  kernel::close(socket.fd);
  drop_references(socket, ring_socket::one_use);
}

}  // namespace levity::detail
