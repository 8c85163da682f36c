#pragma once

// sim_reactor: the reactor of one simulated host over a sim_network.
//
// Time. Of a program that is simulated alone time stands still while tasks run. A poll that finds nothing jumps to the next
// arrival or to its limit; a poll that does not wait moves the clock by a few microseconds, so that a task that is always ready
// cannot stop it. The calendar begins at a fixed moment and goes with it. The host of a world never waits in a poll: its world
// moves the clock, and asks when it wants to be woken; its clocks are a sim_clock.
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
#include "reactor/sim/sim_clock.hpp"
#include "reactor/sim/sim_network.hpp"

namespace levity::inline v0::detail {

class sim_reactor final : public reactor {
public:
  /// When a run begins, by the calendar: 2026-01-01T00:00:00Z.
  static constexpr std::int64_t wall_start_ns = 1'767'225'600'000'000'000;

  /// Those that go with the network from now on, by the calendar, too.
  [[nodiscard]] static sim_clock right_clocks(const sim_network& by) noexcept {
    return {.base_ns = by.now_ns(), .own_ns = by.now_ns(), .wall_ns = wall_start_ns + by.now_ns() - sim_network::start_ns};
  }

  /// Alone.
  explicit sim_reactor(std::uint64_t seed);
  /// Of a host in a world, which outlives it; with the clocks that the host has.
  sim_reactor(sim_network& shared, sim_network::site_number site, const sim_clock& clocks);
  /// The same with clocks that are right.
  sim_reactor(sim_network& shared, sim_network::site_number site) : sim_reactor(shared, site, right_clocks(shared)) {}
  ~sim_reactor() override;

  std::int64_t now_ns() noexcept override;
  std::int64_t wall_ns() noexcept override;
  std::uint64_t draw_seed() noexcept override { return network_->draw_for_program(site_); }

  void poll(const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept override;
  void ring() noexcept override;
  void wake_at(std::int64_t due_ns) noexcept override { due_ns_ = due_ns; }

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
  /// Of those that sim_tcp knows; others are taken and ignored.
  io_result<void> set_option(endpoint& socket, int level, int option, int value) noexcept override;
  std::uint64_t endpoints_approx() const noexcept override;
  void trace(std::uint64_t word) noexcept override { network_->trace_at(site_, word); }

  /// Called before a deadlock ends the process, after the line that reports it: for a dump of the tasks, which a reactor does not
  /// know.
  std::function<void()> on_deadlock;

  [[nodiscard]] std::uint64_t trace_hash() const noexcept { return network_->trace_hash(); }
  void check_invariants() const noexcept { network_->check_invariants(); }

  // -- for the world of a host ---------------------------------------------------------------------------------------
  [[nodiscard]] sim_network& network() noexcept { return *network_; }
  [[nodiscard]] sim_network::site_number site() const noexcept { return site_; }
  /// When the host wants to be turned next, in the time of the network: now if something waits for it already.
  [[nodiscard]] std::int64_t due_ns() const noexcept {
    if (rung_.load(std::memory_order_relaxed) || network_->has_events(site_)) return network_->now_ns();
    return due_ns_ == timer_wheel::never_ns ? due_ns_ : clocks_.network_at(due_ns_);
  }
  /// From now on the host has these clocks. lv::clock is what it was, or the program would see it step (asserted).
  void set_clocks(const sim_clock& clocks) noexcept;
  /// The host is cut off, and its clock with it: it moves on by itself, to `to_ns` of its own time.
  void leave_time(std::int64_t to_ns) noexcept;
  /// The time of its own at which it wants to be woken.
  [[nodiscard]] std::int64_t own_due_ns() const noexcept { return due_ns_; }

private:
  void use_site() noexcept;

  const std::unique_ptr<sim_network> own_;  // of a program that is alone
  sim_network* const network_;
  const sim_network::site_number site_;
  sim_tcp& tcp_;
  atomic<bool> rung_{false};
  std::int64_t due_ns_ = timer_wheel::never_ns;  // in its own time

  sim_clock clocks_;
  std::int64_t left_by_ns_ = 0;  // how far it has gone by itself since the moment of clocks_
  bool left_time_ = false;
};

/// A reactor over an in-memory network in virtual time; everything it decides is drawn from `seed`.
std::unique_ptr<reactor> make_sim_reactor(std::uint64_t seed);

}  // namespace levity::detail
