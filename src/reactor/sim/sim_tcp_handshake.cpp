#include "reactor/sim/sim_tcp.hpp"

// Who listens where, and how a connection comes about.
//
// Between sites by three words (SYN, SYN-ACK, ACK), each of which may be lost
//   request     start_connect(); again until there is an answer
//   answer      a listener that has room, by the half that it makes (`awaiting`); again at each request and by a timer, until there
//               is a last word
//   last word   the client, when it has the answer. Whatever else comes from it is as good. Puts the half into the listener's queue
// Within a site, where nothing is lost, the request is enough. One that finds nobody is answered by a reset; one that finds a full
// queue within a site as well, and between sites by nothing, so the client asks again.

#include <algorithm>
#include <cerrno>
#include <utility>

#include "levity/base/assert.hpp"
#include "reactor/sim/sim_address.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::uint16_t first_free_tcp_port = 32'768;

}  // namespace

// ---- who listens where -----------------------------------------------------------------------------------------------

bool sim_tcp::taken(site_number at, const address& wanted, bool reuse_port, bool takes_v4) const noexcept {
  return std::ranges::any_of(sites_[at].listeners, [&](number id) {
    const socket& other = *find(id);
    if (other.local.port() != wanted.port()) return false;
    const bool is_same_family = other.local.is_v6() == wanted.is_v6();
    if (!is_same_family && !(wanted.is_v6() ? takes_v4 : other.takes_v4)) return false;
    if (reuse_port && other.reuse_port) return false;
    return !is_same_family || is_wildcard(wanted) || is_wildcard(other.local) || same_host(wanted, other.local);
  });
}

// A port nobody listens on; 0 if there is none.
std::uint16_t sim_tcp::free_port(site_number at, const address& host, bool takes_v4) noexcept {
  constexpr unsigned ports = 65'536 - first_free_tcp_port;
  for (unsigned tries = 0; tries < ports; tries++) {
    const auto port = static_cast<std::uint16_t>(first_free_tcp_port + sites_[at].next_port++ % ports);
    if (!taken(at, with_port(host, port), false, takes_v4)) return port;
  }
  return 0;
}

// Who listens at `wanted`; among several, the seed chooses.
sim_tcp::socket* sim_tcp::listener_at(site_number at, const address& wanted) {
  std::vector<number> found;
  for (const number id : sites_[at].listeners) {
    const socket& each = *find(id);
    if (each.local.port() != wanted.port()) continue;
    if (each.local.is_v6() != wanted.is_v6()) {
      if (each.takes_v4) found.push_back(id);
      continue;
    }
    if (is_wildcard(each.local) || is_wildcard(wanted) || same_host(each.local, wanted)) found.push_back(id);
  }
  return found.empty() ? nullptr : find(found[static_cast<std::size_t>(net_.draw(found.size()))]);
}

io_result<endpoint*> sim_tcp::listen(site_number at, reactor& home, const listen_request& request) noexcept {
  constexpr const char* doing = "listening";
  address wanted = request.at;
  if (!net_.is_own(at, wanted) || !net_.has_process(at)) {
    return std::unexpected(error_at(wanted, EADDRNOTAVAIL, "listening on ", doing));
  }
  const bool takes_v4 = wanted.is_v6() && is_wildcard(wanted) && !request.ipv6_only;
  if (wanted.port() == 0) {
    const std::uint16_t port = free_port(at, wanted, takes_v4);
    if (port == 0) return std::unexpected(error_at(wanted, EADDRINUSE, "listening on ", doing));
    wanted = with_port(wanted, port);
  } else if (taken(at, wanted, request.reuse_port, takes_v4)) {
    return std::unexpected(error_at(wanted, EADDRINUSE, "listening on ", doing));
  }
  socket& made = create(at);
  made.listener = true;
  made.local = wanted;
  made.reuse_port = request.reuse_port;
  made.takes_v4 = takes_v4;
  made.backlog = static_cast<std::size_t>(std::max(request.backlog, 0)) + 1;  // as a kernel counts
  sites_[at].listeners.push_back(made.id);
  return net_.watch(made, home);
}

io_result<endpoint*> sim_tcp::try_accept(endpoint& listener, reactor& home) noexcept {
  socket& s = of(listener);
  if (s.severed) return failure(ENETDOWN, "accepting");
  LEVITY_ASSERT(s.listener, "connections are accepted from a listener");
  if (s.queue.empty() || net_.one_in(8)) {
    owe_read(s);
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, "accepting"});
  }
  socket& peer = *find(s.queue.front());
  s.queue.erase(s.queue.begin());
  return net_.watch(peer, home);
}

// ---- connecting ------------------------------------------------------------------------------------------------------

io_result<endpoint*> sim_tcp::start_connect(site_number from, reactor& home, const address& to) noexcept {
  if (!net_.has_process(from)) return failure(ENETDOWN, "connecting");
  socket& made = create(from);
  made.connecting = true;
  made.peer = to;
  made.other_site = net_.site_of(from, to);
  const std::vector<address>& own = net_.addresses_of(from);
  address local = is_wildcard(to) && !to.is_v6() ? address::loopback(0) : to;
  if (made.other_site != from) {
    const auto same_family = [&](const address& each) { return each.is_v6() == to.is_v6(); };
    if (const auto found = std::ranges::find_if(own, same_family); found != own.end()) local = *found;
  }
  made.local = with_port(local, free_port(from, local));
  endpoint* watched = net_.watch(made, home);
  request(made);
  return watched;
}

io_result<void> sim_tcp::finish_connect(endpoint& watched) noexcept {
  constexpr const char* doing = "connecting";
  socket& s = of(watched);
  if (s.error != 0) return failure(std::exchange(s.error, 0), doing);
  if (s.severed) return failure(s.broken_by, doing);
  if (s.connecting || net_.one_in(8)) {
    owe_write(s);
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
  }
  return {};
}

// Asks the other site for a connection, once more.
void sim_tcp::request(socket& client) {
  client.request_lost = !net_.passes(client.site, client.other_site);
  if (client.request_lost) record(sim_happening::kind::unanswered, client);
  client.requests++;
  client.requested_ns = net_.now_ns();
  const std::int64_t at_ns = client.request_lost ? net_.now_ns() + backed_off_ns(connect_timeout_ns, client.requests)
                                                 : net_.draw_arrival_ns(client.site, client.other_site, header_bytes);
  net_.push_arrival(std::max(at_ns, net_.now_ns() + 1), client.id, due::request);
}

// The request, or the answer to it, was lost: once more, after a while.
void sim_tcp::ask_later(socket& client) {
  client.request_lost = true;
  const std::int64_t at_ns = client.requested_ns + backed_off_ns(connect_timeout_ns, client.requests);
  net_.push_arrival(std::max(at_ns, net_.now_ns() + 1), client.id, due::request);
}

// By its site, on behalf of a socket that is not there.
void sim_tcp::refuse(socket& client) {
  if (!net_.passes(client.other_site, client.site)) return ask_later(client);
  segment what{.what = segment::kind::rst};
  what.arrival_ns = std::max(net_.draw_arrival_ns(client.other_site, client.site, header_bytes), client.last_arrival_ns + 1);
  client.last_arrival_ns = what.arrival_ns;
  net_.push_arrival(what.arrival_ns, client.id);
  client.inbound.push_back(std::move(what));
}

// ---- being connected to ----------------------------------------------------------------------------------------------

void sim_tcp::requested(socket& client) {
  const bool far = crosses(client);
  if (!client.connecting || client.closed || client.severed || (!far && client.other != nobody)) return;
  net_.trace(client.id);
  if (client.request_lost) {
    if (client.requests > connect_retries) return break_off(client, ETIMEDOUT);
    return request(client);
  }
  if (client.other != nobody) {  // it has been here before, and has not heard of that
    socket* half = find(client.other);
    const socket* asked = half != nullptr && half->awaiting ? find(half->listens) : nullptr;
    if (asked != nullptr && asked->listener) {
      const auto answers = [](const segment& each) { return each.what == segment::kind::established; };
      if (std::ranges::none_of(client.inbound, answers)) send(*half, {.what = segment::kind::established});
      return ask_later(client);
    }
    // What it was answered for is gone.
    std::erase_if(client.inbound, [&](const segment& each) { return each.from == client.other; });
    client.other = nobody;
    if (half != nullptr) abandon(*half);
  }
  socket* listener = net_.has_process(client.other_site) ? listener_at(client.other_site, client.peer) : nullptr;
  const bool is_full = listener != nullptr && listener->queue.size() >= listener->backlog;
  if (is_full && far) return ask_later(client);  // no answer
  if (listener == nullptr || is_full) return refuse(client);
  socket& server = create(listener->site);
  server.local = client.peer;
  server.peer = client.local;
  server.other = client.id;
  server.other_site = client.site;
  client.other = server.id;
  if (far) {
    server.awaiting = true;
    server.listens = listener->id;
    answer_later(server);
    send(server, {.what = segment::kind::established});
    return ask_later(client);
  }
  record(sim_happening::kind::connected, server);
  listener->queue.push_back(server.id);
  send(server, {.what = segment::kind::established});
  if (listener->owes_read || net_.one_in(2)) net_.raise(*listener, sim_event::can_read);
}

// It has been answered, and looks for the last word after a while.
void sim_tcp::answer_later(socket& half) {
  half.answers++;
  half.timer_ns = net_.now_ns() + backed_off_ns(connect_timeout_ns, half.answers);
  net_.push_arrival(half.timer_ns, half.id, due::timer);
}

// Which has not come: the answer may have been lost.
void sim_tcp::answer_again(socket& half) {
  if (half.answers > handshake_retries) return abandon(half);
  answer_later(half);
  const socket* client = find(half.other);
  const auto answers = [](const segment& each) { return each.what == segment::kind::established; };
  if (client == nullptr || !client->connecting || std::ranges::any_of(client->inbound, answers)) return;
  send(half, {.what = segment::kind::established});
}

// The last word of a handshake has come.
void sim_tcp::confirm(socket& half, segment what) {
  if (!half.awaiting) return;
  socket* listener = find(half.listens);
  if (listener == nullptr || !listener->listener) {
    answer_by_reset(half);
    return abandon(half);
  }
  if (listener->queue.size() >= listener->backlog) {  // not heard, as a kernel does: there will be another one
    what.lost = true;
    what.arrival_ns = net_.now_ns() + backed_off_ns(connect_timeout_ns, what.attempts + 1U);
    net_.push_arrival(what.arrival_ns, half.id);
    half.inbound.push_front(std::move(what));
    return;
  }
  half.awaiting = false;
  half.timer_ns = no_time;
  acknowledge(half);
  record(sim_happening::kind::connected, half);
  listener->queue.push_back(half.id);
  if (listener->owes_read || net_.one_in(2)) net_.raise(*listener, sim_event::can_read);
}

}  // namespace levity::detail
