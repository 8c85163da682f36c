#pragma once

// ring_reactor: sockets over io_uring. The second backend of the runtime; docs/design/0012 says when to choose it.
//
// The ring belongs to a thread that never runs user code (socket_ring); all reactors of a runtime share it. What happens there
// becomes bits of a socket's `events` and a place in the inbox of the reactor that watches it; whoever polls takes the
// inbox, turns bits into events of the park words (E8), and tasks that were parked there into ready ones.
//
// The interface is made of attempts, io_uring of operations; between them stand, a socket each
//   received chunks   at most `chunks_max` and what the kernel delivers before a cancel takes effect
//   taken-over bytes  at most `taken_over_max` of a write
//
// try_read copies from chunks into the caller's memory: one copy more than epoll's read. To hand the ring's buffer to the caller
// instead would save it for read_some(), whose result is a view; but then a reader that keeps its view keeps a buffer from all
// others, and the bound above would be the user's to keep.
//
// try_write makes the attempt itself, by one system call that does not wait, as epoll does: mostly the socket takes everything,
// and a hop to another thread would cost more than the call. What the socket does not take is taken over into memory of the
// runtime, up to a bound, and the ring thread sends it, while further attempts would block. Rejected
//   pinning the caller's memory until the kernel has let go of it: a write with a deadline could not end before a silent peer
//   answers, a cancelled one neither
//   waiting for room (a poll for POLLOUT): one wake-up of the writer more for each time the socket was full
//   all sends by the ring thread: a copy and two hops for each
//
// Where a poller sleeps, and how it is woken, is poll_sleep.hpp's.

#include <memory>

#include "levity/base/atomic.hpp"
#include "reactor/epoll_reactor.hpp"
#include "reactor/reactor.hpp"
#include "reactor/ring/poll_sleep.hpp"
#include "reactor/ring/socket_ring.hpp"

namespace levity::inline v0::detail {

class ring_reactor final : public reactor, event_sink {
public:
  /// `hosted`: a loop of the caller's own watches pollable_fd().
  static io_result<std::unique_ptr<ring_reactor>> create(std::shared_ptr<socket_ring> shared, bool hosted) noexcept;
  ~ring_reactor() override;

  std::int64_t now_ns() noexcept override { return kernel_now_ns(); }

  void poll(const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept override;
  void ring() noexcept override { sleep_.ring(); }
  int pollable_fd() const noexcept override { return host_ != nullptr ? host_->pollable_fd() : -1; }
  void wake_at(std::int64_t due_ns) noexcept override;
  io_result<void> attend(reactor& rested, unsigned number) noexcept override;
  void dismiss(reactor& rested) noexcept override;

  io_result<endpoint*> listen(const listen_request& request) noexcept override;
  io_result<endpoint*> adopt_listener(int fd) noexcept override;
  io_result<endpoint*> adopt(int fd) noexcept override;
  io_result<endpoint*> try_accept(endpoint& listener, reactor& home) noexcept override;
  io_result<endpoint*> start_connect(const address& to) noexcept override;
  io_result<void> finish_connect(endpoint& socket) noexcept override;
  io_result<std::size_t> try_read(endpoint& socket, std::span<std::byte> into) noexcept override;
  io_result<std::size_t> try_write(endpoint& socket, std::span<const iovec> from) noexcept override;
  io_result<void> shutdown_write(endpoint& socket) noexcept override;
  void close(endpoint& socket, bool abort) noexcept override;
  bool lends_descriptor(const endpoint& socket) const noexcept override { return socket.adopted; }
  address local_address(const endpoint& socket) const noexcept override;
  address peer_address(const endpoint& socket) const noexcept override;
  io_result<void> set_option(endpoint& socket, int level, int option, int value) noexcept override;
  std::uint64_t endpoints_approx() const noexcept override { return open_.load(std::memory_order_relaxed); }

private:
  ring_reactor(std::shared_ptr<socket_ring> shared, std::unique_ptr<epoll_reactor> host) noexcept
      : reactor(kernel_now_ns()), ring_(std::move(shared)), host_(std::move(host)), sleep_(host_.get()) {}

  io_result<ring_socket*> open(int fd, ring_socket::kind what) noexcept;
  bool deliver(ready_batch& ready) noexcept;
  void sleep_until(const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept;
  void wake() noexcept override { sleep_.wake(); }
  bool drop_unread(ring_socket& socket) noexcept;

  const std::shared_ptr<socket_ring> ring_;
  const std::unique_ptr<epoll_reactor> host_;

  ring_socket* undelivered_ = nullptr;  // under the lease: events that found no room
  poll_sleep sleep_;
  atomic<std::uint64_t> open_{0};
};

}  // namespace levity::detail
