#include "reactor/sim/sim_datagrams.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "levity/base/assert.hpp"
#include "platform/socket.hpp"
#include "reactor/sim/kernel_buffer.hpp"
#include "reactor/sim/sim_address.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr const char* udp_sending = "sending a datagram";
constexpr const char* udp_receiving = "receiving a datagram";

constexpr std::uint16_t first_free_udp_port = 32'768;
constexpr std::size_t headers_bytes = 28;     // of IPv4 and UDP
constexpr std::size_t refusal_bytes = 56;     // of ICMP, with the headers of what it is about
constexpr std::size_t buffered_headers = 44;  // of IPv4, UDP and what carries them
constexpr std::size_t coalesced_max = 64;     // datagrams
constexpr int asked_max = 212'992;            // net.core.rmem_max and wmem_max
constexpr int receive_buffer_min = 2'304;
constexpr int send_buffer_min = 4'608;

std::unexpected<io_error> udp_failure(int code, const char* doing) noexcept {
  return std::unexpected(io_error::from_errno(code, doing));
}

std::size_t room_for(std::size_t bytes) noexcept { return kernel_buffer_room(bytes, buffered_headers); }

address loopback_like(const address& of) noexcept {
  if (!of.is_v6()) return address::loopback(of.port());
  std::uint8_t bytes[16] = {};
  bytes[15] = 1;
  return address::from_bytes(bytes, true, of.port());
}

// The same for the same address, on every machine.
std::uint64_t mark_of(const address& at) noexcept {
  std::uint64_t sum = at.port();
  for (const std::uint8_t byte : bytes_of(at)) sum = (sum ^ byte) * 0x9e3779b97f4a7c15;
  return sum ^ (sum >> 32);
}

// As a kernel takes it: doubled, within limits.
int buffer_for(int asked, int least) noexcept {
  const int most = asked < 0 ? asked_max : std::min(asked, asked_max);
  return std::max(2 * most, least);
}

}  // namespace

sim_datagrams::socket* sim_datagrams::find(number id) const noexcept {
  const auto found = sockets_.find(id);
  return found != sockets_.end() ? found->second.get() : nullptr;
}

sim_datagrams::socket& sim_datagrams::of(const endpoint& watched) const noexcept {
  socket* found = find(static_cast<number>(watched.fd));
  LEVITY_ASSERT(found != nullptr && found->watch == &watched, "an endpoint is used only while it is open");
  return *found;
}

void sim_datagrams::record(sim_happening::kind what, site_number other, const address& peer, std::size_t bytes) const noexcept {
  if (sim_recorder* told = net_.recorder(); told != nullptr) told->record({what, net_.now_ns(), site_, other, peer, bytes});
}

// ---- addresses -------------------------------------------------------------------------------------------------------

bool sim_datagrams::is_taken(const address& wanted, bool reuse_port, bool takes_v4) const noexcept {
  return std::ranges::any_of(sockets_, [&](const auto& each) {
    const socket& other = *each.second;
    if (other.severed || other.local.port() != wanted.port()) return false;
    const bool is_same_family = other.local.is_v6() == wanted.is_v6();
    if (!is_same_family && !(wanted.is_v6() ? takes_v4 : other.takes_v4)) return false;
    if (reuse_port && other.reuse_port) return false;
    return is_wildcard(wanted) || is_wildcard(other.local) || same_host(wanted, other.local);
  });
}

// 0 if there is none.
std::uint16_t sim_datagrams::free_port(const address& host, bool takes_v4) noexcept {
  constexpr unsigned ports = 65'536 - first_free_udp_port;
  for (unsigned tries = 0; tries < ports; tries++) {
    const auto port = static_cast<std::uint16_t>(first_free_udp_port + next_port_++ % ports);
    if (!is_taken(with_port(host, port), false, takes_v4)) return port;
  }
  return 0;
}

io_result<endpoint*> sim_datagrams::bind(reactor& home, const address& at, bool reuse_port) noexcept {
  constexpr const char* doing_on = "binding a datagram socket to ";
  constexpr const char* doing = "binding a datagram socket";
  const address host = unmapped(at);
  if (!net_.is_own(site_, host) || !net_.has_process(site_)) {
    return std::unexpected(error_at(at, EADDRNOTAVAIL, doing_on, doing));
  }
  const bool takes_v4 = at.is_v6() && (is_wildcard(at) || !host.is_v6());
  address wanted = host;
  if (at.port() == 0) {
    const std::uint16_t port = free_port(host, takes_v4);
    if (port == 0) return std::unexpected(error_at(at, EADDRINUSE, doing_on, doing));
    wanted = with_port(host, port);
  } else if (is_taken(host, reuse_port, takes_v4)) {
    return std::unexpected(error_at(at, EADDRINUSE, doing_on, doing));
  }
  auto made = std::make_unique<socket>();
  made->id = net_.next_number();
  made->site = site_;
  made->local = wanted;
  made->is_v6 = at.is_v6();
  made->takes_v4 = takes_v4;
  made->reuse_port = reuse_port;
  net_.trace(std::uint64_t{made->id} << 1 | (made->is_v6 ? 1 : 0));
  net_.trace(mark_of(wanted));
  socket& result = *made;
  sockets_.emplace(result.id, std::move(made));
  return net_.watch(result, home);
}

// Where a datagram to that address goes, as far as the socket may send there.
io_result<address> sim_datagrams::destination(const socket& s, const address& to, bool connects) const noexcept {
  if (!s.is_v6 && to.is_v6()) return udp_failure(EAFNOSUPPORT, udp_sending);
  const address there = unmapped(to);
  if (s.is_v6 && !there.is_v6() && !s.takes_v4) return udp_failure(ENETUNREACH, udp_sending);
  if (to.port() == 0 && !connects) return udp_failure(EINVAL, udp_sending);
  if (is_broadcast(there) && !s.broadcasts) return udp_failure(EACCES, udp_sending);
  if (!is_wildcard(there)) return there;
  if (there.is_v6()) return s.local.is_v6() ? loopback_like(there) : address::loopback(there.port());
  // 0.0.0.0 is the own address of who has one.
  const bool has_own = !s.local.is_v6() && !is_wildcard(s.local);
  return has_own ? with_port(s.local, there.port()) : loopback_like(there);
}

// From where it is sent.
io_result<address> sim_datagrams::source(const socket& s, const address& to) const noexcept {
  if (s.is_v6 && !s.local.is_v6() && to.is_v6()) return udp_failure(EAFNOSUPPORT, udp_sending);
  const bool leaves = is_broadcast(to) || !net_.is_own(site_, to);
  if (!is_wildcard(s.local)) {
    if (s.local.is_v6() != to.is_v6()) return udp_failure(ENETUNREACH, udp_sending);
    if (leaves && is_loopback(s.local) && !net_.addresses_of(site_).empty()) return udp_failure(EINVAL, udp_sending);
    return s.local;
  }
  address host = to;
  if (is_loopback(to)) {
    host = loopback_like(to);
  } else if (leaves) {
    const std::vector<address>& own = net_.addresses_of(site_);
    const auto fits = [&](const address& each) { return each.is_v6() == to.is_v6(); };
    const auto found = std::ranges::find_if(own, fits);
    if (found == own.end() && !own.empty()) return udp_failure(ENETUNREACH, udp_sending);
    host = own.empty() ? loopback_like(to) : *found;
  }
  return with_port(host, s.local.port());
}

io_result<void> sim_datagrams::connect(endpoint& watched, const address& peer) noexcept {
  constexpr const char* doing = "connecting a datagram socket";
  socket& s = of(watched);
  if (s.severed) return udp_failure(ENETDOWN, doing);
  if (s.is_v6 && !s.takes_v4 && !peer.is_v6()) return udp_failure(EAFNOSUPPORT, doing);
  const io_result<address> to = destination(s, peer, true);
  if (!to) return std::unexpected(to.error().during(doing));
  const io_result<address> from = source(s, *to);
  if (!from) return std::unexpected(from.error().during(doing));
  s.local = *from;
  s.peer = *to;
  s.connected = true;
  net_.trace(mark_of(s.peer) ^ s.id);
  return {};
}

// ---- on the way ------------------------------------------------------------------------------------------------------

io_result<void> sim_datagrams::send(endpoint& watched, std::span<const std::byte> bytes, const address* to) noexcept {
  socket& s = of(watched);
  if (s.severed) return udp_failure(ENETDOWN, udp_sending);
  if (to == nullptr && !s.connected) return udp_failure(EDESTADDRREQ, udp_sending);
  const io_result<address> there = to != nullptr ? destination(s, *to, false) : io_result<address>(s.peer);
  if (!there) return std::unexpected(there.error());
  const io_result<address> from = source(s, *there);
  if (!from) return std::unexpected(from.error());
  if (bytes.size() > (there->is_v6() ? bytes_max_v6 : bytes_max)) return udp_failure(EMSGSIZE, udp_sending);
  if (s.error != 0) return udp_failure(std::exchange(s.error, 0), udp_sending);
  if (s.leaving >= static_cast<std::size_t>(s.send_buffer)) {
    s.owes_write = true;
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, udp_sending});
  }
  net_.trace(std::uint64_t{s.id} << 32 | bytes.size());
  net_.trace(mark_of(*there));
  net_.trace_bytes(bytes.data(), bytes.size());
  if (!is_broadcast(*there)) {
    launch(s, net_.site_of(site_, *there), *from, *there, bytes);
    return {};
  }
  for (site_number each = 0; each < net_.sites(); each++) launch(s, each, *from, *there, bytes);
  return {};
}

void sim_datagrams::launch(socket& s, site_number there, const address& from, const address& to, std::span<const std::byte> bytes) {
  if (!net_.passes(site_, there)) return record(sim_happening::kind::lost, there, to, bytes.size());
  constexpr std::uint64_t million = 1'000'000;
  flight sent{.what = flight::kind::datagram, .sender = s.id, .from_site = site_, .from = from, .to = to};
  sent.to_all = is_broadcast(to);
  sent.bytes.assign(bytes.begin(), bytes.end());
  sim_link& by = net_.link(site_, there);
  const bool far = there != site_;
  const std::size_t on_the_wire = bytes.size() + headers_bytes;
  std::int64_t at_ns = std::max(net_.draw_arrival_ns(site_, there, on_the_wire), net_.now_ns() + 1);
  sent.out_ns = out_ns(there);
  if (far) charge(s, there, room_for(bytes.size()));
  at_ns = std::max(at_ns, by.last_datagram_ns + 1);
  if (far && by.reordered_per_million > 0 && net_.draw(million) < by.reordered_per_million) {
    record(sim_happening::kind::held_back, there, to, bytes.size());
    at_ns += 1 + static_cast<std::int64_t>(net_.draw(static_cast<std::uint64_t>(std::max<std::int64_t>(by.reordered_by_ns, 1))));
  } else {
    by.last_datagram_ns = at_ns;
  }
  sim_datagrams& receiver = net_.datagrams_of(there);
  if (far && by.duplicated_per_million > 0 && net_.draw(million) < by.duplicated_per_million) {
    record(sim_happening::kind::duplicated, there, to, bytes.size());
    const std::int64_t again_ns = std::max(net_.draw_arrival_ns(site_, there, on_the_wire), by.last_datagram_ns + 1);
    by.last_datagram_ns = again_ns;
    flight again = sent;
    again.out_ns = out_ns(there);
    receiver.take_in(again_ns, std::move(again));
  }
  receiver.take_in(at_ns, std::move(sent));
}

// Until it is out it takes up room in the send buffer; only a link with a rate keeps it there.
void sim_datagrams::charge(socket& s, site_number there, std::size_t size) {
  const sim_link& by = net_.link(site_, there);
  if (by.bytes_per_second == 0 || by.busy_until_ns <= net_.now_ns()) return;
  s.leaving += size;
  take_in(by.busy_until_ns, {.what = flight::kind::out, .sender = s.id, .size = size});
}

// When the last packet to there is out; only a link with a rate keeps it.
std::int64_t sim_datagrams::out_ns(site_number there) noexcept {
  const sim_link& by = net_.link(site_, there);
  return there != site_ && by.bytes_per_second > 0 ? std::max(by.busy_until_ns, net_.now_ns()) : net_.now_ns();
}

void sim_datagrams::take_in(std::int64_t at_ns, flight what) {
  flights_.emplace(next_flight_, std::move(what));
  net_.push_datagram(at_ns, site_, next_flight_++);
}

namespace {

// Who is connected to port 0 of a host hears all of it.
template <class Socket>
bool hears(const Socket& s, const address& from) noexcept {
  return !s.connected || s.peer == from || (s.peer.port() == 0 && same_host(s.peer, from));
}

}  // namespace

void sim_datagrams::arrive(number flight_number) noexcept {
  auto taken = flights_.extract(flight_number);
  LEVITY_ASSERT(!taken.empty(), "what is due is on its way");
  flight& what = taken.mapped();
  socket* const sender = what.what != flight::kind::datagram ? find(what.sender) : nullptr;
  switch (what.what) {
    case flight::kind::datagram:
      if (net_.has_power(site_)) land(what);
      return;
    case flight::kind::refused:
      if (sender == nullptr || sender->severed || !sender->connected || !hears(*sender, what.to)) return;
      net_.trace(sender->id);
      sender->error = ECONNREFUSED;
      record(sim_happening::kind::nobody, what.from_site, what.to, 0);
      return net_.raise(*sender, sim_event::can_read | sim_event::can_write);
    case flight::kind::out:
      if (sender == nullptr) return;
      sender->leaving -= what.size;
      if (sender->owes_write && sender->leaving < static_cast<std::size_t>(sender->send_buffer)) {
        net_.raise(*sender, sim_event::can_write);
      }
      return;
    case flight::kind::lost: return;
  }
}

namespace {

// How well it suits; 0: not at all.
template <class Socket, class Flight>
unsigned fitness(const Socket& s, const Flight& what) noexcept {
  if (s.severed || s.local.port() != what.to.port() || !hears(s, what.from)) return 0;
  const bool is_same_family = s.local.is_v6() == what.to.is_v6();
  if (!is_same_family && (what.to.is_v6() || !s.takes_v4)) return 0;
  const bool is_at_all = is_wildcard(s.local);
  if (!is_at_all && (!is_same_family || !same_host(s.local, what.to))) return 0;
  return 1U + (s.connected ? 8U : 0U) + (is_at_all ? 0U : 4U) + (is_same_family ? 2U : 0U);
}

}  // namespace

sim_datagrams::socket* sim_datagrams::receiver_of(const flight& what) const noexcept {
  std::vector<socket*> found;
  unsigned best = 1;
  for (const auto& [id, each] : sockets_) {
    const unsigned fits = fitness(*each, what);
    if (fits < best) continue;
    if (fits > best) found.clear();
    best = fits;
    found.push_back(each.get());
  }
  return found.empty() ? nullptr : found[static_cast<std::size_t>(mark_of(what.from) % found.size())];
}

void sim_datagrams::land(flight& what) {
  if (what.to_all) {
    for (const auto& [id, each] : sockets_) {
      if (fitness(*each, what) > 0) put(*each, what);
    }
    return;
  }
  if (socket* to = receiver_of(what)) return put(*to, what);
  refuse(what);
}

void sim_datagrams::put(socket& s, const flight& what) {
  const bool is_full = s.held > static_cast<std::size_t>(s.receive_buffer);
  net_.trace(std::uint64_t{s.id} << 1 | (is_full ? 1 : 0));
  if (is_full) {
    s.dropped++;
    return record(sim_happening::kind::dropped, what.from_site, what.from, what.bytes.size());
  }
  s.held += room_for(what.bytes.size());
  s.queue.push_back({what.from, what.bytes});
  if (s.owes_read || net_.one_in(2)) net_.raise(s, sim_event::can_read);
}

// By its kernel: nobody is there.
void sim_datagrams::refuse(const flight& what) {
  net_.trace(mark_of(what.to));
  if (!net_.passes(site_, what.from_site)) return;
  const std::int64_t at_ns = std::max(net_.draw_arrival_ns(site_, what.from_site, refusal_bytes), net_.now_ns() + 1);
  net_.datagrams_of(what.from_site)
      .take_in(at_ns, {.what = flight::kind::refused,
                       .sender = what.sender,
                       .from_site = site_,
                       .to = what.to,
                       .out_ns = out_ns(what.from_site)});
}

// ---- receiving -------------------------------------------------------------------------------------------------------

void sim_datagrams::owe_read(socket& s) {
  s.owes_read = true;
  if (!s.queue.empty() || s.error != 0) net_.raise(s, sim_event::can_read);
}

io_result<datagram_head> sim_datagrams::receive(endpoint& watched, std::span<std::byte> into) noexcept {
  socket& s = of(watched);
  if (s.severed) return udp_failure(ENETDOWN, udp_receiving);
  if (s.error != 0) return udp_failure(std::exchange(s.error, 0), udp_receiving);
  if (s.queue.empty() || net_.one_in(16)) {
    owe_read(s);
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, udp_receiving});
  }
  const auto take = [&s] {
    datagram first = std::move(s.queue.front());
    s.queue.pop_front();
    s.held -= room_for(first.bytes.size());
    return first;
  };
  datagram got = take();
  const std::size_t segment = got.bytes.size();
  std::size_t count = 1;
  // Those behind it of the same sender and size, the last one shorter or not.
  while (s.coalesces && segment > 0 && count < coalesced_max && got.bytes.size() == segment * count && !s.queue.empty()) {
    const datagram& next = s.queue.front();
    const bool fits = next.from == got.from && !next.bytes.empty() && next.bytes.size() <= segment &&
                      got.bytes.size() + next.bytes.size() <= bytes_max;
    if (!fits || net_.one_in(4)) break;
    const datagram more = take();
    got.bytes.insert(got.bytes.end(), more.bytes.begin(), more.bytes.end());
    count++;
  }
  const std::size_t size = std::min(got.bytes.size(), into.size());
  if (size > 0) std::memcpy(into.data(), got.bytes.data(), size);
  net_.trace(std::uint64_t{s.id} << 32 | size);
  return datagram_head{size, count > 1 && segment < size ? segment : 0, s.is_v6 ? mapped(got.from) : got.from,
                       size < got.bytes.size()};
}

// ---- batches ---------------------------------------------------------------------------------------------------------

// A batch takes no time: what an answer has to say is there before it, and fails the first row, or comes after it.
io_result<std::size_t> sim_datagrams::send(endpoint& watched, const datagram_rows& rows, std::size_t first,
                                           std::size_t end) noexcept {
  const std::size_t most = std::min(end - first, datagram_rows::call_max);
  for (std::size_t done = 0; done < most; done++) {
    const std::optional<address> to = rows.receiver(first + done);
    const io_result<void> sent = send(watched, rows.bytes(first + done), to ? &*to : nullptr);
    if (sent) continue;
    if (done > 0) return done;
    return std::unexpected(sent.error());
  }
  return most;
}

io_result<std::size_t> sim_datagrams::receive(endpoint& watched, datagram_rows& rows, std::size_t end) noexcept {
  const std::size_t most = std::min(end, datagram_rows::call_max);
  for (std::size_t done = 0; done < most; done++) {
    const io_result<datagram_head> got = receive(watched, rows.bytes(done));
    if (got) {
      rows.set_head(done, *got);
      continue;
    }
    if (done > 0) return done;
    return std::unexpected(got.error());
  }
  return most;
}

// ---- the rest --------------------------------------------------------------------------------------------------------

void sim_datagrams::set_coalescing(endpoint& watched, bool on) noexcept { of(watched).coalesces = on; }

void sim_datagrams::set_option(endpoint& watched, int level, int option, int value) noexcept {
  socket& s = of(watched);
  if (level != SOL_SOCKET) return;
  if (option == SO_RCVBUF) s.receive_buffer = buffer_for(value, receive_buffer_min);
  if (option == SO_BROADCAST) s.broadcasts = value != 0;
  if (option != SO_SNDBUF) return;
  s.send_buffer = buffer_for(value, send_buffer_min);
  if (s.owes_write && s.leaving < static_cast<std::size_t>(s.send_buffer)) net_.raise(s, sim_event::can_write);
}

int sim_datagrams::option(const endpoint& watched, int level, int option) const noexcept {
  const socket& s = of(watched);
  if (level != SOL_SOCKET) return 0;
  switch (option) {
    case SO_RCVBUF: return s.receive_buffer;
    case SO_SNDBUF: return s.send_buffer;
    case SO_BROADCAST: return s.broadcasts ? 1 : 0;
    default: return 0;
  }
}

std::uint64_t sim_datagrams::dropped(const endpoint& watched) const noexcept { return of(watched).dropped; }

address sim_datagrams::local_address(const endpoint& watched) const noexcept {
  const socket& s = of(watched);
  return s.is_v6 ? mapped(s.local) : s.local;
}

address sim_datagrams::peer_address(const endpoint& watched) const noexcept {
  const socket& s = of(watched);
  if (!s.connected || s.peer.port() == 0) return {};
  return s.is_v6 ? mapped(s.peer) : s.peer;
}

void sim_datagrams::close(endpoint& watched) noexcept {
  LEVITY_ASSERT(!watched.reading.has_waiter_approx() && !watched.writing.has_waiter_approx(),
                "a socket is closed when no task waits on it");
  socket& s = of(watched);
  if (!s.severed) net_.trace_at(site_, std::uint64_t{s.id} << 1);
  net_.unwatch(s);
  sockets_.erase(s.id);
}

// What another host sent here stays on its way: its kernel, or nobody, receives it.
void sim_datagrams::sever() noexcept {
  for (site_number each = 0; each < net_.sites(); each++) net_.datagrams_of(each).lose_what_is_in(site_);
  for (const auto& [id, each] : sockets_) {
    if (std::exchange(each->severed, true)) continue;
    each->queue.clear();
    each->held = 0;
    net_.raise(*each, sim_event::can_read | sim_event::can_write);
  }
}

// Of what is on its way to here. It stays due, and nothing comes of it.
void sim_datagrams::lose_what_is_in(site_number severed) noexcept {
  for (auto& [its, what] : flights_) {
    if (what.what == flight::kind::out || what.from_site != severed) continue;
    const bool is_within = severed == site_;
    if (!is_within && (net_.has_power(severed) || what.out_ns <= net_.now_ns())) continue;
    what.what = flight::kind::lost;
    what.bytes = {};
  }
}

std::uint64_t sim_datagrams::check_invariants() const noexcept {
  for (const auto& [id, each] : sockets_) {
    std::size_t held = 0;
    for (const datagram& waiting : each->queue) held += room_for(waiting.bytes.size());
    LEVITY_ASSERT(held == each->held, "a receive buffer holds what waits in it");
    std::size_t leaving = 0;
    for (const auto& [its, what] : flights_) {
      if (what.what == flight::kind::out && what.sender == id) leaving += what.size;
    }
    LEVITY_ASSERT(leaving == each->leaving, "a send buffer holds what has not left");
  }
  return sockets_.size();  // nobody holds one that he does not watch
}

}  // namespace levity::detail
