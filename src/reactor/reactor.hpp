#pragma once

// reactor: turns what happens in the world into a list of ready tasks. It does not run them and does not choose a worker.
//
// The seam of the house: everything a task can observe of the world (time, sockets, their order) comes through this interface,
// so that the same service runs on a kernel or from a seed.
//
// Three groups of functions
//   polling    only with the reactor's lease in hand
//   timers     any thread; the wheel has its own lock
//   sockets    any thread; try_ functions never block: they answer io_failure::would_block
//
// Contract for a backend (reactor_contract_test.cpp runs over all of them)
//   after try_read or try_write answered would_block, or moved less than was asked, or all that there was (endpoint::took_all), an
//   event follows as soon as more can be moved; an event for bytes, end of stream or failure that came before the attempt was
//   answered by it
//   once a socket has hung up, `hung_up` is set before its event
//   a reset is a reset to every attempt after it, whoever met it first: a torn stream never looks like a finished one; nor does a
//   finished one look torn, when a write that came after the peer's end has broken the connection
//   ring() ends the current wait, or the next one, at once
//   what would end a wait in a reactor that is attended to ends a wait in the one that attends to it, once `news` names it
//   close() never blocks, and no event reaches the endpoint's next user but a harmless "ready"

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/base/address.hpp"
#include "platform/socket.hpp"
#include "reactor/endpoint.hpp"
#include "reactor/news_set.hpp"
#include "reactor/poll_lease.hpp"
#include "reactor/ready_batch.hpp"
#include "reactor/timer_wheel.hpp"

namespace levity::inline v0::detail {

/// What the holder of a slot carries on beside the sockets of its reactor, on a descriptor of its own: operations on files. All
/// functions but enter() by who holds the slot.
struct poll_guest {
  /// Adds the tasks whose operations have completed, as far as there is room. With the lease. Cheap when there are none.
  virtual void collect(ready_batch& ready) noexcept = 0;
  /// Whether collect() would find something, or there was no room for all.
  [[nodiscard]] virtual bool has_more() const noexcept = 0;
  /// Something waits to be begun: prepare() and enter(), or hand_over().
  [[nodiscard]] virtual bool has_waiting() const noexcept = 0;
  virtual void prepare() noexcept = 0;
  /// May block; then the slot, and the guest with it, may be another's meanwhile.
  virtual void enter() noexcept = 0;
  /// Has it done by somebody else.
  virtual void hand_over() noexcept = 0;

  /// Operations that were prepared and not collected.
  atomic<std::uint32_t> in_flight{0};

protected:
  ~poll_guest() = default;
};

struct simulated_datagrams;
struct simulated_unix;

struct reactor : time_source {
  explicit reactor(std::int64_t start_ns) noexcept : wheel(start_ns) {}
  reactor(const reactor&) = delete;
  reactor& operator=(const reactor&) = delete;
  virtual ~reactor() = default;

  // -- polling -------------------------------------------------------------------------------------------------------
  lease_word lease;

  /// Waits for events until `until_ns` (0: does not wait; timer_wheel::never_ns: for ever) and adds the tasks they made
  /// ready. Timers are the caller's business.
  virtual void poll(const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept = 0;

  /// Ends the wait of whoever polls, or the next one. Any thread.
  virtual void ring() noexcept = 0;

  /// A descriptor that is readable while a poll would find something, for a loop that is not ours; -1 if there is none.
  [[nodiscard]] virtual int pollable_fd() const noexcept { return -1; }
  /// Makes that descriptor readable at `due_ns` (timer_wheel::never_ns: not because of the time).
  virtual void wake_at([[maybe_unused]] std::int64_t due_ns) noexcept {}

  /// From now on a poll ends when `fd` becomes readable, and collects from the guest. The descriptor stays the guest's; it is
  /// watched until it is closed.
  virtual io_result<void> invite([[maybe_unused]] const poll_lease& held, [[maybe_unused]] int fd,
                                 [[maybe_unused]] poll_guest& comes) noexcept {
    return std::unexpected(io_error{io_failure::unsupported, 0, "operations beside the sockets"});
  }
  /// With the lease, or when nobody polls any more. Null: none.
  poll_guest* guest = nullptr;

  /// Nobody will sleep in `rested`, of the same kind, until dismiss(): what would end its wait ends that of this reactor, where
  /// `news` tells it by that number, 1 to 255. Whoever finds it there polls `rested`, without waiting, as often as it is told. A
  /// reactor has the same number each time. Any thread that holds the slot of `rested`.
  virtual io_result<void> attend([[maybe_unused]] reactor& rested, [[maybe_unused]] unsigned number) noexcept {
    return std::unexpected(io_error{io_failure::unsupported, 0, "attending to a reactor"});
  }
  /// Any thread that holds the slot of `rested`. A number that was told before may still be taken.
  virtual void dismiss([[maybe_unused]] reactor& rested) noexcept {}
  news_set news;

  // -- timers --------------------------------------------------------------------------------------------------------
  timer_wheel wheel;

  // -- sockets -------------------------------------------------------------------------------------------------------
  virtual io_result<endpoint*> listen(const listen_request& request) noexcept = 0;
  /// Watches a listening socket that was opened before this reactor; takes the descriptor over, also when it fails.
  virtual io_result<endpoint*> adopt_listener(int fd) noexcept = 0;
  /// Watches a descriptor that is no socket of this interface's making, but tells when it is readable or writable: a pipe, an
  /// eventfd, a pidfd. Takes it over, also when it fails: permission for what cannot wait (files), unsupported in a simulated
  /// world. Who adopted it makes the attempts.
  virtual io_result<endpoint*> adopt(int fd) noexcept = 0;
  /// The accepted endpoint is watched by `home`, a reactor of the same kind.
  virtual io_result<endpoint*> try_accept(endpoint& listener, reactor& home) noexcept = 0;
  /// Starts a connection; it is established when `writing` becomes ready and finish_connect() agrees.
  virtual io_result<endpoint*> start_connect(const address& to) noexcept = 0;
  virtual io_result<void> finish_connect(endpoint& socket) noexcept = 0;
  virtual io_result<std::size_t> try_read(endpoint& socket, std::span<std::byte> into) noexcept = 0;
  virtual io_result<std::size_t> try_write(endpoint& socket, std::span<const iovec> from) noexcept = 0;
  virtual io_result<void> shutdown_write(endpoint& socket) noexcept = 0;
  /// Closes at once and in order; `abort` resets the connection instead.
  virtual void close(endpoint& socket, bool abort) noexcept = 0;
  /// Whether bytes may be moved by system calls on the endpoint's descriptor, beside the functions above.
  virtual bool lends_descriptor(const endpoint& socket) const noexcept = 0;
  virtual address local_address(const endpoint& socket) const noexcept = 0;
  virtual address peer_address(const endpoint& socket) const noexcept = 0;
  /// TCP_NODELAY, SO_KEEPALIVE, SO_RCVBUF, SO_SNDBUF by their names in <sys/socket.h>; a backend may ignore what it cannot do.
  virtual io_result<void> set_option(endpoint& socket, int level, int option, int value) noexcept = 0;

  // -- what a run is told apart by -----------------------------------------------------------------------------------
  /// Of a simulated run: something was chosen, or a timer set. Two runs are the same if they were told the same.
  virtual void trace([[maybe_unused]] std::uint64_t word) noexcept {}
  // -- sockets that are no streams of TCP ----------------------------------------------------------------------------
  // Null: they are descriptors of the kernel's, which adopt() watches, and who adopted them makes the attempts. Else nobody has a
  // descriptor, and attempts are made there.
  simulated_datagrams* datagrams = nullptr;
  simulated_unix* unix_sockets = nullptr;

  /// Endpoints that are open on this reactor.
  [[nodiscard]] virtual std::uint64_t endpoints_approx() const noexcept = 0;
};

}  // namespace levity::detail
