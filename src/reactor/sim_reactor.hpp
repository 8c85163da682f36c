#pragma once

// sim_reactor: an in-memory network in virtual time. Everything it decides is drawn from one seed, so a run of a whole
// service can be repeated exactly, on any machine and compiler.
//
// Why its own network and not a mocked kernel: what a service gets wrong lies in orders and in partial transfers that a
// kernel on one machine hardly ever shows. This one shows them all the time: reads and writes are cut short, attempts are
// refused although they could succeed, events come late, in any order, and sometimes for nothing. All of it is within the
// contract of reactor.hpp and never beyond it: an event that the contract does not promise is dropped half of the time.
//
// Model
//   time      stands still while tasks run. A poll that finds nothing jumps to the next arrival or to its limit; a poll that
//             does not wait moves the clock by a few microseconds, so that a task that is always ready cannot stop it.
//             The calendar begins at a fixed moment and goes with it.
//   chance    what the program draws for itself (draw_seed) comes from the same seed, by a generator of its own: a service that
//             draws once more meets the same network
//   segment   data, FIN, RST or an acknowledged connection, on its way to one socket; arrives in the order it was sent, after
//             a latency drawn for each
//   window    how many bytes may be on the way to, or unread at, the peer; room comes back when the peer's credit arrives
//   event     a socket that more can be moved on is `pending`; a poll delivers the pending sockets in a drawn order
//
// States of a stream, and who moves them
//   connecting   start_connect(); the request arrives at a listener or is refused
//   open         the acknowledgement arrives (client) or the request did (server)
//   broken       a reset arrived; what came before it can still be read, then every attempt says reset
//   orphan       close(): what arrives is answered by a reset, until both ends have been heard of
//
// Equations (check_invariants)
//   unacknowledged bytes of a socket = bytes on the way to its peer + unread there + credits on their way back
//   open endpoints = sockets that are watched
//
// Edges
//   E70  ring() -> poll: what the ringing thread did before is visible to who polls. Nothing else here is shared: a simulated
//        runtime has one thread.
//
// A poll for ever with nothing on its way can only end by ring() from a foreign thread, and a simulated world has none to
// wait for: that is a deadlock of the simulated program, and reported as one, with what `on_deadlock` has to say.

#include <cstdint>
#include <functional>
#include <memory>

#include "levity/base/atomic.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0::detail {

class sim_reactor final : public reactor {
public:
  /// When a run begins, by the calendar: 2026-01-01T00:00:00Z.
  static constexpr std::int64_t wall_start_ns = 1'767'225'600'000'000'000;

  explicit sim_reactor(std::uint64_t seed);
  ~sim_reactor() override;

  std::int64_t now_ns() noexcept override;
  std::int64_t wall_ns() noexcept override;
  std::uint64_t draw_seed() noexcept override;

  void poll(const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept override;
  void ring() noexcept override;

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
  bool lends_descriptor(const endpoint&) const noexcept override { return false; }
  address local_address(const endpoint& socket) const noexcept override;
  address peer_address(const endpoint& socket) const noexcept override;
  /// SO_SNDBUF and SO_RCVBUF set the window; other options are taken and ignored.
  io_result<void> set_option(endpoint& socket, int level, int option, int value) noexcept override;
  std::uint64_t endpoints_approx() const noexcept override;

  /// Called before a deadlock ends the process, after the line that reports it: for a dump of the tasks, which a reactor does not
  /// know.
  std::function<void()> on_deadlock;

  /// Sums up every decision, byte and point in time so far: two runs are the same if and only if (up to 2^-64) this is.
  [[nodiscard]] std::uint64_t trace_hash() const noexcept;

  void check_invariants() const noexcept;

private:
  class world;
  const std::unique_ptr<world> world_;
  atomic<bool> rung_{false};
};

/// A reactor over an in-memory network in virtual time; everything it decides is drawn from `seed`.
std::unique_ptr<reactor> make_sim_reactor(std::uint64_t seed);

}  // namespace levity::detail
