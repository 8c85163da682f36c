#pragma once

// epoll_reactor: sockets over epoll, edge-triggered, each registered once for both directions.
//
// The event's data word carries the endpoint's address and, in its upper 16 bits, its generation: a batch that was fetched
// before a close() finds out. Descriptors are close-on-exec: a child that kept one open would keep its registration alive.
// The doorbell is an eventfd watched edge-triggered and never read: each write is an edge. A reactor that this one attends to is an
// epoll descriptor watched level-triggered, readable until a poll has taken what there is; its data word is its number.

#include <memory>

#include "levity/base/atomic.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0::detail {

class epoll_reactor final : public reactor {
public:
  /// Fails when the kernel refuses a descriptor. One that is `embedded` in another loop has wake_at(), and a descriptor more for
  /// it.
  static io_result<std::unique_ptr<epoll_reactor>> create(bool embedded = false) noexcept;
  ~epoll_reactor() override;

  std::int64_t now_ns() noexcept override { return kernel_now_ns(); }

  void poll(const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept override;
  void ring() noexcept override;
  int pollable_fd() const noexcept override { return poll_fd_; }
  void wake_at(std::int64_t due_ns) noexcept override;
  io_result<void> invite(const poll_lease& held, int fd, poll_guest& comes) noexcept override;
  io_result<void> attend(reactor& rested, unsigned number) noexcept override;
  void dismiss(reactor& rested) noexcept override;

  io_result<endpoint*> listen(const listen_request& request) noexcept override;
  io_result<endpoint*> adopt_listener(int fd) noexcept override { return watch(fd, true); }
  io_result<endpoint*> adopt(int fd) noexcept override;
  io_result<endpoint*> try_accept(endpoint& listener, reactor& home) noexcept override;
  io_result<endpoint*> start_connect(const address& to) noexcept override;
  io_result<void> finish_connect(endpoint& socket) noexcept override;
  io_result<std::size_t> try_read(endpoint& socket, std::span<std::byte> into) noexcept override;
  io_result<std::size_t> try_write(endpoint& socket, std::span<const iovec> from) noexcept override;
  io_result<void> shutdown_write(endpoint& socket) noexcept override;
  void close(endpoint& socket, bool abort) noexcept override;
  bool lends_descriptor(const endpoint&) const noexcept override { return true; }
  address local_address(const endpoint& socket) const noexcept override;
  address peer_address(const endpoint& socket) const noexcept override;
  io_result<void> set_option(endpoint& socket, int level, int option, int value) noexcept override;
  std::uint64_t endpoints_approx() const noexcept override { return open_.load(std::memory_order_relaxed); }

private:
  epoll_reactor(int poll_fd, int bell_fd) noexcept : reactor(kernel_now_ns()), poll_fd_(poll_fd), bell_fd_(bell_fd) {}

  io_result<endpoint*> watch(int fd, bool listener) noexcept;

  const int poll_fd_;
  const int bell_fd_;
  int timer_fd_ = -1;  // of one that is embedded
  atomic<std::uint64_t> open_{0};
};

}  // namespace levity::detail
