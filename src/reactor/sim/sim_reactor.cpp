#include "reactor/sim/sim_reactor.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "levity/base/assert.hpp"
#include "platform/syscall.hpp"
#include "reactor/sim/sim_datagrams.hpp"
#include "reactor/sim/sim_tcp.hpp"
#include "reactor/sim/sim_unix.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::uint64_t poll_cost_ns_max = 20'000;

void report_deadlock(std::int64_t now_ns, std::uint64_t sockets) noexcept {
  std::fprintf(stderr,
               "levity: the simulated program is deadlocked %.6f s after its start: every task waits (sockets open: %llu), "
               "and no timer, segment or connection is on its way that could wake one; look for a wait whose partner has "
               "ended, or give it a deadline\n",
               static_cast<double>(now_ns - sim_network::start_ns) / 1e9, static_cast<unsigned long long>(sockets));
}

}  // namespace

std::unique_ptr<reactor> make_sim_reactor(std::uint64_t seed) { return std::make_unique<sim_reactor>(seed); }

sim_reactor::sim_reactor(std::uint64_t seed)
    : reactor(sim_network::start_ns), own_(std::make_unique<sim_network>(seed)), network_(own_.get()), site_(own_->add_site({})),
      tcp_(network_->tcp()), clocks_(right_clocks(*own_)) {
  use_site();
}

sim_reactor::sim_reactor(sim_network& shared, sim_network::site_number site, const sim_clock& clocks)
    : reactor(clocks.own_at(shared.now_ns())), network_(&shared), site_(site), tcp_(shared.tcp()), clocks_(clocks) {
  use_site();
}

sim_reactor::~sim_reactor() = default;

void sim_reactor::use_site() noexcept {
  datagrams = &network_->datagrams_of(site_);
  unix_sockets = &network_->unix_of(site_);
}

// ---- time ------------------------------------------------------------------------------------------------------------

std::int64_t sim_reactor::now_ns() noexcept {
  return left_time_ ? clocks_.own_ns + left_by_ns_ : clocks_.own_at(network_->now_ns());
}

std::int64_t sim_reactor::wall_ns() noexcept {
  return left_time_ ? clocks_.wall_ns + left_by_ns_ : clocks_.wall_at(network_->now_ns());
}

void sim_reactor::set_clocks(const sim_clock& clocks) noexcept {
  if (left_time_) return;
  LEVITY_ASSERT(clocks.own_at(network_->now_ns()) == now_ns(), "a monotonic clock is not set while a program runs by it");
  clocks_ = clocks;
}

void sim_reactor::leave_time(std::int64_t to_ns) noexcept {
  left_by_ns_ = std::max(now_ns(), to_ns) - clocks_.own_ns;
  left_time_ = true;
}

// ---- polling ---------------------------------------------------------------------------------------------------------

void sim_reactor::ring() noexcept {
  rung_.store(true, std::memory_order_release);  // E70 release.
}

void sim_reactor::poll([[maybe_unused]] const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept {
  LEVITY_DEBUG_ASSERT(held.held(), "a reactor is polled by who holds its lease");
  sim_network& net = *network_;
  const bool rung = rung_.exchange(false, std::memory_order_acquire);  // E70 acquire.
  net.trace_at(site_, static_cast<std::uint64_t>(until_ns));
  net.trace_at(site_, static_cast<std::uint64_t>(net.now_ns()));
  net.trace_at(site_, wheel.moved_sum());
  if (own_ == nullptr) {
    net.deliver_pending(site_, ready);
    return;
  }
  const bool waits = until_ns != 0 && !rung;
  net.advance(net.now_ns() + (until_ns == 0 ? static_cast<std::int64_t>(net.draw(poll_cost_ns_max)) : 0));
  for (;;) {
    if (net.deliver_pending(site_, ready) || !waits || ready.room() < 2 || until_ns <= net.now_ns()) return;
    const std::int64_t next_ns = std::min(net.next_arrival_ns(), until_ns);
    if (next_ns == timer_wheel::never_ns) {
      if (rung_.load(std::memory_order_relaxed)) return;  // by another thread; the next poll hears it (E70)
      report_deadlock(net.now_ns(), net.endpoints_of(site_));
      if (on_deadlock) on_deadlock();
      std::abort();
    }
    net.advance(next_ns);
  }
}

// ---- sockets ---------------------------------------------------------------------------------------------------------

std::uint64_t sim_reactor::endpoints_approx() const noexcept { return network_->endpoints_of(site_); }

io_result<endpoint*> sim_reactor::listen(const listen_request& request) noexcept { return tcp_.listen(site_, *this, request); }

io_result<endpoint*> sim_reactor::adopt_listener(int fd) noexcept {
  kernel::close(fd);
  return std::unexpected(io_error{
      io_failure::unsupported, 0,
      "listening in a simulated network on a socket that was bound outside of it (bind inside a task of the simulated run)"});
}

io_result<endpoint*> sim_reactor::adopt(int fd) noexcept {
  kernel::close(fd);
  return std::unexpected(io_error{io_failure::unsupported, 0, "watching a descriptor of the real world in a simulated one"});
}

io_result<endpoint*> sim_reactor::try_accept(endpoint& listener, reactor& home) noexcept {
  return tcp_.try_accept(listener, home);
}

io_result<endpoint*> sim_reactor::start_connect(const address& to) noexcept { return tcp_.start_connect(site_, *this, to); }

io_result<void> sim_reactor::finish_connect(endpoint& socket) noexcept { return tcp_.finish_connect(socket); }

io_result<std::size_t> sim_reactor::try_read(endpoint& socket, std::span<std::byte> into) noexcept {
  return tcp_.try_read(socket, into);
}

io_result<std::size_t> sim_reactor::try_write(endpoint& socket, std::span<const iovec> from) noexcept {
  return tcp_.try_write(socket, from);
}

io_result<void> sim_reactor::shutdown_write(endpoint& socket) noexcept { return tcp_.shutdown_write(socket); }

void sim_reactor::close(endpoint& socket, bool abort) noexcept { tcp_.close(socket, abort); }

address sim_reactor::local_address(const endpoint& socket) const noexcept { return tcp_.local_address(socket); }

address sim_reactor::peer_address(const endpoint& socket) const noexcept { return tcp_.peer_address(socket); }

io_result<void> sim_reactor::set_option(endpoint& socket, int level, int option, int value) noexcept {
  return tcp_.set_option(socket, level, option, value);
}

}  // namespace levity::detail
