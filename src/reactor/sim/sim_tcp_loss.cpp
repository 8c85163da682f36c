#include "reactor/sim/sim_tcp.hpp"

// What is sent; between sites, what of it is lost, sent again and asked about.
//
// No byte is ever missing from a stream: a packet that is lost, or sent over a link that is cut or to a site without power, is sent
// again, and what was sent behind it waits: after a round trip, if other packets behind it tell of it, else after a timeout that
// doubles (sim_link.hpp). Who has sent it in vain for the last time has ETIMEDOUT, and the other end is none the wiser: half-open.
// Sent only once are
//   a reset          whoever goes on sending meets another one
//   room (credit)    what was lost goes with the next packet that passes
//   the answer to a request for a connection, which has a clock of its own (sim_tcp_handshake.cpp)
// So a sender asks (`timer`) while it does not know whether what it sent has come (`unsure`), while it wants to write and its
// window is full, and, with SO_KEEPALIVE, while it hears nothing. A question that passes both ways brings the room that is owed, or
// a reset. One that is never answered ends in ETIMEDOUT.

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

}  // namespace

// ---- how long it takes -----------------------------------------------------------------------------------------------

// As who sends has measured it: with what waits in front of the link.
std::int64_t sim_tcp::round_trip_ns(site_number from, site_number to) const noexcept {
  const sim_link& there = net_.link(from, to);
  const sim_link& back = net_.link(to, from);
  const std::int64_t queue_ns = there.bytes_per_second > 0 ? std::max(there.busy_until_ns - net_.now_ns(), std::int64_t{0}) : 0;
  return queue_ns + there.latency_ns + back.latency_ns + (there.jitter_ns + back.jitter_ns) / 2;
}

std::int64_t sim_tcp::timeout_ns(site_number from, site_number to) const noexcept {
  return retransmission_timeout_ns(round_trip_ns(from, to), net_.link(from, to).jitter_ns + net_.link(to, from).jitter_ns);
}

// ---- sending ---------------------------------------------------------------------------------------------------------

void sim_tcp::send(socket& from, segment what) {
  if (what.what == segment::kind::fin) from.fin_sent = true;
  socket* there = find(from.other);
  if (there == nullptr || from.dark) return;
  const bool far = crosses(from);
  if (far && from.over) return;
  what.from = from.id;
  what.since_ns = net_.now_ns();
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

// As many packets as may be on the way. What is left waits until this round trip is over.
void sim_tcp::send_held(socket& from, socket& to) {
  const auto first_held = std::ranges::find_if(to.inbound, [](const segment& each) { return each.held; });
  auto next = static_cast<std::size_t>(first_held - to.inbound.begin());
  for (; next < to.inbound.size(); next++) {
    const unsigned room = from.congestion.room(net_.now_ns(), timeout_ns(from.site, to.site));
    if (to.inbound[next].what == segment::kind::data) {
      if (room == 0) break;
      if (to.inbound[next].packets > room) {
        std::vector<std::byte>& bytes = to.inbound[next].bytes;
        const auto cut = bytes.begin() + static_cast<std::ptrdiff_t>(room * packet_bytes);
        segment rest{.what = segment::kind::data, .lost = true, .held = true, .packets = to.inbound[next].packets - room};
        rest.from = from.id;
        rest.since_ns = net_.now_ns();
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
  const std::int64_t at_ns = std::max(from.congestion.over_ns, net_.now_ns() + 1);
  if (to.inbound[next].arrival_ns == at_ns) return;
  to.inbound[next].arrival_ns = at_ns;
  net_.push_arrival(at_ns, to.id);
}

// Says when it arrives, or when it is sent again.
void sim_tcp::set_off(socket& from, socket& to, segment& what) {
  what.out_ns = net_.now_ns();
  if (crosses(from)) {
    set_off_between(from, to, what);
  } else {
    what.arrival_ns = net_.draw_arrival_ns(from.site, to.site, what.bytes.size());
  }
  what.arrival_ns = std::max(what.arrival_ns, net_.now_ns() + 1);
}

// Of the packets that have to be sent, some are lost. Those have to be sent again, and all of it arrives when they do.
void sim_tcp::set_off_between(socket& from, socket& to, segment& what) {
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
  const bool joins = is_first && is_of_stream(what) && from.open_packet_ns == net_.now_ns() && size <= from.open_packet_room;
  if (joins) {
    from.open_packet_room -= size;
    count(!from.open_packet_lost);
  } else {
    for (unsigned i = 0; i < what.packets; i++) count(net_.passes(from.site, to.site));
    if (is_first && is_of_stream(what)) {
      from.open_packet_ns = net_.now_ns();
      from.open_packet_room = what.packets * packet_bytes - size;
      from.open_packet_lost = lost > 0 && behind == 0;
    }
  }
  sim_link& by = net_.link(from.site, to.site);
  const sim_link& back = net_.link(to.site, from.site);
  const std::int64_t trip_ns = round_trip_ns(from.site, to.site);
  const std::int64_t waits_ns = timeout_ns(from.site, to.site);
  const std::size_t came = what.packets - lost;
  std::int64_t out_ns = net_.now_ns();
  if (came > 0) out_ns = net_.leave_ns(by, std::min(size, came * packet_bytes) + (joins ? 0 : came * header_bytes));
  const unsigned sent_before = from.congestion.sent;
  what.lost = false;
  if (is_of_stream(what)) {
    const std::int64_t rest_ns = came > 1 ? takes_ns(by, (came - 1) * (packet_bytes + header_bytes)) : 0;
    const std::int64_t arrives_ns = std::max(out_ns - rest_ns, net_.now_ns()) + by.latency_ns;
    const std::int64_t heard_ns = arrives_ns + back.latency_ns + (by.jitter_ns + back.jitter_ns) / 2;
    from.congestion.add(joins ? 0 : what.packets, net_.now_ns(), arrives_ns, heard_ns);
    if (came > 0 && !joins) tell_of_lost(from, to, net_.now_ns() + (came >= 3 ? trip_ns : trip_ns + trip_ns / 4));
  }
  if (lost == 0) {
    what.credit += std::exchange(from.credit_owed, 0);
    what.arrival_ns = out_ns + net_.draw_latency_ns(by);
    return;
  }
  record(sim_happening::kind::lost, from, size);
  what.lost = true;
  what.packets = lost;
  if (!is_of_stream(what)) {
    what.arrival_ns = net_.now_ns() + backed_off_ns(connect_timeout_ns, what.attempts + 1U);
    return;
  }
  // Over a path that is cut nobody hears a probe.
  const unsigned heard_of = net_.is_open(from.site, to.site) ? lost : 1;
  const bool is_told = is_first || (what.attempts == 1 && behind > 0);
  what.arrival_ns = net_.now_ns() + (is_told ? first_again_ns(heard_of, behind, from.congestion.sent <= 1, trip_ns, waits_ns)
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
void sim_tcp::tell_of_lost(socket& from, socket& to, std::int64_t at_ns) {
  for (segment& each : to.inbound) {
    if (!each.lost || each.held || each.attempts > 1 || !is_of_stream(each) || each.arrival_ns <= at_ns) continue;
    each.arrival_ns = at_ns;
    from.congestion.over_ns = std::min(from.congestion.over_ns, at_ns);
    net_.push_arrival(at_ns, to.id);
  }
}

// It has been set off, and comes behind what was before.
void sim_tcp::put_on_its_way(socket& to, segment& what) {
  what.arrival_ns = std::max(what.arrival_ns, to.last_arrival_ns + 1);
  if (!what.lost) {
    to.last_arrival_ns = what.arrival_ns;
    // Whatever comes from a client confirms the connection, too.
    if (!to.inbound.empty()) {
      if (segment& first = to.inbound.front(); first.lost && first.what == segment::kind::confirmed) {
        first.lost = false;
        first.out_ns = net_.now_ns();
        first.arrival_ns = what.arrival_ns;
      }
    }
  }
  net_.push_arrival(what.arrival_ns, to.id);
}

// ---- what is due -----------------------------------------------------------------------------------------------------

// The first segment on its way to a socket is due. It may have been dropped since: then another one is first, or none.
void sim_tcp::next_arrival_at(socket& to) {
  const number id = to.id;
  if (crosses(to) && !send_due(to)) return;
  if (to.inbound.empty() || to.inbound.front().arrival_ns > net_.now_ns()) return;
  const bool passes_by = to.inbound.front().what == segment::kind::credit;
  const bool is_again = to.inbound.front().attempts > 0;
  if (to.inbound.front().lost || !net_.has_power(to.site)) {
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
  if (!passes_by) next.since_ns = net_.now_ns();
  // Whoever waited for a timeout goes on with the next one when he hears that this one has come.
  if (is_again && next.lost && !next.held && is_of_stream(next)) {
    const sim_link& back = net_.link(still->site, still->other_site);
    const std::int64_t heard_ns = net_.now_ns() + back.latency_ns + back.jitter_ns / 2;
    next.arrival_ns = next.arrival_ns > net_.now_ns() ? std::min(next.arrival_ns, heard_ns) : heard_ns;
    return net_.push_arrival(next.arrival_ns, id);
  }
  if (next.arrival_ns <= net_.now_ns()) net_.push_arrival(net_.now_ns(), id);
}

// Between sites: what waits behind others to be sent, or to be sent again because those have told of it. False: its receiver is
// gone.
bool sim_tcp::send_due(socket& to) {
  for (std::size_t i = 0; i < to.inbound.size(); i++) {
    segment& each = to.inbound[i];
    if (!each.lost || each.arrival_ns > net_.now_ns()) continue;
    socket* from = find(each.from);
    if (from == nullptr || from->over) return true;  // see send_again()
    if (!each.held) {
      if (i == 0 || each.attempts > 1 || !is_of_stream(each)) continue;
      each.attempts++;
      set_off(*from, to, each);
      net_.push_arrival(each.arrival_ns, to.id);
      continue;
    }
    if (!from->unsure || net_.is_open(to.site, from->site)) {
      send_held(*from, to);
      return true;
    }
    // Nobody tells that there is room on the way.
    if (++each.attempts > data_retries) return give_up(*from, to);
    each.arrival_ns = net_.now_ns() + backed_off_ns(timeout_ns(from->site, to.site), each.attempts);
    net_.push_arrival(each.arrival_ns, to.id);
    return true;
  }
  return true;
}

// The first segment on its way to a socket has not come there. False: it is gone, and what is behind it may come.
bool sim_tcp::send_again(socket& to) {
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
  const bool too_long = !confirms && from->user_timeout_ns > 0 && net_.now_ns() - first.since_ns >= from->user_timeout_ns;
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
  net_.push_arrival(first.arrival_ns, id);
  return true;
}

// On what is on its way to a socket. False: that is gone, too.
bool sim_tcp::give_up(socket& from, socket& to) {
  const number id = to.id;
  to.inbound.clear();
  break_off(from, ETIMEDOUT);
  socket* still = find(id);
  if (still != nullptr && crosses(*still)) erase_if_done(*still);
  return find(id) != nullptr;
}

// ---- room, resets and acknowledgements -------------------------------------------------------------------------------

// Of bytes that were read.
void sim_tcp::send_credit(socket& from, std::size_t bytes) {
  if (!crosses(from)) return send(from, {.what = segment::kind::credit, .credit = bytes});
  socket* there = find(from.other);
  if (there == nullptr || from.over) return;
  from.credit_owed += bytes;
  if (net_.passes(from.site, there->site)) {
    push_credit(from, *there);
  } else {
    record(sim_happening::kind::lost, from);
  }
}

// All that is owed, between sites, by a packet that passes. It does not wait for what was lost before.
void sim_tcp::push_credit(socket& from, socket& to) {
  segment what{.what = segment::kind::credit, .out_ns = net_.now_ns(), .from = from.id};
  what.credit = std::exchange(from.credit_owed, 0);
  what.arrival_ns = std::max(net_.draw_arrival_ns(from.site, to.site, header_bytes), net_.now_ns() + 1);
  const auto before = std::ranges::find_if(to.inbound, [](const segment& each) { return each.lost; });
  if (before != to.inbound.begin()) what.arrival_ns = std::max(what.arrival_ns, std::prev(before)->arrival_ns + 1);
  if (before == to.inbound.end()) {
    what.arrival_ns = std::max(what.arrival_ns, to.last_arrival_ns + 1);
    to.last_arrival_ns = what.arrival_ns;
  }
  const std::int64_t arrival_ns = what.arrival_ns;
  to.inbound.insert(before, std::move(what));
  net_.push_arrival(arrival_ns, to.id);
}

// Once. False: it was lost.
bool sim_tcp::send_reset(socket& from) {
  socket* there = find(from.other);
  if (there == nullptr) return true;
  if (!net_.passes(from.site, there->site)) return false;
  push_reset(from, *there);
  return true;
}

// A reset overtakes, or not, what is still on its way; never only a part: an end of stream must stand for all bytes.
void sim_tcp::push_reset(socket& from, socket& to) {
  const auto is_reset = [](const segment& each) { return each.what == segment::kind::rst; };
  if (crosses(from) && std::ranges::any_of(to.inbound, is_reset)) return;
  const auto stops = [](const segment& each) { return each.lost; };
  if (net_.one_in(2) || std::ranges::any_of(to.inbound, stops)) {
    std::erase_if(to.inbound, [](const segment& each) {
      return each.what == segment::kind::data || each.what == segment::kind::fin || each.lost;
    });
  }
  segment what{.what = segment::kind::rst, .out_ns = net_.now_ns(), .from = from.id};
  what.arrival_ns = std::max(net_.draw_arrival_ns(from.site, to.site, header_bytes), net_.now_ns() + 1);
  if (!to.inbound.empty()) what.arrival_ns = std::max(what.arrival_ns, to.inbound.back().arrival_ns + 1);
  to.last_arrival_ns = what.arrival_ns;
  const std::int64_t arrival_ns = what.arrival_ns;
  to.inbound.push_back(std::move(what));
  net_.push_arrival(arrival_ns, to.id);
}

// To a segment that has just come. Who does not get the answer asks for it.
void sim_tcp::answer_by_reset(socket& s) {
  const bool is_told = send_reset(s);
  socket* sender = crosses(s) ? find(s.other) : nullptr;
  if (sender == nullptr || sender->over) return;
  if (!is_told) {
    sender->unsure = true;
    sender->unsure_ns = net_.now_ns();
  }
  arm(*sender);
}

// A segment that has just come, between sites. Not a segment of its own: only whether it is lost matters.
void sim_tcp::acknowledge(socket& s) {
  socket* sender = crosses(s) ? find(s.other) : nullptr;
  if (sender == nullptr || sender->over) return;
  if (net_.passes(s.site, sender->site)) {
    sender->unsure = false;
    sender->unanswered = 0;
    sender->heard_ns = net_.now_ns();
    if (s.credit_owed > 0) push_credit(s, *sender);
  } else {
    sender->unsure = true;
    sender->unsure_ns = net_.now_ns();
  }
  arm(*sender);
}

// ---- questions, between sites ----------------------------------------------------------------------------------------

bool sim_tcp::can_ask(const socket& s) noexcept {
  return crosses(s) && !s.over && !s.listener && !s.connecting && !s.awaiting && !s.closed && !s.severed;
}

// Bytes that are on their way are sent again by themselves.
bool sim_tcp::is_on_its_way(const socket& from) const noexcept {
  const socket* to = find(from.other);
  return to != nullptr && std::ranges::any_of(to->inbound, [](const segment& each) {
    return each.what == segment::kind::data || each.what == segment::kind::fin || each.what == segment::kind::confirmed;
  });
}

bool sim_tcp::has_to_ask(const socket& s) const noexcept {
  return s.unsure || (s.owes_write && !s.fin_sent && s.unacknowledged >= s.window && !is_on_its_way(s));
}

std::int64_t sim_tcp::next_retry_ns(const socket& s) const noexcept {
  std::int64_t at_ns = net_.now_ns() + backed_off_ns(timeout_ns(s.site, s.other_site), s.retries + 1);
  if (s.user_timeout_ns > 0) at_ns = std::min(at_ns, s.stalled_ns + s.user_timeout_ns);
  return std::max(at_ns, net_.now_ns() + 1);
}

std::int64_t sim_tcp::next_probe_ns(const socket& s) noexcept {
  return s.unanswered == 0 ? s.heard_ns + s.idle_s * second_ns : s.probed_ns + s.interval_s * second_ns;
}

// Whoever changes what a socket has to ask about says so here.
void sim_tcp::arm(socket& s) {
  if (!can_ask(s)) return;
  if (!has_to_ask(s)) {
    s.retry_ns = no_time;
    s.retries = 0;
  } else if (s.retry_ns == no_time) {
    s.stalled_ns = net_.now_ns();
    s.retry_ns = next_retry_ns(s);
  }
  std::int64_t at_ns = s.retry_ns;
  if (s.keeps_alive) {
    const std::int64_t probe_ns = next_probe_ns(s);
    at_ns = std::min(at_ns, probe_ns > net_.now_ns() ? probe_ns : net_.now_ns() + s.idle_s * second_ns);
  }
  // A timer that comes too early looks, and comes again.
  if (at_ns >= s.timer_ns) return;
  s.timer_ns = at_ns;
  net_.push_arrival(at_ns, s.id, due::timer);
}

// Its timer has come.
void sim_tcp::look(socket& s) {
  s.timer_ns = no_time;
  if (s.awaiting) return answer_again(s);
  if (!can_ask(s)) return;
  if (has_to_ask(s)) {
    if (s.retry_ns <= net_.now_ns()) {
      const bool too_long = s.user_timeout_ns > 0 && net_.now_ns() - s.stalled_ns >= s.user_timeout_ns;
      if (s.unanswered >= data_retries || too_long) return break_off(s, ETIMEDOUT);
      s.retries++;
      ask(s);
      s.retry_ns = next_retry_ns(s);
    }
  } else if (s.keeps_alive && next_probe_ns(s) <= net_.now_ns() && !is_on_its_way(s)) {
    const bool too_long = s.user_timeout_ns > 0 ? s.unanswered > 0 && net_.now_ns() - s.heard_ns >= s.user_timeout_ns
                                                : s.unanswered >= static_cast<unsigned>(s.probes);
    if (too_long) {
      send_reset(s);
      return break_off(s, ETIMEDOUT);
    }
    s.probed_ns = net_.now_ns();
    ask(s);
  }
  arm(s);
}

// A packet of no bytes and the answer to it, drawn at once.
void sim_tcp::ask(socket& s) {
  s.unanswered++;
  if (!net_.passes(s.site, s.other_site) || !net_.passes(s.other_site, s.site)) return;
  socket* peer = find(s.other);
  LEVITY_ASSERT(peer != nullptr, "a connection between sites has both of its halves");
  if (peer->over) return push_reset(*peer, s);
  s.unanswered = 0;
  s.unsure = false;
  s.heard_ns = net_.now_ns();
  if (peer->credit_owed > 0) push_credit(*peer, s);
}

}  // namespace levity::detail
