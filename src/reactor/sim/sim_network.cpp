#include "reactor/sim/sim_network.hpp"

#include <algorithm>
#include <utility>

#include "levity/base/assert.hpp"
#include "reactor/sim/byte_words.hpp"
#include "reactor/sim/sim_address.hpp"
#include "reactor/sim/sim_datagrams.hpp"
#include "reactor/sim/sim_tcp.hpp"
#include "reactor/sim/sim_unix.hpp"

namespace levity::inline v0::detail {
namespace {

// Within a site.
constexpr std::uint64_t latency_ns_min = 5'000;
constexpr std::uint64_t latency_ns_spread = 200'000;
constexpr std::uint64_t slow_latency_ns_spread = 5'000'000;

using sim_event::can_read;
using sim_event::can_write;
using sim_event::ended;
using sim_event::failed;

}  // namespace

sim_network::sim_network(std::uint64_t seed) : seed_(seed), random_(seed), tcp_(std::make_unique<sim_tcp>(*this)) {}

sim_network::~sim_network() = default;

sim_network::site::site() = default;

sim_network::site::~site() = default;

// ---- time and chance -------------------------------------------------------------------------------------------------

// Their number is traced beside them.
void sim_network::trace_bytes(const std::byte* bytes, std::size_t size) noexcept {
  each_word({bytes, size}, [this](std::uint64_t word) noexcept { trace(word); });
}

void sim_network::trace_text(std::string_view text) noexcept {
  trace(text.size());
  trace_bytes(reinterpret_cast<const std::byte*>(text.data()), text.size());
}

std::uint64_t sim_network::draw_for_program(site_number at) noexcept {
  site& of = *sites_[at];
  const std::uint64_t drawn = of.has_process ? of.program_random() : of.dead_random();
  trace_at(at, drawn);
  return drawn;
}

std::size_t sim_network::draw_size(std::size_t most) noexcept {
  return one_in(4) ? 1 + static_cast<std::size_t>(draw(most)) : most;
}

std::int64_t sim_network::next_arrival_ns() noexcept {
  const auto is_void = [&](const arrival& each) {
    return (each.what == due::request || each.what == due::timer) && tcp_->is_void(each);
  };
  while (!arrivals_.empty() && is_void(arrivals_.top())) arrivals_.pop();
  return arrivals_.empty() ? timer_wheel::never_ns : arrivals_.top().at_ns;
}

void sim_network::advance(std::int64_t to_ns) noexcept {
  now_ns_ = std::max(now_ns_, to_ns);
  while (!arrivals_.empty() && arrivals_.top().at_ns <= now_ns_) {
    const arrival next = arrivals_.top();
    arrivals_.pop();
    arrived_++;
    if (next.what == due::datagram) {
      datagrams_of(next.site).arrive(next.to);
    } else {
      tcp_->take(next);
    }
  }
}

// ---- sites -----------------------------------------------------------------------------------------------------------

sim_network::site_number sim_network::add_site(std::vector<address> addresses) {
  const auto count = static_cast<site_number>(sites_.size());
  LEVITY_ASSERT(count == 0 || (!addresses.empty() && !sites_[0]->addresses.empty()), "of several sites each has addresses");
  for (auto& each : sites_) each->to.emplace_back();
  sites_.push_back(std::make_unique<site>());
  sites_.back()->addresses = std::move(addresses);
  sites_.back()->to.resize(count + 1);
  sites_.back()->datagrams = std::make_unique<sim_datagrams>(*this, count);
  sites_.back()->unix_sockets = std::make_unique<sim_unix>(*this, count);
  begin_life(count);
  tcp_->add_site();
  return count;
}

// Not by a draw: a host that starts once more leaves what the network draws as it is.
void sim_network::begin_life(site_number of) noexcept {
  site& begun = *sites_[of];
  const std::uint64_t life = (std::uint64_t{of} << 32 | begun.lives++) * 0xbf58476d1ce4e5b9;
  begun.program_random = rng(~seed_ ^ life);
  begun.dead_random = rng(seed_ ^ ~life);
}

void sim_network::restore(site_number of) noexcept {
  sites_[of]->has_power = sites_[of]->has_process = true;
  begin_life(of);
}

void sim_network::sever(site_number of, bool silently) noexcept {
  site& gone = *sites_[of];
  trace(std::uint64_t{of} << 1 | (silently ? 1 : 0));
  if (silently) gone.has_power = false;
  gone.has_process = false;
  gone.stale = 0;
  tcp_->sever(of, silently);
  gone.datagrams->sever();
  gone.unix_sockets->sever();
}

// ---- sockets ---------------------------------------------------------------------------------------------------------

endpoint* sim_network::watch(sim_socket& s, reactor& home) {
  endpoint& made = allocate_endpoint();
  made.fd = static_cast<int>(s.id);
  made.home = &home;
  s.watch = &made;
  site& at = *sites_[s.site];
  at.watched++;
  if (at.stale != 0) raise(s, std::exchange(at.stale, 0) & (can_read | can_write));
  return &made;
}

void sim_network::unwatch(sim_socket& s) noexcept {
  free_endpoint(*s.watch);
  s.watch = nullptr;
  site& at = *sites_[s.site];
  at.watched--;
  const bool is_on_its_way = s.pending != 0 || draw_at(s.site, 8) == 0;
  if (is_on_its_way && at.has_process) at.stale |= s.pending | s.standing() | can_read | can_write;
  if (s.pending != 0) {
    s.pending = 0;
    at.pending.erase(std::find(at.pending.begin(), at.pending.end(), &s));
  }
}

// ---- the network -----------------------------------------------------------------------------------------------------

void sim_network::push_arrival(std::int64_t at_ns, number to, due what) {
  trace(static_cast<std::uint64_t>(at_ns));
  arrivals_.push({at_ns, draw(1 << 20), next_serial_++, to, what});
}

void sim_network::push_datagram(std::int64_t at_ns, site_number to, number flight) {
  trace(static_cast<std::uint64_t>(at_ns));
  arrivals_.push({at_ns, draw(1 << 20), next_serial_++, flight, due::datagram, to});
}

bool sim_network::passes(site_number from, site_number to) noexcept {
  if (from == to) return true;
  if (to == no_site) return false;
  const sim_link& by = link(from, to);
  if (by.cut || !sites_[to]->has_power || !sites_[from]->has_power) return false;
  return by.lost_per_million == 0 || draw(1'000'000) >= by.lost_per_million;
}

bool sim_network::is_open(site_number from, site_number to) noexcept {
  return !link(from, to).cut && sites_[from]->has_power && sites_[to]->has_power;
}

std::int64_t sim_network::leave_ns(sim_link& by, std::size_t bytes) noexcept {
  std::int64_t out_ns = now_ns_;
  // What waits to get out does so as fast as the link now is.
  if (const std::uint64_t before = std::exchange(by.busy_rate, by.bytes_per_second); before != by.busy_rate) {
    const std::int64_t left_ns = std::max(by.busy_until_ns - now_ns_, std::int64_t{0});
    const bool is_kept = before > 0 && by.busy_rate > 0;
    by.busy_until_ns = now_ns_ + (is_kept ? static_cast<std::int64_t>(static_cast<double>(left_ns) * static_cast<double>(before) /
                                                                      static_cast<double>(by.busy_rate))
                                          : 0);
  }
  if (by.bytes_per_second > 0) {
    out_ns = std::max(out_ns, by.busy_until_ns) + takes_ns(by, bytes);
    by.busy_until_ns = out_ns;
  }
  return out_ns;
}

std::int64_t sim_network::draw_latency_ns(const sim_link& by) noexcept {
  return by.latency_ns + (by.jitter_ns > 0 ? static_cast<std::int64_t>(draw(static_cast<std::uint64_t>(by.jitter_ns))) : 0);
}

std::int64_t sim_network::draw_arrival_ns(site_number from, site_number to, std::size_t bytes) noexcept {
  if (from == to) {
    const std::uint64_t spread = one_in(64) ? slow_latency_ns_spread : latency_ns_spread;
    return now_ns_ + static_cast<std::int64_t>(latency_ns_min + draw(spread));
  }
  sim_link& by = link(from, to);
  const std::int64_t out_ns = leave_ns(by, bytes);
  return out_ns + draw_latency_ns(by);
}

// ---- events ----------------------------------------------------------------------------------------------------------

void sim_network::raise(sim_socket& s, unsigned what) {
  if (s.watch == nullptr) return;
  if (s.pending == 0) sites_[s.site]->pending.push_back(&s);
  s.pending |= what;
}

void sim_network::deliver(sim_socket& s, ready_batch& ready) noexcept {
  unsigned what = std::exchange(s.pending, 0) | s.standing();
  if (draw_at(s.site, 32) == 0) what |= can_read | can_write;  // for nothing: allowed
  trace_at(s.site, static_cast<std::uint64_t>(what) << 32 | s.id);
  endpoint& watched = *s.watch;
  if ((what & (ended | failed)) != 0) watched.hung_up.store(true, std::memory_order_relaxed);
  if ((what & (can_read | ended | failed)) != 0) {
    s.owes_read = false;
    task_record* reader = watched.reading.event();
    if (reader != nullptr && wake_deferred(*reader)) ready.add(*reader);
  }
  if ((what & (can_write | failed)) != 0) {
    s.owes_write = false;
    task_record* writer = watched.writing.event();
    if (writer != nullptr && wake_deferred(*writer)) ready.add(*writer);
  }
}

bool sim_network::deliver_pending(site_number to, ready_batch& ready) noexcept {
  std::vector<sim_socket*>& pending = sites_[to]->pending;
  bool delivered = false;
  while (!pending.empty() && ready.room() >= 2) {
    if (delivered && draw_at(to, 8) == 0) return true;
    delivered = true;
    const auto pick = static_cast<std::size_t>(draw_at(to, pending.size()));
    sim_socket& told = *pending[pick];
    pending[pick] = pending.back();
    pending.pop_back();
    deliver(told, ready);
  }
  return delivered;
}

// ---- addresses -------------------------------------------------------------------------------------------------------

bool sim_network::is_own(site_number at, const address& host) const noexcept {
  const std::vector<address>& own = sites_[at]->addresses;
  if (own.empty() || is_loopback(host) || is_wildcard(host)) return true;
  return std::ranges::any_of(own, [&](const address& each) { return same_host(each, host); });
}

sim_network::site_number sim_network::site_of(site_number from, const address& to) const noexcept {
  if (is_own(from, to)) return from;
  for (site_number each = 0; each < sites_.size(); each++) {
    if (each != from && is_own(each, to)) return each;
  }
  return no_site;
}

// ---- the rest --------------------------------------------------------------------------------------------------------

void sim_network::check_event(const sim_socket& s) const noexcept {
  const std::vector<sim_socket*>& pending = sites_[s.site]->pending;
  LEVITY_ASSERT((s.pending != 0) == (std::count(pending.begin(), pending.end(), &s) == 1),
                "a socket with an event is listed once");
}

void sim_network::check_invariants() const noexcept {
  std::vector<std::uint64_t> watched(sites_.size());
  tcp_->check_invariants(watched);
  for (std::size_t i = 0; i < sites_.size(); i++) {
    watched[i] += sites_[i]->datagrams->check_invariants() + sites_[i]->unix_sockets->check_invariants();
    LEVITY_ASSERT(watched[i] == sites_[i]->watched, "every open endpoint is counted once");
  }
}

}  // namespace levity::detail
