#include "reactor/sim/sim_network.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "levity/base/assert.hpp"
#include "reactor/timer_wheel.hpp"

namespace levity::inline v0::detail {
namespace {

// Within a site.
constexpr std::uint64_t latency_ns_min = 5'000;
constexpr std::uint64_t latency_ns_spread = 200'000;
constexpr std::uint64_t slow_latency_ns_spread = 5'000'000;

constexpr std::size_t window_min = 4096;
constexpr std::size_t window_max = 64 * 1024;
constexpr std::uint16_t first_free_port = 32'768;

// What a socket's pending event says.
constexpr unsigned can_read = 1;
constexpr unsigned can_write = 2;
constexpr unsigned ended = 4;   // the peer ended its side
constexpr unsigned failed = 8;  // the socket failed, or both sides have ended

io_error error_of(int code, const char* doing) noexcept { return io_error::from_errno(code, doing); }

std::span<const std::uint8_t> bytes_of(const address& host) noexcept { return {host.bytes(), host.is_v6() ? 16U : 4U}; }

bool is_wildcard(const address& at) noexcept {
  return std::ranges::all_of(bytes_of(at), [](std::uint8_t byte) { return byte == 0; });
}

bool is_loopback(const address& at) noexcept {
  const auto bytes = bytes_of(at);
  if (!at.is_v6()) return bytes[0] == 127;
  return bytes.back() == 1 && std::ranges::all_of(bytes.first(15), [](std::uint8_t byte) { return byte == 0; });
}

bool same_host(const address& a, const address& b) noexcept { return std::ranges::equal(bytes_of(a), bytes_of(b)); }

address with_port(const address& host, std::uint16_t port) noexcept {
  return address::from_bytes(host.bytes(), host.is_v6(), port);
}

}  // namespace

sim_network::sim_network(std::uint64_t seed) : random_(seed), program_random_(~seed) {}

sim_network::~sim_network() = default;

// ---- time and chance -------------------------------------------------------------------------------------------------

void sim_network::trace(std::uint64_t word) noexcept {
  hash_ = (hash_ ^ word) * 0x9e3779b97f4a7c15;
  hash_ ^= hash_ >> 29;
}

void sim_network::trace_bytes(const std::byte* bytes, std::size_t size) noexcept {
  for (; size >= 8; bytes += 8, size -= 8) {
    std::uint64_t word = 0;
    for (int i = 0; i < 8; i++) word |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    trace(word);
  }
  for (std::size_t i = 0; i < size; i++) trace(std::to_integer<std::uint64_t>(bytes[i]));
}

std::uint64_t sim_network::draw(std::uint64_t bound) noexcept {
  const std::uint64_t drawn = random_.below(bound);
  trace(drawn);
  return drawn;
}

std::uint64_t sim_network::draw_for_program() noexcept {
  const std::uint64_t drawn = program_random_();
  trace(drawn);
  return drawn;
}

// A transfer of at most `most` bytes, often cut short.
std::size_t sim_network::draw_size(std::size_t most) noexcept {
  return one_in(4) ? 1 + static_cast<std::size_t>(draw(most)) : most;
}

std::int64_t sim_network::next_arrival_ns() const noexcept {
  return arrivals_.empty() ? timer_wheel::never_ns : arrivals_.top().at_ns;
}

void sim_network::advance(std::int64_t to_ns) noexcept {
  now_ns_ = std::max(now_ns_, to_ns);
  while (!arrivals_.empty() && arrivals_.top().at_ns <= now_ns_) {
    const arrival next = arrivals_.top();
    arrivals_.pop();
    socket* to = find(next.to);
    if (to == nullptr) continue;
    if (next.is_request) {
      requested(*to);
    } else {
      next_arrival_at(*to);
    }
  }
}

// The first segment on its way to a socket is due. It may have been dropped since: then another one is first, or none.
void sim_network::next_arrival_at(socket& to) {
  if (to.inbound.empty() || to.inbound.front().arrival_ns > now_ns_) return;
  if (segment& first = to.inbound.front(); first.lost || !sites_[to.site]->has_power) {
    socket* from = find(first.from);
    if (from == nullptr || from->dark || ++first.attempts > data_retries) {
      to.inbound.clear();
      if (from != nullptr && !from->dark) break_off(*from, ETIMEDOUT);
      return;
    }
    set_off(*from, to, first);
    return push_arrival(first.arrival_ns, to.id);
  }
  const number id = to.id;
  segment what = std::move(to.inbound.front());
  to.inbound.pop_front();
  arrive(to, std::move(what));
  // What has come meanwhile had to wait for this one.
  socket* still = find(id);
  if (still != nullptr && !still->inbound.empty() && still->inbound.front().arrival_ns <= now_ns_) push_arrival(now_ns_, id);
}

// ---- sites -----------------------------------------------------------------------------------------------------------

sim_network::site_number sim_network::add_site(std::vector<address> addresses) {
  const auto count = static_cast<site_number>(sites_.size());
  LEVITY_ASSERT(count == 0 || (!addresses.empty() && !sites_[0]->addresses.empty()), "of several sites each has addresses");
  for (auto& each : sites_) each->to.emplace_back();
  sites_.push_back(std::make_unique<site>());
  sites_.back()->addresses = std::move(addresses);
  sites_.back()->to.resize(count + 1);
  return count;
}

void sim_network::sever(site_number of, bool silently) noexcept {
  site& gone = *sites_[of];
  trace(std::uint64_t{of} << 1 | (silently ? 1 : 0));
  if (silently) gone.has_power = false;
  gone.has_process = false;
  const std::vector<number> all = std::exchange(gone.sockets, {});
  for (const number id : all) {
    socket* found = find(id);
    if (found == nullptr || found->severed || found->closed) continue;
    socket& s = *found;
    if (s.listener) {
      for (const number queued : std::exchange(s.queue, {})) {
        socket* waits = find(queued);
        if (waits == nullptr) continue;
        if (!silently) send_reset(*waits);
        waits->closed = true;
        erase_if_done(*waits);
      }
      listeners_.erase(std::find(listeners_.begin(), listeners_.end(), s.id));
      s.listener = false;
    } else if (!silently && !s.connecting && !s.broken) {
      // As a process that ends: what it has not read makes a reset of it.
      if (s.unread_bytes() > 0) {
        send_reset(s);
      } else if (!s.fin_sent) {
        send(s, {.what = segment::kind::fin});
      }
    }
    s.severed = true;
    s.dark = silently;
    s.broken = true;
    s.broken_by = ECONNRESET;
    s.connecting = false;
    raise(s, can_read | can_write | ended | failed);
    erase_if_done(s);
  }
}

// ---- sockets ---------------------------------------------------------------------------------------------------------

sim_network::socket& sim_network::create(site_number at) {
  auto made = std::make_unique<socket>();
  made->id = next_id_++;
  made->site = at;
  // Most windows are wide, some are so narrow that every message is cut.
  made->window = window_min + static_cast<std::size_t>(draw(one_in(4) ? window_min : window_max));
  socket& result = *made;
  sockets_.emplace(result.id, std::move(made));
  std::vector<number>& listed = sites_[at]->sockets;
  if (listed.size() == listed.capacity()) std::erase_if(listed, [this](number id) { return find(id) == nullptr; });
  listed.push_back(result.id);
  return result;
}

sim_network::socket* sim_network::find(number id) const noexcept {
  const auto found = sockets_.find(id);
  return found != sockets_.end() ? found->second.get() : nullptr;
}

sim_network::socket& sim_network::of(const endpoint& watched) const noexcept {
  socket* found = find(static_cast<number>(watched.fd));
  LEVITY_ASSERT(found != nullptr && found->watch == &watched, "an endpoint is used only while it is open");
  return *found;
}

endpoint* sim_network::watch(socket& s, reactor& home) {
  endpoint& made = allocate_endpoint();
  made.fd = static_cast<int>(s.id);
  made.home = &home;
  s.watch = &made;
  sites_[s.site]->watched++;
  return &made;
}

void sim_network::unwatch(socket& s) noexcept {
  free_endpoint(*s.watch);
  s.watch = nullptr;
  sites_[s.site]->watched--;
  if (s.pending != 0) {
    s.pending = 0;
    std::vector<number>& pending = sites_[s.site]->pending;
    pending.erase(std::find(pending.begin(), pending.end(), s.id));
  }
}

void sim_network::erase(socket& s) noexcept {
  if (s.listener) listeners_.erase(std::find(listeners_.begin(), listeners_.end(), s.id));
  sockets_.erase(s.id);
}

// An orphan that nobody will hear of again goes away. What was severed answers for itself as long as its peer is there.
void sim_network::erase_if_done(socket& s) noexcept {
  if (s.watch != nullptr || !(s.closed || s.severed)) return;
  if (s.other == nobody || find(s.other) == nullptr || (s.fin_sent && s.fin_received)) erase(s);
}

// ---- the network -----------------------------------------------------------------------------------------------------

void sim_network::push_arrival(std::int64_t at_ns, number to, bool is_request) {
  arrivals_.push({at_ns, draw(1 << 20), next_serial_++, to, is_request});
}

// Whether a packet that is sent now gets there.
bool sim_network::passes(site_number from, site_number to) noexcept {
  if (from == to) return true;
  if (to == no_site) return false;
  const sim_link& by = link(from, to);
  if (by.cut || !sites_[to]->has_power || !sites_[from]->has_power) return false;
  return by.lost_per_million == 0 || draw(1'000'000) >= by.lost_per_million;
}

std::int64_t sim_network::draw_arrival_ns(site_number from, site_number to, std::size_t bytes) noexcept {
  if (from == to) {
    const std::uint64_t spread = one_in(64) ? slow_latency_ns_spread : latency_ns_spread;
    return now_ns_ + static_cast<std::int64_t>(latency_ns_min + draw(spread));
  }
  sim_link& by = link(from, to);
  std::int64_t out_ns = now_ns_;
  if (by.bytes_per_second > 0) {
    out_ns = std::max(out_ns, by.busy_until_ns) +
             static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(by.bytes_per_second));
    by.busy_until_ns = out_ns;
  }
  const std::int64_t jitter_ns = by.jitter_ns > 0 ? static_cast<std::int64_t>(draw(static_cast<std::uint64_t>(by.jitter_ns))) : 0;
  return out_ns + by.latency_ns + jitter_ns;
}

void sim_network::record(sim_happening::kind what, const socket& at, std::size_t bytes) const noexcept {
  if (recorder_ != nullptr) recorder_->record({what, now_ns_, at.site, at.other_site, at.peer, bytes});
}

// Says when it arrives, or when it is sent again.
void sim_network::set_off(socket& from, socket& to, segment& what) {
  what.lost = !passes(from.site, to.site);
  if (what.lost) {
    record(sim_happening::kind::lost, from, what.bytes.size());
    const std::int64_t round_trip_ns = 2 * link(from.site, to.site).latency_ns;
    what.arrival_ns = now_ns_ + retransmission_timeout_ns(what.attempts + 1U, false, round_trip_ns);
  } else {
    what.arrival_ns = draw_arrival_ns(from.site, to.site, what.bytes.size() + 40);
  }
  what.arrival_ns = std::max(what.arrival_ns, now_ns_ + 1);
}

void sim_network::send(socket& from, segment what) {
  if (what.what == segment::kind::fin) from.fin_sent = true;
  socket* there = find(from.other);
  if (there == nullptr || from.dark) return;
  what.from = from.id;
  set_off(from, *there, what);
  what.arrival_ns = std::max(what.arrival_ns, there->last_arrival_ns + 1);
  there->last_arrival_ns = what.arrival_ns;
  const std::int64_t arrival_ns = what.arrival_ns;
  there->inbound.push_back(std::move(what));
  push_arrival(arrival_ns, there->id);
}

// A reset overtakes, or not, what is still on its way; never only a part: an end of stream must stand for all bytes. It is sent once.
void sim_network::send_reset(socket& from) {
  socket* there = find(from.other);
  if (there == nullptr || !passes(from.site, there->site)) return;
  const auto stops = [](const segment& each) { return each.lost; };
  if (one_in(2) || std::ranges::any_of(there->inbound, stops)) {
    std::erase_if(there->inbound, [](const segment& each) {
      return each.what == segment::kind::data || each.what == segment::kind::fin || each.lost;
    });
  }
  segment what{.what = segment::kind::rst, .from = from.id};
  what.arrival_ns = std::max(draw_arrival_ns(from.site, there->site, 40), now_ns_ + 1);
  if (!there->inbound.empty()) what.arrival_ns = std::max(what.arrival_ns, there->inbound.back().arrival_ns + 1);
  there->last_arrival_ns = what.arrival_ns;
  const std::int64_t arrival_ns = what.arrival_ns;
  there->inbound.push_back(std::move(what));
  push_arrival(arrival_ns, there->id);
}

// Asks the other site for a connection, once more.
void sim_network::request(socket& client) {
  client.request_lost = !passes(client.site, client.other_site);
  if (client.request_lost) record(sim_happening::kind::unanswered, client);
  client.requests++;
  const std::int64_t at_ns = client.request_lost ? now_ns_ + retransmission_timeout_ns(client.requests, true, 0)
                                                 : draw_arrival_ns(client.site, client.other_site, 40);
  push_arrival(std::max(at_ns, now_ns_ + 1), client.id, true);
}

void sim_network::requested(socket& client) {
  if (!client.connecting || client.closed || client.severed || client.other != nobody) return;
  trace(client.id);
  if (client.request_lost) {
    if (client.requests > connect_retries) return break_off(client, ETIMEDOUT);
    return request(client);
  }
  socket* listener = sites_[client.other_site]->has_process ? listener_at(client.other_site, client.peer) : nullptr;
  const bool is_full = listener != nullptr && listener->queue.size() >= listener->backlog;
  if (is_full && client.site != client.other_site) {  // no answer: the client asks again
    client.request_lost = true;
    return push_arrival(now_ns_ + retransmission_timeout_ns(client.requests, true, 0), client.id, true);
  }
  if (listener == nullptr || is_full) return refuse(client);
  socket& server = create(listener->site);
  server.local = client.peer;
  server.peer = client.local;
  server.other = client.id;
  server.other_site = client.site;
  client.other = server.id;
  record(sim_happening::kind::connected, server);
  listener->queue.push_back(server.id);
  send(server, {.what = segment::kind::established});
  if (listener->owes_read || one_in(2)) raise(*listener, can_read);
}

// By its site, on behalf of a socket that is not there.
void sim_network::refuse(socket& client) {
  if (!passes(client.other_site, client.site)) {
    client.request_lost = true;
    return push_arrival(now_ns_ + retransmission_timeout_ns(client.requests, true, 0), client.id, true);
  }
  segment what{.what = segment::kind::rst};
  what.arrival_ns = std::max(draw_arrival_ns(client.other_site, client.site, 40), client.last_arrival_ns + 1);
  client.last_arrival_ns = what.arrival_ns;
  push_arrival(what.arrival_ns, client.id);
  client.inbound.push_back(std::move(what));
}

// Nothing can be sent or will come any more.
void sim_network::break_off(socket& s, int error) {
  trace(static_cast<std::uint64_t>(error) << 32 | s.id);
  const bool is_heard = !s.closed && !s.severed;
  if (is_heard) {
    record(error == ETIMEDOUT      ? sim_happening::kind::timed_out
           : error == ECONNREFUSED ? sim_happening::kind::refused
                                   : sim_happening::kind::reset,
           s);
  }
  s.error = error;
  s.broken_by = error;
  s.connecting = false;
  s.broken = true;
  s.other = nobody;
  if (!is_heard) return erase_if_done(s);
  raise(s, can_read | can_write | ended | failed);
}

void sim_network::arrive(socket& s, segment what) {
  trace(static_cast<std::uint64_t>(what.what) << 32 | s.id);
  // Who has closed, or has lost its process, wants nothing more.
  const auto answers_reset = [&] {
    if (!s.closed && !s.severed) return false;
    send_reset(s);
    s.other = nobody;
    erase_if_done(s);
    return true;
  };
  switch (what.what) {
    case segment::kind::established:
      s.connecting = false;
      if (answers_reset()) return;
      return raise(s, can_write);
    case segment::kind::data:
      if (answers_reset()) return;
      if (s.unread_from == s.unread.size()) {
        s.unread.clear();
        s.unread_from = 0;
      }
      s.unread.insert(s.unread.end(), what.bytes.begin(), what.bytes.end());
      if (s.owes_read || one_in(2)) raise(s, can_read);
      return;
    case segment::kind::credit:
      if (s.severed) return;
      LEVITY_ASSERT(s.unacknowledged >= what.credit, "a peer reads no more than was sent");
      s.unacknowledged -= what.credit;
      if (s.owes_write) raise(s, can_write);
      return;
    case segment::kind::fin:
      if (s.dark && answers_reset()) return;
      s.fin_received = true;
      if (s.closed) return erase_if_done(s);
      return raise(s, can_read | ended | (s.fin_sent ? failed : 0));
    case segment::kind::rst:
      return break_off(s, s.connecting ? ECONNREFUSED : s.fin_received && !s.fin_sent ? EPIPE : ECONNRESET);
  }
}

// ---- events ----------------------------------------------------------------------------------------------------------

void sim_network::raise(socket& s, unsigned what) {
  if (s.watch == nullptr) return;
  if (s.pending == 0) sites_[s.site]->pending.push_back(s.id);
  s.pending |= what;
}

bool sim_network::more_to_read(const socket& s) noexcept {
  return s.listener ? !s.queue.empty() : s.unread_bytes() > 0 || s.fin_received || s.broken;
}

bool sim_network::more_to_write(const socket& s) noexcept {
  return !s.connecting && (s.broken || s.unacknowledged < s.window);
}

// After an attempt that moved less than was asked: an event is owed, at once if more can be moved.
void sim_network::owe_read(socket& s) {
  s.owes_read = true;
  if (more_to_read(s)) raise(s, can_read | flags(s));
}

void sim_network::owe_write(socket& s) {
  s.owes_write = true;
  if (more_to_write(s)) raise(s, can_write | flags(s));
}

unsigned sim_network::flags(const socket& s) noexcept {
  return (s.fin_received ? ended : 0) | (s.broken || (s.fin_received && s.fin_sent) ? failed : 0);
}

void sim_network::deliver(socket& s, ready_batch& ready) noexcept {
  unsigned what = std::exchange(s.pending, 0) | flags(s);
  if (one_in(32)) what |= can_read | can_write;  // for nothing: allowed
  trace(static_cast<std::uint64_t>(what) << 32 | s.id);
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
  std::vector<number>& pending = sites_[to]->pending;
  bool delivered = false;
  while (!pending.empty() && ready.room() >= 2) {
    if (delivered && one_in(8)) return true;
    delivered = true;
    const auto pick = static_cast<std::size_t>(draw(pending.size()));
    const number id = pending[pick];
    pending[pick] = pending.back();
    pending.pop_back();
    deliver(*find(id), ready);
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

bool sim_network::taken(site_number at, const address& wanted, bool reuse_port) const noexcept {
  return std::any_of(listeners_.begin(), listeners_.end(), [&](number id) {
    const socket& other = *find(id);
    if (other.site != at || other.local.port() != wanted.port() || other.local.is_v6() != wanted.is_v6()) return false;
    if (reuse_port && other.reuse_port) return false;
    return is_wildcard(wanted) || is_wildcard(other.local) || same_host(wanted, other.local);
  });
}

// A port nobody listens on; 0 if there is none.
std::uint16_t sim_network::free_port(site_number at, const address& host) noexcept {
  constexpr unsigned ports = 65'536 - first_free_port;
  for (unsigned tries = 0; tries < ports; tries++) {
    const auto port = static_cast<std::uint16_t>(first_free_port + sites_[at]->next_port++ % ports);
    if (!taken(at, with_port(host, port), false)) return port;
  }
  return 0;
}

// Who listens at `wanted`; among several, the seed chooses.
sim_network::socket* sim_network::listener_at(site_number at, const address& wanted) {
  std::vector<number> found;
  for (const number id : listeners_) {
    const socket& each = *find(id);
    if (each.site != at || each.local.port() != wanted.port() || each.local.is_v6() != wanted.is_v6()) continue;
    if (is_wildcard(each.local) || is_wildcard(wanted) || same_host(each.local, wanted)) found.push_back(id);
  }
  return found.empty() ? nullptr : find(found[static_cast<std::size_t>(draw(found.size()))]);
}

// ---- what reactors ask for -------------------------------------------------------------------------------------------

io_result<endpoint*> sim_network::listen(site_number at, reactor& home, const listen_request& request) noexcept {
  constexpr const char* doing = "listening";
  address wanted = request.at;
  if (!is_own(at, wanted) || !sites_[at]->has_process) {
    return std::unexpected(error_at(wanted, EADDRNOTAVAIL, "listening on ", doing));
  }
  if (wanted.port() == 0) {
    const std::uint16_t port = free_port(at, wanted);
    if (port == 0) return std::unexpected(error_at(wanted, EADDRINUSE, "listening on ", doing));
    wanted = with_port(wanted, port);
  } else if (taken(at, wanted, request.reuse_port)) {
    return std::unexpected(error_at(wanted, EADDRINUSE, "listening on ", doing));
  }
  socket& made = create(at);
  made.listener = true;
  made.local = wanted;
  made.reuse_port = request.reuse_port;
  made.backlog = static_cast<std::size_t>(std::max(request.backlog, 0)) + 1;  // as a kernel counts
  listeners_.push_back(made.id);
  return watch(made, home);
}

io_result<endpoint*> sim_network::try_accept(endpoint& listener, reactor& home) noexcept {
  socket& s = of(listener);
  if (s.severed) return std::unexpected(error_of(ENETDOWN, "accepting"));
  LEVITY_ASSERT(s.listener, "connections are accepted from a listener");
  if (s.queue.empty() || one_in(8)) {
    owe_read(s);
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, "accepting"});
  }
  socket& peer = *find(s.queue.front());
  s.queue.pop_front();
  return watch(peer, home);
}

io_result<endpoint*> sim_network::start_connect(site_number from, reactor& home, const address& to) noexcept {
  if (!sites_[from]->has_process) return std::unexpected(error_of(ENETDOWN, "connecting"));
  socket& made = create(from);
  made.connecting = true;
  made.peer = to;
  made.other_site = site_of(from, to);
  const std::vector<address>& own = sites_[from]->addresses;
  address local = is_wildcard(to) && !to.is_v6() ? address::loopback(0) : to;
  if (made.other_site != from) {
    const auto same_family = [&](const address& each) { return each.is_v6() == to.is_v6(); };
    if (const auto found = std::ranges::find_if(own, same_family); found != own.end()) local = *found;
  }
  made.local = with_port(local, free_port(from, local));
  endpoint* watched = watch(made, home);
  request(made);
  return watched;
}

io_result<void> sim_network::finish_connect(endpoint& watched) noexcept {
  constexpr const char* doing = "connecting";
  socket& s = of(watched);
  if (s.error != 0) return std::unexpected(error_of(std::exchange(s.error, 0), doing));
  if (s.severed) return std::unexpected(error_of(s.broken_by, doing));
  if (s.connecting || one_in(8)) {
    owe_write(s);
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
  }
  return {};
}

io_result<std::size_t> sim_network::try_read(endpoint& watched, std::span<std::byte> into) noexcept {
  constexpr const char* doing = "reading";
  socket& s = of(watched);
  LEVITY_ASSERT(!s.listener && !into.empty(), "a stream is read, at least one byte");
  if (s.severed) return std::unexpected(error_of(s.broken_by, doing));
  const std::size_t there = s.unread_bytes();
  const bool late = one_in(16);
  if (there > 0 && !late) {
    const std::size_t moved = draw_size(std::min(there, into.size()));
    std::memcpy(into.data(), s.unread.data() + s.unread_from, moved);
    s.unread_from += moved;
    trace(moved);
    send(s, {.what = segment::kind::credit, .credit = moved});
    if (moved < into.size()) owe_read(s);
    return moved;
  }
  if (there == 0 && !late) {
    if (s.fin_received) return std::unexpected(io_error{io_failure::eof, 0, doing});  // whatever broke behind it
    if (s.error != 0) return std::unexpected(error_of(std::exchange(s.error, 0), doing));
    if (s.broken) return std::unexpected(error_of(s.broken_by == ETIMEDOUT ? ETIMEDOUT : ECONNRESET, doing));
  }
  owe_read(s);
  return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
}

io_result<std::size_t> sim_network::try_write(endpoint& watched, std::span<const iovec> from) noexcept {
  constexpr const char* doing = "writing";
  socket& s = of(watched);
  LEVITY_ASSERT(!s.listener, "a stream is written");
  if (s.error != 0) return std::unexpected(error_of(std::exchange(s.error, 0), doing));
  if (s.broken || s.fin_sent) return std::unexpected(error_of(EPIPE, doing));
  std::size_t asked = 0;
  for (const iovec& piece : from) asked += piece.iov_len;
  if (asked == 0) return 0;
  const std::size_t room = s.window > s.unacknowledged ? s.window - s.unacknowledged : 0;
  if (s.connecting || room == 0 || one_in(16)) {
    owe_write(s);
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
  }
  const std::size_t moved = draw_size(std::min(room, asked));
  segment sent{.what = segment::kind::data};
  sent.bytes.reserve(moved);
  for (const iovec& piece : from) {
    const auto* bytes = static_cast<const std::byte*>(piece.iov_base);
    const std::size_t part = std::min(piece.iov_len, moved - sent.bytes.size());
    sent.bytes.insert(sent.bytes.end(), bytes, bytes + part);
  }
  trace(moved);
  trace_bytes(sent.bytes.data(), moved);
  s.unacknowledged += moved;
  // A write may travel as several segments.
  if (moved > 1 && find(s.other) != nullptr && one_in(8)) {
    const auto cut = static_cast<std::ptrdiff_t>(1 + draw(moved - 1));
    segment first{.what = segment::kind::data};
    first.bytes.assign(sent.bytes.begin(), sent.bytes.begin() + cut);
    sent.bytes.erase(sent.bytes.begin(), sent.bytes.begin() + cut);
    send(s, std::move(first));
  }
  send(s, std::move(sent));
  if (moved < asked) owe_write(s);
  return moved;
}

io_result<void> sim_network::shutdown_write(endpoint& watched) noexcept {
  socket& s = of(watched);
  if (s.connecting || s.broken) return std::unexpected(error_of(ENOTCONN, "ending the stream"));
  if (s.fin_sent) return {};
  send(s, {.what = segment::kind::fin});
  if (s.fin_received) raise(s, can_read | can_write | ended | failed);
  return {};
}

void sim_network::close(endpoint& watched, bool abort) noexcept {
  LEVITY_ASSERT(!watched.reading.has_waiter_approx() && !watched.writing.has_waiter_approx(),
                "a socket is closed when no task waits on it");
  socket& s = of(watched);
  trace(std::uint64_t{s.id} << 1 | (abort ? 1 : 0));
  unwatch(s);
  if (s.severed) return erase_if_done(s);
  if (s.listener) {
    // Who waits in the queue is reset; who is on the way to it will be refused.
    for (const number id : s.queue) {
      socket& queued = *find(id);
      send_reset(queued);
      erase(queued);
    }
    return erase(s);
  }
  s.closed = true;
  if (s.connecting) {
    // The request may not have arrived: then it finds nobody. Else the acknowledgement is answered by a reset.
    if (s.other == nobody) erase(s);
    return;
  }
  if (abort || s.unread_bytes() > 0) {
    send_reset(s);
    return erase(s);
  }
  if (!s.fin_sent && !s.broken) send(s, {.what = segment::kind::fin});
  erase_if_done(s);
}

address sim_network::local_address(const endpoint& watched) const noexcept { return of(watched).local; }

address sim_network::peer_address(const endpoint& watched) const noexcept { return of(watched).peer; }

io_result<void> sim_network::set_option(endpoint& watched, int level, int option, int value) noexcept {
  socket& s = of(watched);
  if (level != SOL_SOCKET) return {};
  const auto window = static_cast<std::size_t>(std::clamp(value, 1, 1 << 20));
  if (option == SO_SNDBUF) {
    s.window = window;
    if (s.owes_write) owe_write(s);
  } else if (socket* peer = option == SO_RCVBUF ? find(s.other) : nullptr) {
    peer->window = std::min(peer->window, window);
  }
  return {};
}

void sim_network::check_invariants() const noexcept {
  std::vector<std::uint64_t> watched(sites_.size());
  for (const auto& [id, each] : sockets_) {
    if (each->watch != nullptr) watched[each->site]++;
    const std::vector<number>& pending = sites_[each->site]->pending;
    LEVITY_ASSERT((each->pending != 0) == (std::count(pending.begin(), pending.end(), id) == 1),
                  "a socket with an event is listed once");
    const socket* peer = find(each->other);
    if (peer == nullptr || peer->broken || each->broken || peer->closed) continue;
    std::size_t outstanding = peer->unread_bytes();
    bool reset = false;
    for (const segment& on_way : peer->inbound) {
      outstanding += on_way.bytes.size();
      reset = reset || on_way.what == segment::kind::rst;
    }
    for (const segment& on_way : each->inbound) {
      outstanding += on_way.credit;
      reset = reset || on_way.what == segment::kind::rst;
    }
    LEVITY_ASSERT(reset || outstanding == each->unacknowledged, "no byte is lost between two open sockets");
  }
  for (std::size_t i = 0; i < sites_.size(); i++) {
    LEVITY_ASSERT(watched[i] == sites_[i]->watched, "every open endpoint is counted once");
  }
}

}  // namespace levity::detail
