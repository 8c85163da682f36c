#include "reactor/sim/sim_tcp.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "levity/base/assert.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::size_t window_min = 4096;
constexpr std::size_t window_max = 64 * 1024;
constexpr std::size_t window_asked_max = 1 << 20;

using sim_event::can_read;
using sim_event::can_write;
using sim_event::ended;
using sim_event::failed;

}  // namespace

// ---- sockets ---------------------------------------------------------------------------------------------------------

sim_tcp::socket& sim_tcp::create(site_number at) {
  auto made = std::make_unique<socket>();
  made->id = net_.next_number();
  made->site = at;
  made->other_site = at;
  made->heard_ns = net_.now_ns();
  // Most windows are wide, some are so narrow that every message is cut.
  made->window = window_min + static_cast<std::size_t>(net_.draw(net_.one_in(4) ? window_min : window_max));
  const number given = made->id;
  socket& result = sockets_.add(given, std::move(made));
  std::vector<number>& listed = sites_[at].sockets;
  if (listed.size() == listed.capacity()) {
    std::erase_if(listed, [this](number id) { return find(id) == nullptr; });
    // Else a list that is full of those that live would be looked through at each connection.
    if (listed.size() > listed.capacity() / 2) listed.reserve(2 * listed.size());
  }
  listed.push_back(result.id);
  return result;
}

sim_tcp::socket& sim_tcp::of(const endpoint& watched) const noexcept {
  socket* found = find(static_cast<number>(watched.fd));
  LEVITY_ASSERT(found != nullptr && found->watch == &watched, "an endpoint is used only while it is open");
  return *found;
}

void sim_tcp::erase(socket& s) noexcept {
  if (s.listener) unlist(s);
  sockets_.erase(s.id);
}

void sim_tcp::unlist(const socket& listener) noexcept {
  std::vector<number>& listed = sites_[listener.site].listeners;
  listed.erase(std::find(listed.begin(), listed.end(), listener.id));
}

// Who is held by nobody goes away when nobody will hear of it again; see sim_tcp.hpp.
void sim_tcp::erase_if_done(socket& s) noexcept {
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
void sim_tcp::end(socket& s) noexcept {
  s.over = true;
  s.timer_ns = no_time;
  socket* peer = find(s.other);
  if (peer != nullptr && peer->other == s.id && is_left(*peer)) erase(*peer);
}

// Of a connection that nobody will accept.
void sim_tcp::abandon(socket& s) noexcept {
  s.awaiting = false;
  s.closed = true;
  if (!crosses(s)) return erase(s);
  end(s);
  erase_if_done(s);
}

// ---- what comes ------------------------------------------------------------------------------------------------------

void sim_tcp::take(const sim_network::arrival& next) noexcept {
  socket* to = find(next.to);
  if (to == nullptr) return;
  switch (next.what) {
    case due::datagram: break;  // sim_datagrams has it
    case due::segments: next_arrival_at(*to); break;
    case due::request: requested(*to); break;
    case due::timer:
      if (to->timer_ns == next.at_ns) look(*to);
      break;
  }
}

// Questions that need not be asked any more are none: else nobody could tell a deadlock while one is left.
bool sim_tcp::is_void(const sim_network::arrival& asked) const noexcept {
  const socket* by = find(asked.to);
  if (asked.what == due::timer) return by == nullptr || by->timer_ns != asked.at_ns;
  return by != nullptr && crosses(*by) && !by->connecting;
}

void sim_tcp::arrive(socket& s, segment what) {
  net_.trace(static_cast<std::uint64_t>(what.what) << 32 | s.id);
  const bool far = crosses(s);
  if (far) {
    if (s.over) {
      if (what.what != segment::kind::rst) answer_by_reset(s);
      return erase_if_done(s);
    }
    if (what.what != segment::kind::rst) {
      s.heard_ns = net_.now_ns();
      s.unanswered = 0;
      if (what.out_ns > s.unsure_ns) s.unsure = false;
      s.congestion.hear(net_.now_ns(), what.out_ns);
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
      return net_.raise(s, can_write);
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
      if (s.owes_read || net_.one_in(2)) net_.raise(s, can_read);
      return;
    case segment::kind::credit:
      if (s.severed) return;
      return take_credit(s, what.credit);
    case segment::kind::fin:
      if (s.dark && answers_reset()) return;
      s.fin_received = true;
      if (far) acknowledge(s);
      if (s.closed || s.severed) return erase_if_done(s);
      return net_.raise(s, can_read | ended | (s.fin_sent ? failed : 0));
    case segment::kind::rst:
      return break_off(s, s.connecting ? ECONNREFUSED : s.fin_received && !s.fin_sent ? EPIPE : ECONNRESET);
  }
}

void sim_tcp::take_credit(socket& s, std::size_t bytes) {
  LEVITY_ASSERT(s.unacknowledged >= bytes, "a peer reads no more than was sent");
  s.unacknowledged -= bytes;
  if (s.owes_write) net_.raise(s, can_write);
  arm(s);
}

// Nothing can be sent or will come any more.
void sim_tcp::break_off(socket& s, int error) {
  net_.trace(static_cast<std::uint64_t>(error) << 32 | s.id);
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
  net_.raise(s, can_read | can_write | ended | failed);
}

void sim_tcp::record(sim_happening::kind what, const socket& at, std::size_t bytes) const noexcept {
  if (sim_recorder* told = net_.recorder(); told != nullptr) {
    told->record({what, net_.now_ns(), at.site, at.other_site, at.peer, bytes});
  }
}

// ---- processes and power ---------------------------------------------------------------------------------------------

void sim_tcp::sever(site_number of, bool silently) noexcept {
  const std::vector<number> all = sites_[of].sockets;
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
    net_.raise(s, can_read | can_write | ended | failed);
    erase_if_done(s);
  }
}

// Its site loses power: what was on the wire arrives, what had to be sent again will not be, and nothing behind it counts.
void sim_tcp::darken(socket& s) noexcept {
  s.severed = true;
  s.dark = true;
  s.over = true;
  if (!crosses(s)) return;
  if (socket* peer = find(s.other)) {
    peer->inbound.erase(std::ranges::find_if(peer->inbound, [](const segment& each) { return each.lost; }), peer->inbound.end());
  }
  end(s);
}

// ---- events ----------------------------------------------------------------------------------------------------------

bool sim_tcp::more_to_read(const socket& s) noexcept {
  return s.listener ? !s.queue.empty() : s.unread_bytes() > 0 || s.fin_received || s.broken;
}

bool sim_tcp::more_to_write(const socket& s) noexcept {
  return !s.connecting && (s.broken || s.unacknowledged < s.window);
}

// After an attempt that moved less than was asked: an event is owed, at once if more can be moved.
void sim_tcp::owe_read(socket& s) {
  s.owes_read = true;
  if (more_to_read(s)) net_.raise(s, can_read | s.standing());
}

void sim_tcp::owe_write(socket& s) {
  s.owes_write = true;
  if (more_to_write(s)) net_.raise(s, can_write | s.standing());
  arm(s);
}

// ---- what reactors ask for -------------------------------------------------------------------------------------------

io_result<std::size_t> sim_tcp::try_read(endpoint& watched, std::span<std::byte> into) noexcept {
  constexpr const char* doing = "reading";
  socket& s = of(watched);
  LEVITY_ASSERT(!s.listener && !into.empty(), "a stream is read, at least one byte");
  if (s.severed) return failure(s.broken_by, doing);
  const std::size_t there = s.unread_bytes();
  const bool late = net_.one_in(16);
  if (there > 0 && !late) {
    const std::size_t moved = net_.draw_size(std::min(there, into.size()));
    std::memcpy(into.data(), s.unread.data() + s.unread_from, moved);
    s.unread_from += moved;
    net_.trace(moved);
    send_credit(s, moved);
    if (moved < into.size()) owe_read(s);
    return moved;
  }
  if (there == 0 && !late) {
    if (s.fin_received) return std::unexpected(io_error{io_failure::eof, 0, doing});  // whatever broke behind it
    if (s.error != 0) return failure(std::exchange(s.error, 0), doing);
    if (s.broken) return failure(s.broken_by == ETIMEDOUT ? ETIMEDOUT : ECONNRESET, doing);
  }
  owe_read(s);
  return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
}

io_result<std::size_t> sim_tcp::try_write(endpoint& watched, std::span<const iovec> from) noexcept {
  constexpr const char* doing = "writing";
  socket& s = of(watched);
  LEVITY_ASSERT(!s.listener, "a stream is written");
  if (s.error != 0) return failure(std::exchange(s.error, 0), doing);
  if (s.broken || s.fin_sent) return failure(EPIPE, doing);
  std::size_t asked = 0;
  for (const iovec& piece : from) asked += piece.iov_len;
  if (asked == 0) return 0;
  const std::size_t room = s.window > s.unacknowledged ? s.window - s.unacknowledged : 0;
  if (s.connecting || room == 0 || net_.one_in(16)) {
    owe_write(s);
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
  }
  const std::size_t moved = net_.draw_size(std::min(room, asked));
  segment sent{.what = segment::kind::data};
  sent.bytes.reserve(moved);
  for (const iovec& piece : from) {
    const auto* bytes = static_cast<const std::byte*>(piece.iov_base);
    const std::size_t part = std::min(piece.iov_len, moved - sent.bytes.size());
    sent.bytes.insert(sent.bytes.end(), bytes, bytes + part);
  }
  net_.trace(moved);
  net_.trace_bytes(sent.bytes.data(), moved);
  s.unacknowledged += moved;
  // A write may travel as several segments.
  if (moved > 1 && find(s.other) != nullptr && net_.one_in(8)) {
    const auto cut = static_cast<std::ptrdiff_t>(1 + net_.draw(moved - 1));
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

io_result<void> sim_tcp::shutdown_write(endpoint& watched) noexcept {
  socket& s = of(watched);
  if (s.connecting || s.broken) return failure(ENOTCONN, "ending the stream");
  if (s.fin_sent) return {};
  send(s, {.what = segment::kind::fin});
  if (s.fin_received) net_.raise(s, can_read | can_write | ended | failed);
  return {};
}

void sim_tcp::close(endpoint& watched, bool abort) noexcept {
  LEVITY_ASSERT(!watched.reading.has_waiter_approx() && !watched.writing.has_waiter_approx(),
                "a socket is closed when no task waits on it");
  socket& s = of(watched);
  if (!s.severed) net_.trace_at(s.site, std::uint64_t{s.id} << 1 | (abort ? 1 : 0));
  net_.unwatch(s);
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

address sim_tcp::local_address(const endpoint& watched) const noexcept { return of(watched).local; }

address sim_tcp::peer_address(const endpoint& watched) const noexcept { return of(watched).peer; }

io_result<void> sim_tcp::set_option(endpoint& watched, int level, int option, int value) noexcept {
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

// ---- the rest --------------------------------------------------------------------------------------------------------

void sim_tcp::check_invariants(std::vector<std::uint64_t>& watched) const noexcept {
  sockets_.each([&](const socket& checked) {
    const socket* const each = &checked;
    if (each->watch != nullptr) watched[each->site]++;
    net_.check_event(*each);
    LEVITY_ASSERT(each->unread.size() <= 2 * window_asked_max, "what has been read makes room");
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
}

}  // namespace levity::detail
