#include "reactor/sim/sim_network.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "levity/base/assert.hpp"
#include "reactor/sim/byte_words.hpp"
#include "reactor/sim/sim_address.hpp"
#include "reactor/sim/sim_datagrams.hpp"
#include "reactor/sim/sim_unix.hpp"

namespace levity::inline v0::detail {
namespace {

// Within a site.
constexpr std::uint64_t latency_ns_min = 5'000;
constexpr std::uint64_t latency_ns_spread = 200'000;
constexpr std::uint64_t slow_latency_ns_spread = 5'000'000;

constexpr std::size_t window_min = 4096;
constexpr std::size_t window_max = 64 * 1024;
constexpr std::size_t window_asked_max = 1 << 20;
constexpr std::uint16_t first_free_port = 32'768;
constexpr std::int64_t second_ns = 1'000'000'000;

using sim_event::can_read;
using sim_event::can_write;
using sim_event::ended;
using sim_event::failed;

io_error error_of(int code, const char* doing) noexcept { return io_error::from_errno(code, doing); }

// How long so many bytes are on their way out.
std::int64_t takes_ns(const sim_link& by, std::size_t bytes) noexcept {
  if (by.bytes_per_second == 0) return 0;
  return static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(by.bytes_per_second));
}

}  // namespace

sim_network::sim_network(std::uint64_t seed) : seed_(seed), random_(seed) {}

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

// A transfer of at most `most` bytes, often cut short.
std::size_t sim_network::draw_size(std::size_t most) noexcept {
  return one_in(4) ? 1 + static_cast<std::size_t>(draw(most)) : most;
}

// Questions that need not be asked any more are none: else nobody could tell a deadlock while one is left.
std::int64_t sim_network::next_arrival_ns() noexcept {
  const auto is_void = [&](const arrival& each) {
    if (each.what == due::datagram) return false;
    const socket* to = find(each.to);
    if (each.what == due::timer) return to == nullptr || to->timer_ns != each.at_ns;
    return each.what == due::request && to != nullptr && crosses(*to) && !to->connecting;
  };
  while (!arrivals_.empty() && is_void(arrivals_.top())) arrivals_.pop();
  return arrivals_.empty() ? no_time : arrivals_.top().at_ns;
}

void sim_network::advance(std::int64_t to_ns) noexcept {
  now_ns_ = std::max(now_ns_, to_ns);
  while (!arrivals_.empty() && arrivals_.top().at_ns <= now_ns_) {
    const arrival next = arrivals_.top();
    arrivals_.pop();
    arrived_++;
    const bool is_socket = next.what != due::datagram;
    socket* to = is_socket ? find(next.to) : nullptr;
    if (is_socket && to == nullptr) continue;
    switch (next.what) {
      case due::datagram: datagrams_of(next.site).arrive(next.to); break;
      case due::segments: next_arrival_at(*to); break;
      case due::request: requested(*to); break;
      case due::timer:
        if (to->timer_ns == next.at_ns) look(*to);
        break;
    }
  }
}

// The first segment on its way to a socket is due. It may have been dropped since: then another one is first, or none.
void sim_network::next_arrival_at(socket& to) {
  const number id = to.id;
  if (crosses(to) && !send_due(to)) return;
  if (to.inbound.empty() || to.inbound.front().arrival_ns > now_ns_) return;
  const bool passes_by = to.inbound.front().what == segment::kind::credit;
  const bool is_again = to.inbound.front().attempts > 0;
  if (to.inbound.front().lost || !sites_[to.site]->has_power) {
    if (send_again(to)) return;
  } else {
    segment what = std::move(to.inbound.front());
    to.inbound.pop_front();
    arrive(to, std::move(what));
  }
  socket* still = find(id);
  if (still == nullptr) return;
  if (still->inbound.empty()) {
    if (crosses(*still)) erase_if_done(*still);
    return;
  }
  // What has come meanwhile had to wait for this one.
  segment& next = still->inbound.front();
  if (!passes_by) next.since_ns = now_ns_;
  // Whoever waited for a timeout goes on with the next one when he hears that this one has come.
  if (is_again && next.lost && !next.held && is_of_stream(next)) {
    const sim_link& back = link(still->site, still->other_site);
    const std::int64_t heard_ns = now_ns_ + back.latency_ns + back.jitter_ns / 2;
    next.arrival_ns = next.arrival_ns > now_ns_ ? std::min(next.arrival_ns, heard_ns) : heard_ns;
    return push_arrival(next.arrival_ns, id);
  }
  if (next.arrival_ns <= now_ns_) push_arrival(now_ns_, id);
}

// Between sites: what waits behind others to be sent, or to be sent again because those have told of it. False: its receiver is
// gone.
bool sim_network::send_due(socket& to) {
  for (std::size_t i = 0; i < to.inbound.size(); i++) {
    segment& each = to.inbound[i];
    if (!each.lost || each.arrival_ns > now_ns_) continue;
    socket* from = find(each.from);
    if (from == nullptr || from->over) return true;  // see send_again()
    if (!each.held) {
      if (i == 0 || each.attempts > 1 || !is_of_stream(each)) continue;
      each.attempts++;
      set_off(*from, to, each);
      push_arrival(each.arrival_ns, to.id);
      continue;
    }
    if (!from->unsure || is_open(to.site, from->site)) {
      send_held(*from, to);
      return true;
    }
    // Nobody tells that there is room on the way.
    if (++each.attempts > data_retries) return give_up(*from, to);
    each.arrival_ns = now_ns_ + backed_off_ns(timeout_ns(from->site, to.site), each.attempts);
    push_arrival(each.arrival_ns, to.id);
    return true;
  }
  return true;
}

// On what is on its way to a socket. False: that is gone, too.
bool sim_network::give_up(socket& from, socket& to) {
  const number id = to.id;
  to.inbound.clear();
  break_off(from, ETIMEDOUT);
  socket* still = find(id);
  if (still != nullptr && crosses(*still)) erase_if_done(*still);
  return find(id) != nullptr;
}

// The first segment on its way to a socket has not come there. False: it is gone, and what is behind it may come.
bool sim_network::send_again(socket& to) {
  segment& first = to.inbound.front();
  using kind = segment::kind;
  if (crosses(to) && (first.what == kind::rst || first.what == kind::credit || first.what == kind::established)) {
    to.inbound.pop_front();
    return false;
  }
  const number id = to.id;
  socket* from = find(first.from);
  if (from == nullptr || from->over) {
    to.inbound.clear();
    if (to.awaiting) {
      abandon(to);
    } else if (crosses(to)) {
      erase_if_done(to);
    }
    return true;
  }
  const bool confirms = first.what == kind::confirmed;
  const bool too_long = !confirms && from->user_timeout_ns > 0 && now_ns_ - first.since_ns >= from->user_timeout_ns;
  if (++first.attempts > (confirms ? handshake_retries : 1 + data_retries) || too_long) {
    if (confirms) {
      // The server's kernel forgets the half; the client believes that it is connected until it says something.
      to.inbound.pop_front();
      if (to.awaiting) abandon(to);
      return false;
    }
    give_up(*from, to);
    return true;
  }
  set_off(*from, to, first);
  push_arrival(first.arrival_ns, id);
  return true;
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
  const std::vector<number> all = gone.sockets;
  for (const number id : all) {
    socket* found = find(id);
    if (found == nullptr) continue;
    socket& s = *found;
    if (s.closed || s.severed) {  // its process was gone before; now its kernel is, too
      if (!silently) continue;
      darken(s);
      erase_if_done(s);
      continue;
    }
    if (s.awaiting) {
      if (silently) darken(s);
      abandon(s);
      continue;
    }
    if (s.listener) {
      for (const number queued : std::exchange(s.queue, {})) {
        socket& waits = *find(queued);
        if (silently) {
          darken(waits);
        } else if (!waits.over) {
          send_reset(waits);
        }
        abandon(waits);
      }
      unlist(s);
      s.listener = false;
    } else if (!silently && !s.connecting && !s.broken) {
      // As a process that ends: what it has not read makes a reset of it.
      if (s.unread_bytes() > 0) {
        send_reset(s);
        if (crosses(s)) end(s);
      } else if (!s.fin_sent) {
        send(s, {.what = segment::kind::fin});
      }
    }
    s.severed = true;
    if (silently) darken(s);
    s.broken = true;
    s.broken_by = ECONNRESET;
    s.connecting = false;
    raise(s, can_read | can_write | ended | failed);
    erase_if_done(s);
  }
  gone.datagrams->sever();
  gone.unix_sockets->sever();
}

// Its site loses power: what was on the wire arrives, what had to be sent again will not be, and nothing behind it counts.
void sim_network::darken(socket& s) noexcept {
  s.severed = true;
  s.dark = true;
  s.over = true;
  if (!crosses(s)) return;
  if (socket* peer = find(s.other)) {
    peer->inbound.erase(std::ranges::find_if(peer->inbound, [](const segment& each) { return each.lost; }), peer->inbound.end());
  }
  end(s);
}

// ---- sockets ---------------------------------------------------------------------------------------------------------

sim_network::socket& sim_network::create(site_number at) {
  auto made = std::make_unique<socket>();
  made->id = next_id_++;
  made->site = at;
  made->other_site = at;
  made->heard_ns = now_ns_;
  // Most windows are wide, some are so narrow that every message is cut.
  made->window = window_min + static_cast<std::size_t>(draw(one_in(4) ? window_min : window_max));
  const number given = made->id;
  socket& result = sockets_.add(given, std::move(made));
  std::vector<number>& listed = sites_[at]->sockets;
  if (listed.size() == listed.capacity()) {
    std::erase_if(listed, [this](number id) { return find(id) == nullptr; });
    // Else a list that is full of those that live would be looked through at each connection.
    if (listed.size() > listed.capacity() / 2) listed.reserve(2 * listed.size());
  }
  listed.push_back(result.id);
  return result;
}

sim_network::socket& sim_network::of(const endpoint& watched) const noexcept {
  socket* found = find(static_cast<number>(watched.fd));
  LEVITY_ASSERT(found != nullptr && found->watch == &watched, "an endpoint is used only while it is open");
  return *found;
}

endpoint* sim_network::watch(sim_socket& s, reactor& home) {
  endpoint& made = allocate_endpoint();
  made.fd = static_cast<int>(s.id);
  made.home = &home;
  s.watch = &made;
  sites_[s.site]->watched++;
  return &made;
}

void sim_network::unwatch(sim_socket& s) noexcept {
  free_endpoint(*s.watch);
  s.watch = nullptr;
  sites_[s.site]->watched--;
  if (s.pending != 0) {
    s.pending = 0;
    std::vector<sim_socket*>& pending = sites_[s.site]->pending;
    pending.erase(std::find(pending.begin(), pending.end(), &s));
  }
}

void sim_network::erase(socket& s) noexcept {
  if (s.listener) unlist(s);
  sockets_.erase(s.id);
}

void sim_network::unlist(const socket& listener) noexcept {
  std::vector<number>& listed = sites_[listener.site]->listeners;
  listed.erase(std::find(listed.begin(), listed.end(), listener.id));
}

// Who is held by nobody goes away when nobody will hear of it again; see the preface.
void sim_network::erase_if_done(socket& s) noexcept {
  if (!is_left(s)) return;
  socket* peer = find(s.other);
  if (!crosses(s)) {
    const bool both_severed = peer != nullptr && s.severed && peer->severed && is_left(*peer);
    if (both_severed) erase(*peer);
    if (both_severed || peer == nullptr || (s.fin_sent && s.fin_received)) erase(s);
    return;
  }
  if (peer != nullptr && peer->other == s.id) {
    if (!peer->over && (!is_left(*peer) || !s.inbound.empty() || !peer->inbound.empty())) return;
    if (is_left(*peer)) erase(*peer);
  }
  erase(s);
}

// Between sites: it sends nothing any more. Its other half goes away, if nobody holds it any more; it itself does not.
void sim_network::end(socket& s) noexcept {
  s.over = true;
  s.timer_ns = no_time;
  socket* peer = find(s.other);
  if (peer != nullptr && peer->other == s.id && is_left(*peer)) erase(*peer);
}

// Of a connection that nobody will accept.
void sim_network::abandon(socket& s) noexcept {
  s.awaiting = false;
  s.closed = true;
  if (!crosses(s)) return erase(s);
  end(s);
  erase_if_done(s);
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

// When the last of so many bytes is out, if they are sent now.
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

// As who sends has measured it: with what waits in front of the link.
std::int64_t sim_network::round_trip_ns(site_number from, site_number to) noexcept {
  const sim_link& there = link(from, to);
  const sim_link& back = link(to, from);
  const std::int64_t queue_ns = there.bytes_per_second > 0 ? std::max(there.busy_until_ns - now_ns_, std::int64_t{0}) : 0;
  return queue_ns + there.latency_ns + back.latency_ns + (there.jitter_ns + back.jitter_ns) / 2;
}

std::int64_t sim_network::timeout_ns(site_number from, site_number to) noexcept {
  return retransmission_timeout_ns(round_trip_ns(from, to), link(from, to).jitter_ns + link(to, from).jitter_ns);
}

void sim_network::record(sim_happening::kind what, const socket& at, std::size_t bytes) const noexcept {
  if (recorder_ != nullptr) recorder_->record({what, now_ns_, at.site, at.other_site, at.peer, bytes});
}

// Says when it arrives, or when it is sent again.
void sim_network::set_off(socket& from, socket& to, segment& what) {
  what.out_ns = now_ns_;
  if (crosses(from)) {
    set_off_between(from, to, what);
  } else {
    what.arrival_ns = draw_arrival_ns(from.site, to.site, what.bytes.size());
  }
  what.arrival_ns = std::max(what.arrival_ns, now_ns_ + 1);
}

// Of the packets that have to be sent, some are lost. Those have to be sent again, and all of it arrives when they do.
void sim_network::set_off_between(socket& from, socket& to, segment& what) {
  unsigned lost = 0;
  unsigned before = 0;  // the first that is lost
  unsigned behind = 0;  // the last
  const auto count = [&](bool comes) {
    if (comes) {
      (lost == 0 ? before : behind)++;
    } else {
      lost++;
      behind = 0;
    }
  };
  const bool is_first = what.attempts == 0;
  const std::size_t size = what.bytes.size();
  const bool joins = is_first && is_of_stream(what) && from.open_packet_ns == now_ns_ && size <= from.open_packet_room;
  if (joins) {
    from.open_packet_room -= size;
    count(!from.open_packet_lost);
  } else {
    for (unsigned i = 0; i < what.packets; i++) count(passes(from.site, to.site));
    if (is_first && is_of_stream(what)) {
      from.open_packet_ns = now_ns_;
      from.open_packet_room = what.packets * packet_bytes - size;
      from.open_packet_lost = lost > 0 && behind == 0;
    }
  }
  sim_link& by = link(from.site, to.site);
  const sim_link& back = link(to.site, from.site);
  const std::int64_t trip_ns = round_trip_ns(from.site, to.site);
  const std::int64_t waits_ns = timeout_ns(from.site, to.site);
  const std::size_t came = what.packets - lost;
  std::int64_t out_ns = now_ns_;
  if (came > 0) out_ns = leave_ns(by, std::min(size, came * packet_bytes) + (joins ? 0 : came * header_bytes));
  const unsigned sent_before = from.congestion.sent;
  what.lost = false;
  if (is_of_stream(what)) {
    const std::int64_t rest_ns = came > 1 ? takes_ns(by, (came - 1) * (packet_bytes + header_bytes)) : 0;
    const std::int64_t arrives_ns = std::max(out_ns - rest_ns, now_ns_) + by.latency_ns;
    const std::int64_t heard_ns = arrives_ns + back.latency_ns + (by.jitter_ns + back.jitter_ns) / 2;
    from.congestion.add(joins ? 0 : what.packets, now_ns_, arrives_ns, heard_ns);
    if (came > 0 && !joins) tell_of_lost(from, to, now_ns_ + (came >= 3 ? trip_ns : trip_ns + trip_ns / 4));
  }
  if (lost == 0) {
    what.credit += std::exchange(from.credit_owed, 0);
    what.arrival_ns = out_ns + draw_latency_ns(by);
    return;
  }
  record(sim_happening::kind::lost, from, size);
  what.lost = true;
  what.packets = lost;
  if (!is_of_stream(what)) {
    what.arrival_ns = now_ns_ + backed_off_ns(connect_timeout_ns, what.attempts + 1U);
    return;
  }
  // Over a path that is cut nobody hears a probe.
  const unsigned heard_of = is_open(from.site, to.site) ? lost : 1;
  const bool is_told = is_first || (what.attempts == 1 && behind > 0);
  what.arrival_ns = now_ns_ + (is_told ? first_again_ns(heard_of, behind, from.congestion.sent <= 1, trip_ns, waits_ns)
                                       : backed_off_ns(waits_ns, what.attempts));
  if (came > 0 || behind > 0) {
    from.congestion.lose(sent_before + before);
  } else {
    from.congestion.time_out(what.arrival_ns, trip_ns, is_first);
  }
  if (from.user_timeout_ns > 0) what.arrival_ns = std::min(what.arrival_ns, what.since_ns + from.user_timeout_ns);
}

// Packets that are sent now pass: what was lost before them, and was not sent again after a timeout, is sent again when they have
// been heard of.
void sim_network::tell_of_lost(socket& from, socket& to, std::int64_t at_ns) {
  for (segment& each : to.inbound) {
    if (!each.lost || each.held || each.attempts > 1 || !is_of_stream(each) || each.arrival_ns <= at_ns) continue;
    each.arrival_ns = at_ns;
    from.congestion.over_ns = std::min(from.congestion.over_ns, at_ns);
    push_arrival(at_ns, to.id);
  }
}

void sim_network::send(socket& from, segment what) {
  if (what.what == segment::kind::fin) from.fin_sent = true;
  socket* there = find(from.other);
  if (there == nullptr || from.dark) return;
  const bool far = crosses(from);
  if (far && from.over) return;
  what.from = from.id;
  what.since_ns = now_ns_;
  if (far && is_of_stream(what)) {
    what.lost = what.held = true;
    what.arrival_ns = no_time;
    what.packets = packets_of(what.bytes.size());
    if (!there->inbound.empty() && there->inbound.back().held) {
      segment& last = there->inbound.back();
      if (what.what != segment::kind::data) return there->inbound.push_back(std::move(what));
      last.bytes.insert(last.bytes.end(), what.bytes.begin(), what.bytes.end());
      last.packets = packets_of(last.bytes.size());
      return;
    }
    there->inbound.push_back(std::move(what));
    return send_held(from, *there);
  }
  set_off(from, *there, what);
  if (far && what.lost && what.what == segment::kind::established) return;  // the client asks again
  put_on_its_way(*there, what);
  there->inbound.push_back(std::move(what));
}

// It has been set off, and comes behind what was before.
void sim_network::put_on_its_way(socket& to, segment& what) {
  what.arrival_ns = std::max(what.arrival_ns, to.last_arrival_ns + 1);
  if (!what.lost) {
    to.last_arrival_ns = what.arrival_ns;
    // Whatever comes from a client confirms the connection, too.
    if (!to.inbound.empty()) {
      if (segment& first = to.inbound.front(); first.lost && first.what == segment::kind::confirmed) {
        first.lost = false;
        first.out_ns = now_ns_;
        first.arrival_ns = what.arrival_ns;
      }
    }
  }
  push_arrival(what.arrival_ns, to.id);
}

// As many packets as may be on the way. What is left waits until this round trip is over.
void sim_network::send_held(socket& from, socket& to) {
  const auto first_held = std::ranges::find_if(to.inbound, [](const segment& each) { return each.held; });
  auto next = static_cast<std::size_t>(first_held - to.inbound.begin());
  for (; next < to.inbound.size(); next++) {
    const unsigned room = from.congestion.room(now_ns_, timeout_ns(from.site, to.site));
    if (to.inbound[next].what == segment::kind::data) {
      if (room == 0) break;
      if (to.inbound[next].packets > room) {
        std::vector<std::byte>& bytes = to.inbound[next].bytes;
        const auto cut = bytes.begin() + static_cast<std::ptrdiff_t>(room * packet_bytes);
        segment rest{.what = segment::kind::data, .lost = true, .held = true, .packets = to.inbound[next].packets - room};
        rest.from = from.id;
        rest.since_ns = now_ns_;
        rest.arrival_ns = no_time;
        rest.bytes.assign(cut, bytes.end());
        bytes.erase(cut, bytes.end());
        to.inbound[next].packets = room;
        to.inbound.insert(to.inbound.begin() + static_cast<std::ptrdiff_t>(next) + 1, std::move(rest));
      }
    }
    segment& what = to.inbound[next];
    what.held = false;
    what.attempts = 0;
    set_off(from, to, what);
    put_on_its_way(to, what);
  }
  if (next == to.inbound.size()) return;
  const std::int64_t at_ns = std::max(from.congestion.over_ns, now_ns_ + 1);
  if (to.inbound[next].arrival_ns == at_ns) return;
  to.inbound[next].arrival_ns = at_ns;
  push_arrival(at_ns, to.id);
}

// Of bytes that were read.
void sim_network::send_credit(socket& from, std::size_t bytes) {
  if (!crosses(from)) return send(from, {.what = segment::kind::credit, .credit = bytes});
  socket* there = find(from.other);
  if (there == nullptr || from.over) return;
  from.credit_owed += bytes;
  if (passes(from.site, there->site)) {
    push_credit(from, *there);
  } else {
    record(sim_happening::kind::lost, from);
  }
}

// All that is owed, between sites, by a packet that passes. It does not wait for what was lost before.
void sim_network::push_credit(socket& from, socket& to) {
  segment what{.what = segment::kind::credit, .out_ns = now_ns_, .credit = std::exchange(from.credit_owed, 0), .from = from.id};
  what.arrival_ns = std::max(draw_arrival_ns(from.site, to.site, header_bytes), now_ns_ + 1);
  const auto before = std::ranges::find_if(to.inbound, [](const segment& each) { return each.lost; });
  if (before != to.inbound.begin()) what.arrival_ns = std::max(what.arrival_ns, std::prev(before)->arrival_ns + 1);
  if (before == to.inbound.end()) {
    what.arrival_ns = std::max(what.arrival_ns, to.last_arrival_ns + 1);
    to.last_arrival_ns = what.arrival_ns;
  }
  const std::int64_t arrival_ns = what.arrival_ns;
  to.inbound.insert(before, std::move(what));
  push_arrival(arrival_ns, to.id);
}

// Once. False: it was lost.
bool sim_network::send_reset(socket& from) {
  socket* there = find(from.other);
  if (there == nullptr) return true;
  if (!passes(from.site, there->site)) return false;
  push_reset(from, *there);
  return true;
}

// A reset overtakes, or not, what is still on its way; never only a part: an end of stream must stand for all bytes.
void sim_network::push_reset(socket& from, socket& to) {
  const auto is_reset = [](const segment& each) { return each.what == segment::kind::rst; };
  if (crosses(from) && std::ranges::any_of(to.inbound, is_reset)) return;
  const auto stops = [](const segment& each) { return each.lost; };
  if (one_in(2) || std::ranges::any_of(to.inbound, stops)) {
    std::erase_if(to.inbound, [](const segment& each) {
      return each.what == segment::kind::data || each.what == segment::kind::fin || each.lost;
    });
  }
  segment what{.what = segment::kind::rst, .out_ns = now_ns_, .from = from.id};
  what.arrival_ns = std::max(draw_arrival_ns(from.site, to.site, header_bytes), now_ns_ + 1);
  if (!to.inbound.empty()) what.arrival_ns = std::max(what.arrival_ns, to.inbound.back().arrival_ns + 1);
  to.last_arrival_ns = what.arrival_ns;
  const std::int64_t arrival_ns = what.arrival_ns;
  to.inbound.push_back(std::move(what));
  push_arrival(arrival_ns, to.id);
}

// To a segment that has just come. Who does not get the answer asks for it.
void sim_network::answer_by_reset(socket& s) {
  const bool is_told = send_reset(s);
  socket* sender = crosses(s) ? find(s.other) : nullptr;
  if (sender == nullptr || sender->over) return;
  if (!is_told) {
    sender->unsure = true;
    sender->unsure_ns = now_ns_;
  }
  arm(*sender);
}

// A segment that has just come, between sites. Not a segment of its own: only whether it is lost matters.
void sim_network::acknowledge(socket& s) {
  socket* sender = crosses(s) ? find(s.other) : nullptr;
  if (sender == nullptr || sender->over) return;
  if (passes(s.site, sender->site)) {
    sender->unsure = false;
    sender->unanswered = 0;
    sender->heard_ns = now_ns_;
    if (s.credit_owed > 0) push_credit(s, *sender);
  } else {
    sender->unsure = true;
    sender->unsure_ns = now_ns_;
  }
  arm(*sender);
}

// Asks the other site for a connection, once more.
void sim_network::request(socket& client) {
  client.request_lost = !passes(client.site, client.other_site);
  if (client.request_lost) record(sim_happening::kind::unanswered, client);
  client.requests++;
  client.requested_ns = now_ns_;
  const std::int64_t at_ns = client.request_lost ? now_ns_ + backed_off_ns(connect_timeout_ns, client.requests)
                                                 : draw_arrival_ns(client.site, client.other_site, header_bytes);
  push_arrival(std::max(at_ns, now_ns_ + 1), client.id, due::request);
}

// The request, or the answer to it, was lost: once more, after a while.
void sim_network::ask_later(socket& client) {
  client.request_lost = true;
  const std::int64_t at_ns = client.requested_ns + backed_off_ns(connect_timeout_ns, client.requests);
  push_arrival(std::max(at_ns, now_ns_ + 1), client.id, due::request);
}

void sim_network::requested(socket& client) {
  const bool far = crosses(client);
  if (!client.connecting || client.closed || client.severed || (!far && client.other != nobody)) return;
  trace(client.id);
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
  socket* listener = sites_[client.other_site]->has_process ? listener_at(client.other_site, client.peer) : nullptr;
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
  if (listener->owes_read || one_in(2)) raise(*listener, can_read);
}

// It has been answered, and looks for the last word after a while.
void sim_network::answer_later(socket& half) {
  half.answers++;
  half.timer_ns = now_ns_ + backed_off_ns(connect_timeout_ns, half.answers);
  push_arrival(half.timer_ns, half.id, due::timer);
}

// Which has not come: the answer may have been lost.
void sim_network::answer_again(socket& half) {
  if (half.answers > handshake_retries) return abandon(half);
  answer_later(half);
  const socket* client = find(half.other);
  const auto answers = [](const segment& each) { return each.what == segment::kind::established; };
  if (client == nullptr || !client->connecting || std::ranges::any_of(client->inbound, answers)) return;
  send(half, {.what = segment::kind::established});
}

// The last word of a handshake has come.
void sim_network::confirm(socket& half, segment what) {
  if (!half.awaiting) return;
  socket* listener = find(half.listens);
  if (listener == nullptr || !listener->listener) {
    answer_by_reset(half);
    return abandon(half);
  }
  if (listener->queue.size() >= listener->backlog) {  // not heard, as a kernel does: there will be another one
    what.lost = true;
    what.arrival_ns = now_ns_ + backed_off_ns(connect_timeout_ns, what.attempts + 1U);
    push_arrival(what.arrival_ns, half.id);
    half.inbound.push_front(std::move(what));
    return;
  }
  half.awaiting = false;
  half.timer_ns = no_time;
  acknowledge(half);
  record(sim_happening::kind::connected, half);
  listener->queue.push_back(half.id);
  if (listener->owes_read || one_in(2)) raise(*listener, can_read);
}

// By its site, on behalf of a socket that is not there.
void sim_network::refuse(socket& client) {
  if (!passes(client.other_site, client.site)) return ask_later(client);
  segment what{.what = segment::kind::rst};
  what.arrival_ns = std::max(draw_arrival_ns(client.other_site, client.site, header_bytes), client.last_arrival_ns + 1);
  client.last_arrival_ns = what.arrival_ns;
  push_arrival(what.arrival_ns, client.id);
  client.inbound.push_back(std::move(what));
}

// Nothing can be sent or will come any more.
void sim_network::break_off(socket& s, int error) {
  trace(static_cast<std::uint64_t>(error) << 32 | s.id);
  if (std::exchange(s.awaiting, false)) s.closed = true;
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
  if (crosses(s)) {
    end(s);
  } else {
    s.other = nobody;
  }
  if (!is_heard) return erase_if_done(s);
  raise(s, can_read | can_write | ended | failed);
}

void sim_network::arrive(socket& s, segment what) {
  trace(static_cast<std::uint64_t>(what.what) << 32 | s.id);
  const bool far = crosses(s);
  if (far) {
    if (s.over) {
      if (what.what != segment::kind::rst) answer_by_reset(s);
      return erase_if_done(s);
    }
    if (what.what != segment::kind::rst) {
      s.heard_ns = now_ns_;
      s.unanswered = 0;
      if (what.out_ns > s.unsure_ns) s.unsure = false;
      s.congestion.hear(now_ns_, what.out_ns);
      if (what.what != segment::kind::credit && what.credit > 0) take_credit(s, what.credit);
    }
  }
  // Who has closed, or has lost its process, wants nothing more.
  const auto answers_reset = [&] {
    if (!s.closed && !s.severed) return false;
    if (far) {
      answer_by_reset(s);
      end(s);
    } else {
      send_reset(s);
      s.other = nobody;
    }
    erase_if_done(s);
    return true;
  };
  switch (what.what) {
    case segment::kind::established:
      if (far && !s.connecting && !s.severed) return;
      s.connecting = false;
      if (answers_reset()) return;
      if (far) {
        send(s, {.what = segment::kind::confirmed});
        arm(s);
      }
      return raise(s, can_write);
    case segment::kind::confirmed:
      return confirm(s, std::move(what));
    case segment::kind::data:
      if (answers_reset()) return;
      if (s.unread_from >= s.unread_bytes()) {  // what is moved has been paid for by what was read
        s.unread.erase(s.unread.begin(), s.unread.begin() + static_cast<std::ptrdiff_t>(s.unread_from));
        s.unread_from = 0;
      }
      s.unread.insert(s.unread.end(), what.bytes.begin(), what.bytes.end());
      if (far) acknowledge(s);
      if (s.owes_read || one_in(2)) raise(s, can_read);
      return;
    case segment::kind::credit:
      if (s.severed) return;
      return take_credit(s, what.credit);
    case segment::kind::fin:
      if (s.dark && answers_reset()) return;
      s.fin_received = true;
      if (far) acknowledge(s);
      if (s.closed || s.severed) return erase_if_done(s);
      return raise(s, can_read | ended | (s.fin_sent ? failed : 0));
    case segment::kind::rst:
      return break_off(s, s.connecting ? ECONNREFUSED : s.fin_received && !s.fin_sent ? EPIPE : ECONNRESET);
  }
}

void sim_network::take_credit(socket& s, std::size_t bytes) {
  LEVITY_ASSERT(s.unacknowledged >= bytes, "a peer reads no more than was sent");
  s.unacknowledged -= bytes;
  if (s.owes_write) raise(s, can_write);
  arm(s);
}

// ---- questions, between sites ----------------------------------------------------------------------------------------

bool sim_network::can_ask(const socket& s) noexcept {
  return crosses(s) && !s.over && !s.listener && !s.connecting && !s.awaiting && !s.closed && !s.severed;
}

// Bytes that are on their way are sent again by themselves.
bool sim_network::is_on_its_way(const socket& from) const noexcept {
  const socket* to = find(from.other);
  return to != nullptr && std::ranges::any_of(to->inbound, [](const segment& each) {
    return each.what == segment::kind::data || each.what == segment::kind::fin || each.what == segment::kind::confirmed;
  });
}

bool sim_network::has_to_ask(const socket& s) const noexcept {
  return s.unsure || (s.owes_write && !s.fin_sent && s.unacknowledged >= s.window && !is_on_its_way(s));
}

std::int64_t sim_network::next_retry_ns(const socket& s) noexcept {
  std::int64_t at_ns = now_ns_ + backed_off_ns(timeout_ns(s.site, s.other_site), s.retries + 1);
  if (s.user_timeout_ns > 0) at_ns = std::min(at_ns, s.stalled_ns + s.user_timeout_ns);
  return std::max(at_ns, now_ns_ + 1);
}

std::int64_t sim_network::next_probe_ns(const socket& s) noexcept {
  return s.unanswered == 0 ? s.heard_ns + s.idle_s * second_ns : s.probed_ns + s.interval_s * second_ns;
}

// Whoever changes what a socket has to ask about says so here.
void sim_network::arm(socket& s) {
  if (!can_ask(s)) return;
  if (!has_to_ask(s)) {
    s.retry_ns = no_time;
    s.retries = 0;
  } else if (s.retry_ns == no_time) {
    s.stalled_ns = now_ns_;
    s.retry_ns = next_retry_ns(s);
  }
  std::int64_t at_ns = s.retry_ns;
  if (s.keeps_alive) {
    const std::int64_t probe_ns = next_probe_ns(s);
    at_ns = std::min(at_ns, probe_ns > now_ns_ ? probe_ns : now_ns_ + s.idle_s * second_ns);
  }
  // A timer that comes too early looks, and comes again.
  if (at_ns >= s.timer_ns) return;
  s.timer_ns = at_ns;
  push_arrival(at_ns, s.id, due::timer);
}

// Its timer has come.
void sim_network::look(socket& s) {
  s.timer_ns = no_time;
  if (s.awaiting) return answer_again(s);
  if (!can_ask(s)) return;
  if (has_to_ask(s)) {
    if (s.retry_ns <= now_ns_) {
      const bool too_long = s.user_timeout_ns > 0 && now_ns_ - s.stalled_ns >= s.user_timeout_ns;
      if (s.unanswered >= data_retries || too_long) return break_off(s, ETIMEDOUT);
      s.retries++;
      ask(s);
      s.retry_ns = next_retry_ns(s);
    }
  } else if (s.keeps_alive && next_probe_ns(s) <= now_ns_ && !is_on_its_way(s)) {
    const bool too_long = s.user_timeout_ns > 0 ? s.unanswered > 0 && now_ns_ - s.heard_ns >= s.user_timeout_ns
                                                : s.unanswered >= static_cast<unsigned>(s.probes);
    if (too_long) {
      send_reset(s);
      return break_off(s, ETIMEDOUT);
    }
    s.probed_ns = now_ns_;
    ask(s);
  }
  arm(s);
}

// A packet of no bytes and the answer to it, drawn at once.
void sim_network::ask(socket& s) {
  s.unanswered++;
  if (!passes(s.site, s.other_site) || !passes(s.other_site, s.site)) return;
  socket* peer = find(s.other);
  LEVITY_ASSERT(peer != nullptr, "a connection between sites has both of its halves");
  if (peer->over) return push_reset(*peer, s);
  s.unanswered = 0;
  s.unsure = false;
  s.heard_ns = now_ns_;
  if (peer->credit_owed > 0) push_credit(*peer, s);
}

// ---- events ----------------------------------------------------------------------------------------------------------

void sim_network::raise(sim_socket& s, unsigned what) {
  if (s.watch == nullptr) return;
  if (s.pending == 0) sites_[s.site]->pending.push_back(&s);
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
  if (more_to_read(s)) raise(s, can_read | s.standing());
}

void sim_network::owe_write(socket& s) {
  s.owes_write = true;
  if (more_to_write(s)) raise(s, can_write | s.standing());
  arm(s);
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

bool sim_network::taken(site_number at, const address& wanted, bool reuse_port, bool takes_v4) const noexcept {
  return std::ranges::any_of(sites_[at]->listeners, [&](number id) {
    const socket& other = *find(id);
    if (other.local.port() != wanted.port()) return false;
    const bool is_same_family = other.local.is_v6() == wanted.is_v6();
    if (!is_same_family && !(wanted.is_v6() ? takes_v4 : other.takes_v4)) return false;
    if (reuse_port && other.reuse_port) return false;
    return !is_same_family || is_wildcard(wanted) || is_wildcard(other.local) || same_host(wanted, other.local);
  });
}

// A port nobody listens on; 0 if there is none.
std::uint16_t sim_network::free_port(site_number at, const address& host, bool takes_v4) noexcept {
  constexpr unsigned ports = 65'536 - first_free_port;
  for (unsigned tries = 0; tries < ports; tries++) {
    const auto port = static_cast<std::uint16_t>(first_free_port + sites_[at]->next_port++ % ports);
    if (!taken(at, with_port(host, port), false, takes_v4)) return port;
  }
  return 0;
}

// Who listens at `wanted`; among several, the seed chooses.
sim_network::socket* sim_network::listener_at(site_number at, const address& wanted) {
  std::vector<number> found;
  for (const number id : sites_[at]->listeners) {
    const socket& each = *find(id);
    if (each.local.port() != wanted.port()) continue;
    if (each.local.is_v6() != wanted.is_v6()) {
      if (each.takes_v4) found.push_back(id);
      continue;
    }
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
  sites_[at]->listeners.push_back(made.id);
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
  s.queue.erase(s.queue.begin());
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
    send_credit(s, moved);
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
  if (moved < asked) {
    owe_write(s);
  } else {
    arm(s);
  }
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
  if (!s.severed) trace_at(s.site, std::uint64_t{s.id} << 1 | (abort ? 1 : 0));
  unwatch(s);
  if (s.severed) return erase_if_done(s);
  if (s.listener) {
    // Who waits in the queue is reset; who is on the way to it will be refused.
    for (const number id : s.queue) {
      socket& queued = *find(id);
      if (!queued.over) send_reset(queued);
      abandon(queued);
    }
    return erase(s);
  }
  s.closed = true;
  if (s.connecting) {
    // The request may not have arrived: then it finds nobody. Else the acknowledgement is answered by a reset.
    if (s.other == nobody) return erase(s);
    if (crosses(s)) erase_if_done(s);
    return;
  }
  if (abort || s.unread_bytes() > 0) {
    if (!s.over) send_reset(s);
    if (!crosses(s)) return erase(s);
    end(s);
    return erase_if_done(s);
  }
  if (!s.fin_sent && !s.broken) send(s, {.what = segment::kind::fin});
  erase_if_done(s);
}

address sim_network::local_address(const endpoint& watched) const noexcept { return of(watched).local; }

address sim_network::peer_address(const endpoint& watched) const noexcept { return of(watched).peer; }

io_result<void> sim_network::set_option(endpoint& watched, int level, int option, int value) noexcept {
  socket& s = of(watched);
  if (s.severed) return {};
  if (level == IPPROTO_TCP) {
    switch (option) {
      case TCP_USER_TIMEOUT: s.user_timeout_ns = std::int64_t{std::max(value, 0)} * 1'000'000; break;
      case TCP_KEEPIDLE: s.idle_s = std::max(value, 1); break;
      case TCP_KEEPINTVL: s.interval_s = std::max(value, 1); break;
      case TCP_KEEPCNT: s.probes = std::max(value, 1); break;
      default: return {};
    }
    arm(s);
    return {};
  }
  if (level != SOL_SOCKET) return {};
  const auto window = std::min(static_cast<std::size_t>(std::max(value, 1)), window_asked_max);
  if (option == SO_KEEPALIVE) {
    s.keeps_alive = value != 0;
    arm(s);
  } else if (option == SO_SNDBUF) {
    s.window = window;
    if (s.owes_write) owe_write(s);
  } else if (socket* peer = option == SO_RCVBUF ? find(s.other) : nullptr) {
    peer->window = std::min(peer->window, window);
    arm(*peer);
  }
  return {};
}

void sim_network::check_invariants() const noexcept {
  std::vector<std::uint64_t> watched(sites_.size());
  sockets_.each([&](const socket& checked) {
    const socket* const each = &checked;
    if (each->watch != nullptr) watched[each->site]++;
    const std::vector<sim_socket*>& pending = sites_[each->site]->pending;
    LEVITY_ASSERT(each->unread.size() <= 2 * window_asked_max, "what has been read makes room");
    LEVITY_ASSERT((each->pending != 0) == (std::count(pending.begin(), pending.end(), each) == 1),
                  "a socket with an event is listed once");
    const socket* peer = find(each->other);
    if (crosses(*each)) {
      LEVITY_ASSERT(each->over || each->severed || each->listener || each->connecting || peer != nullptr,
                    "a connection between sites has both of its halves");
      LEVITY_ASSERT(!can_ask(*each) || !has_to_ask(*each) || each->timer_ns != no_time, "who has to ask has a timer");
      LEVITY_ASSERT(!is_left(*each) || (peer != nullptr && !peer->over), "who is held by nobody stays for a peer that may send");
    }
    if (peer == nullptr || peer->broken || each->broken || peer->closed || peer->over || each->over) return;
    std::size_t outstanding = peer->unread_bytes() + peer->credit_owed;
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
  });
  for (std::size_t i = 0; i < sites_.size(); i++) {
    watched[i] += sites_[i]->datagrams->check_invariants() + sites_[i]->unix_sockets->check_invariants();
    LEVITY_ASSERT(watched[i] == sites_[i]->watched, "every open endpoint is counted once");
  }
}

}  // namespace levity::detail
