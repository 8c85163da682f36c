#include "reactor/sim_reactor.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

#include "levity/base/assert.hpp"
#include "levity/base/rng.hpp"
#include "platform/socket.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::int64_t start_ns = 1'000'000'000'000;
constexpr std::uint64_t poll_cost_ns_max = 20'000;
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

bool is_wildcard(const address& at) noexcept {
  const std::uint8_t* bytes = at.bytes();
  return std::all_of(bytes, bytes + (at.is_v6() ? 16 : 4), [](std::uint8_t byte) { return byte == 0; });
}

bool same_host(const address& a, const address& b) noexcept {
  return a.is_v6() == b.is_v6() && std::memcmp(a.bytes(), b.bytes(), a.is_v6() ? 16 : 4) == 0;
}

address with_port(const address& host, std::uint16_t port) noexcept {
  return address::from_bytes(host.bytes(), host.is_v6(), port);
}

}  // namespace

class sim_reactor::world {
public:
  using number = std::uint32_t;
  static constexpr number nobody = 0;

  explicit world(std::uint64_t seed) noexcept : random_(seed), program_random_(~seed) {}

  struct segment {
    enum class kind : std::uint8_t { established, data, fin, rst, credit, request };
    kind what;
    std::int64_t arrival_ns = 0;
    std::vector<std::byte> bytes{};
    std::size_t credit = 0;
    number from = nobody;  // request: the socket that connects
  };

  struct socket {
    number id = nobody;
    endpoint* watch = nullptr;  // null: orphan, or not accepted yet
    bool listener = false;
    bool reuse_port = false;
    address local;
    address peer;

    // A listener.
    std::size_t backlog = 0;
    std::deque<number> queue;

    // A stream.
    number other = nobody;  // nobody: not known yet, or gone
    bool connecting = false;
    bool closed = false;  // by close()
    int error = 0;        // to be reported once
    bool broken = false;
    bool fin_sent = false;
    bool fin_received = false;
    std::size_t window = 0;
    std::size_t unacknowledged = 0;
    std::vector<std::byte> unread;
    std::size_t unread_from = 0;

    // What is on its way here, in order.
    std::deque<segment> inbound;
    std::int64_t last_arrival_ns = 0;

    // Events. A direction is owed one after an attempt that moved less than was asked.
    bool owes_read = false;
    bool owes_write = false;
    unsigned pending = 0;

    [[nodiscard]] std::size_t unread_bytes() const noexcept { return unread.size() - unread_from; }
  };

  // ---- decisions -----------------------------------------------------------------------------------------------------

  void trace(std::uint64_t word) noexcept {
    hash_ = (hash_ ^ word) * 0x9e3779b97f4a7c15;
    hash_ ^= hash_ >> 29;
  }

  void trace_bytes(const std::byte* bytes, std::size_t size) noexcept {
    for (; size >= 8; bytes += 8, size -= 8) {
      std::uint64_t word = 0;
      for (int i = 0; i < 8; i++) word |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
      trace(word);
    }
    for (std::size_t i = 0; i < size; i++) trace(std::to_integer<std::uint64_t>(bytes[i]));
  }

  std::uint64_t draw(std::uint64_t bound) noexcept {
    const std::uint64_t drawn = random_.below(bound);
    trace(drawn);
    return drawn;
  }

  bool one_in(std::uint64_t n) noexcept { return draw(n) == 0; }

  // A transfer of at most `most` bytes, often cut short.
  std::size_t draw_size(std::size_t most) noexcept {
    return one_in(4) ? 1 + static_cast<std::size_t>(draw(most)) : most;
  }

  std::int64_t draw_latency_ns() noexcept {
    const std::uint64_t spread = one_in(64) ? slow_latency_ns_spread : latency_ns_spread;
    return static_cast<std::int64_t>(latency_ns_min + draw(spread));
  }

  // ---- sockets -------------------------------------------------------------------------------------------------------

  socket& create() {
    auto made = std::make_unique<socket>();
    made->id = next_id_++;
    // Most windows are wide, some are so narrow that every message is cut.
    made->window = window_min + static_cast<std::size_t>(draw(one_in(4) ? window_min : window_max));
    socket& result = *made;
    sockets_.emplace(result.id, std::move(made));
    return result;
  }

  [[nodiscard]] socket* find(number id) const noexcept {
    const auto found = sockets_.find(id);
    return found != sockets_.end() ? found->second.get() : nullptr;
  }

  [[nodiscard]] socket& of(const endpoint& watched) const noexcept {
    socket* found = find(static_cast<number>(watched.fd));
    LEVITY_ASSERT(found != nullptr && found->watch == &watched, "an endpoint is used only while it is open");
    return *found;
  }

  endpoint* watch(socket& s, sim_reactor& home) {
    endpoint& made = allocate_endpoint();
    made.fd = static_cast<int>(s.id);
    made.home = &home;
    s.watch = &made;
    watched_++;
    return &made;
  }

  void unwatch(socket& s) noexcept {
    free_endpoint(*s.watch);
    s.watch = nullptr;
    watched_--;
    if (s.pending != 0) {
      s.pending = 0;
      pending_.erase(std::find(pending_.begin(), pending_.end(), s.id));
    }
  }

  void erase(socket& s) noexcept {
    if (s.listener) listeners_.erase(std::find(listeners_.begin(), listeners_.end(), s.id));
    sockets_.erase(s.id);
  }

  // An orphan that nobody will hear of again goes away.
  void erase_if_done(socket& s) noexcept {
    if (s.closed && (s.other == nobody || find(s.other) == nullptr || (s.fin_sent && s.fin_received))) erase(s);
  }

  // ---- the network ---------------------------------------------------------------------------------------------------

  void send(socket& to, segment what) {
    const std::int64_t arrival_ns = std::max(now_ns_ + draw_latency_ns(), to.last_arrival_ns + 1);
    to.last_arrival_ns = arrival_ns;
    what.arrival_ns = arrival_ns;
    to.inbound.push_back(std::move(what));
    arrivals_.push({arrival_ns, draw(1 << 20), next_serial_++, to.id});
  }

  void send_to(number to, segment what) {
    if (socket* there = find(to)) send(*there, std::move(what));
  }

  // A reset overtakes, or not, what is still on its way; never only a part: an end of stream must stand for all bytes.
  void send_reset(number to) {
    socket* there = find(to);
    if (there == nullptr) return;
    if (one_in(2)) {
      std::erase_if(there->inbound, [](const segment& each) {
        return each.what == segment::kind::data || each.what == segment::kind::fin;
      });
    }
    send(*there, {.what = segment::kind::rst});
  }

  void arrive(socket& s, segment what) {
    trace(static_cast<std::uint64_t>(what.what) << 32 | s.id);
    switch (what.what) {
      case segment::kind::request: return requested(s, what.from);
      case segment::kind::established:
        s.connecting = false;
        if (s.closed) {  // gave up meanwhile
          send_reset(s.other);
          s.other = nobody;
          return erase_if_done(s);
        }
        return raise(s, can_write);
      case segment::kind::data:
        if (s.closed) {
          send_reset(s.other);
          s.other = nobody;
          return erase_if_done(s);
        }
        if (s.unread_from == s.unread.size()) {
          s.unread.clear();
          s.unread_from = 0;
        }
        s.unread.insert(s.unread.end(), what.bytes.begin(), what.bytes.end());
        if (s.owes_read || one_in(2)) raise(s, can_read);
        return;
      case segment::kind::credit:
        LEVITY_ASSERT(s.unacknowledged >= what.credit, "a peer reads no more than was sent");
        s.unacknowledged -= what.credit;
        if (s.owes_write) raise(s, can_write);
        return;
      case segment::kind::fin:
        s.fin_received = true;
        if (s.closed) return erase_if_done(s);
        return raise(s, can_read | ended | (s.fin_sent ? failed : 0));
      case segment::kind::rst:
        s.error = s.connecting ? ECONNREFUSED : s.fin_received && !s.fin_sent ? EPIPE : ECONNRESET;
        s.connecting = false;
        s.broken = true;
        s.other = nobody;
        if (s.closed) return erase_if_done(s);
        return raise(s, can_read | can_write | ended | failed);
    }
  }

  void requested(socket& listener, number from) {
    socket* client = find(from);
    if (client == nullptr || client->closed) return;
    if (listener.queue.size() >= listener.backlog) return send(*client, {.what = segment::kind::rst});
    socket& server = create();
    server.local = client->peer;
    server.peer = client->local;
    server.other = client->id;
    client->other = server.id;
    listener.queue.push_back(server.id);
    send(*client, {.what = segment::kind::established});
    if (listener.owes_read || one_in(2)) raise(listener, can_read);
  }

  // ---- events --------------------------------------------------------------------------------------------------------

  void raise(socket& s, unsigned what) {
    if (s.watch == nullptr) return;
    if (s.pending == 0) pending_.push_back(s.id);
    s.pending |= what;
  }

  [[nodiscard]] static bool more_to_read(const socket& s) noexcept {
    return s.listener ? !s.queue.empty() : s.unread_bytes() > 0 || s.fin_received || s.broken;
  }

  [[nodiscard]] static bool more_to_write(const socket& s) noexcept {
    return !s.connecting && (s.broken || s.unacknowledged < s.window);
  }

  // After an attempt that moved less than was asked: an event is owed, at once if more can be moved.
  void owe_read(socket& s) {
    s.owes_read = true;
    if (more_to_read(s)) raise(s, can_read | flags(s));
  }

  void owe_write(socket& s) {
    s.owes_write = true;
    if (more_to_write(s)) raise(s, can_write | flags(s));
  }

  [[nodiscard]] static unsigned flags(const socket& s) noexcept {
    return (s.fin_received ? ended : 0) | (s.broken || (s.fin_received && s.fin_sent) ? failed : 0);
  }

  void deliver(socket& s, ready_batch& ready) noexcept {
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

  // In a drawn order; some are left for the next poll. False: there were none.
  bool deliver_pending(ready_batch& ready) noexcept {
    bool delivered = false;
    while (!pending_.empty() && ready.room() >= 2) {
      if (delivered && one_in(8)) return true;
      delivered = true;
      const auto pick = static_cast<std::size_t>(draw(pending_.size()));
      const number id = pending_[pick];
      pending_[pick] = pending_.back();
      pending_.pop_back();
      deliver(*find(id), ready);
    }
    return delivered;
  }

  void arrivals_until_now() {
    while (!arrivals_.empty() && arrivals_.top().at_ns <= now_ns_) {
      const arrival next = arrivals_.top();
      arrivals_.pop();
      socket* to = find(next.to);
      // A segment may have been lost to a reset: then this arrival is of the one behind it, or of none.
      if (to == nullptr || to->inbound.empty() || to->inbound.front().arrival_ns > now_ns_) continue;
      segment what = std::move(to->inbound.front());
      to->inbound.pop_front();
      arrive(*to, std::move(what));
    }
  }

  struct arrival {
    std::int64_t at_ns;
    std::uint64_t tie;
    std::uint64_t serial;
    number to;

    bool operator>(const arrival& other) const noexcept {
      if (at_ns != other.at_ns) return at_ns > other.at_ns;
      return tie != other.tie ? tie > other.tie : serial > other.serial;
    }
  };

  [[nodiscard]] std::int64_t next_arrival_ns() const noexcept {
    return arrivals_.empty() ? timer_wheel::never_ns : arrivals_.top().at_ns;
  }

  // ---- addresses -----------------------------------------------------------------------------------------------------

  [[nodiscard]] bool taken(const address& at, bool reuse_port) const noexcept {
    return std::any_of(listeners_.begin(), listeners_.end(), [&](number id) {
      const socket& other = *find(id);
      if (other.local.port() != at.port() || other.local.is_v6() != at.is_v6()) return false;
      if (reuse_port && other.reuse_port) return false;
      return is_wildcard(at) || is_wildcard(other.local) || same_host(at, other.local);
    });
  }

  // A port nobody listens on; 0 if there is none.
  std::uint16_t free_port(const address& host) noexcept {
    constexpr unsigned ports = 65'536 - first_free_port;
    for (unsigned tries = 0; tries < ports; tries++) {
      const auto port = static_cast<std::uint16_t>(first_free_port + next_port_++ % ports);
      if (!taken(with_port(host, port), false)) return port;
    }
    return 0;
  }

  // Who listens at `at`; among several, the seed chooses.
  socket* listener_at(const address& at) {
    std::vector<number> found;
    for (const number id : listeners_) {
      const address& local = find(id)->local;
      if (local.port() != at.port() || local.is_v6() != at.is_v6()) continue;
      if (is_wildcard(local) || is_wildcard(at) || same_host(local, at)) found.push_back(id);
    }
    return found.empty() ? nullptr : find(found[static_cast<std::size_t>(draw(found.size()))]);
  }

  rng random_;
  rng program_random_;
  std::int64_t now_ns_ = start_ns;
  std::uint64_t hash_ = 0;
  number next_id_ = 1;
  std::uint64_t next_serial_ = 0;
  unsigned next_port_ = 0;
  std::uint64_t watched_ = 0;
  std::unordered_map<number, std::unique_ptr<socket>> sockets_;  // never iterated where the order could matter
  std::vector<number> listeners_;
  std::vector<number> pending_;  // sockets with an event to deliver
  std::priority_queue<arrival, std::vector<arrival>, std::greater<>> arrivals_;
};

namespace {

void report_deadlock(std::int64_t now_ns, std::uint64_t sockets) noexcept {
  std::fprintf(stderr,
               "levity: the simulated program is deadlocked %.6f s after its start: every task waits (sockets open: %llu), "
               "and no timer, segment or connection is on its way that could wake one; look for a wait whose partner has "
               "ended, or give it a deadline\n",
               static_cast<double>(now_ns - start_ns) / 1e9, static_cast<unsigned long long>(sockets));
}

}  // namespace

std::unique_ptr<reactor> make_sim_reactor(std::uint64_t seed) { return std::make_unique<sim_reactor>(seed); }

sim_reactor::sim_reactor(std::uint64_t seed) : reactor(start_ns), world_(std::make_unique<world>(seed)) {}

sim_reactor::~sim_reactor() = default;

std::int64_t sim_reactor::now_ns() noexcept { return world_->now_ns_; }

std::int64_t sim_reactor::wall_ns() noexcept { return wall_start_ns + (world_->now_ns_ - start_ns); }

std::uint64_t sim_reactor::draw_seed() noexcept {
  const std::uint64_t drawn = world_->program_random_();
  world_->trace(drawn);
  return drawn;
}

std::uint64_t sim_reactor::trace_hash() const noexcept { return world_->hash_; }

std::uint64_t sim_reactor::endpoints_approx() const noexcept { return world_->watched_; }

void sim_reactor::ring() noexcept {
  rung_.store(true, std::memory_order_release);  // E70 release.
}

void sim_reactor::poll([[maybe_unused]] const poll_lease& held, std::int64_t until_ns, ready_batch& ready) noexcept {
  LEVITY_DEBUG_ASSERT(held.held(), "a reactor is polled by who holds its lease");
  world& w = *world_;
  const bool rung = rung_.exchange(false, std::memory_order_acquire);  // E70 acquire.
  w.trace(static_cast<std::uint64_t>(until_ns));
  w.trace(static_cast<std::uint64_t>(w.now_ns_));
  const bool waits = until_ns != 0 && !rung;
  if (until_ns == 0) w.now_ns_ += static_cast<std::int64_t>(w.draw(poll_cost_ns_max));
  for (;;) {
    w.arrivals_until_now();
    if (w.deliver_pending(ready) || !waits || ready.room() < 2 || until_ns <= w.now_ns_) return;
    const std::int64_t next_ns = std::min(w.next_arrival_ns(), until_ns);
    if (next_ns == timer_wheel::never_ns) {
      if (rung_.load(std::memory_order_relaxed)) return;  // by another thread; the next poll hears it (E70)
      report_deadlock(w.now_ns_, w.watched_);
      if (on_deadlock) on_deadlock();
      std::abort();
    }
    w.now_ns_ = next_ns;
  }
}

io_result<endpoint*> sim_reactor::listen(const listen_request& request) noexcept {
  constexpr const char* doing = "listening";
  world& w = *world_;
  address at = request.at;
  if (at.port() == 0) {
    const std::uint16_t port = w.free_port(at);
    if (port == 0) return std::unexpected(error_at(at, EADDRINUSE, "listening on ", doing));
    at = with_port(at, port);
  } else if (w.taken(at, request.reuse_port)) {
    return std::unexpected(error_at(at, EADDRINUSE, "listening on ", doing));
  }
  world::socket& made = w.create();
  made.listener = true;
  made.local = at;
  made.reuse_port = request.reuse_port;
  made.backlog = static_cast<std::size_t>(std::max(request.backlog, 0)) + 1;  // as a kernel counts
  w.listeners_.push_back(made.id);
  return w.watch(made, *this);
}

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
  world& w = *world_;
  world::socket& s = w.of(listener);
  LEVITY_ASSERT(s.listener, "connections are accepted from a listener");
  if (s.queue.empty() || w.one_in(8)) {
    w.owe_read(s);
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, "accepting"});
  }
  world::socket& peer = *w.find(s.queue.front());
  s.queue.pop_front();
  return w.watch(peer, static_cast<sim_reactor&>(home));
}

io_result<endpoint*> sim_reactor::start_connect(const address& to) noexcept {
  world& w = *world_;
  world::socket& made = w.create();
  made.connecting = true;
  made.peer = to;
  const std::uint16_t port = w.free_port(to);
  made.local = with_port(is_wildcard(to) && !to.is_v6() ? address::loopback(0) : to, port);
  endpoint* watched = w.watch(made, *this);
  world::socket* listener = w.listener_at(to);
  if (listener != nullptr) {
    w.send(*listener, {.what = world::segment::kind::request, .from = made.id});
  } else {
    w.send(made, {.what = world::segment::kind::rst});
  }
  return watched;
}

io_result<void> sim_reactor::finish_connect(endpoint& socket) noexcept {
  constexpr const char* doing = "connecting";
  world& w = *world_;
  world::socket& s = w.of(socket);
  if (s.error != 0) return std::unexpected(error_of(std::exchange(s.error, 0), doing));
  if (s.connecting || w.one_in(8)) {
    w.owe_write(s);
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
  }
  return {};
}

io_result<std::size_t> sim_reactor::try_read(endpoint& socket, std::span<std::byte> into) noexcept {
  constexpr const char* doing = "reading";
  world& w = *world_;
  world::socket& s = w.of(socket);
  LEVITY_ASSERT(!s.listener && !into.empty(), "a stream is read, at least one byte");
  const std::size_t there = s.unread_bytes();
  const bool late = w.one_in(16);
  if (there > 0 && !late) {
    const std::size_t moved = w.draw_size(std::min(there, into.size()));
    std::memcpy(into.data(), s.unread.data() + s.unread_from, moved);
    s.unread_from += moved;
    w.trace(moved);
    w.send_to(s.other, {.what = world::segment::kind::credit, .credit = moved});
    if (moved < into.size()) w.owe_read(s);
    return moved;
  }
  if (there == 0 && !late) {
    if (s.fin_received) return std::unexpected(io_error{io_failure::eof, 0, doing});  // whatever broke behind it
    if (s.error != 0) return std::unexpected(error_of(std::exchange(s.error, 0), doing));
    if (s.broken) return std::unexpected(error_of(ECONNRESET, doing));
  }
  w.owe_read(s);
  return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
}

io_result<std::size_t> sim_reactor::try_write(endpoint& socket, std::span<const iovec> from) noexcept {
  constexpr const char* doing = "writing";
  world& w = *world_;
  world::socket& s = w.of(socket);
  LEVITY_ASSERT(!s.listener, "a stream is written");
  if (s.error != 0) return std::unexpected(error_of(std::exchange(s.error, 0), doing));
  if (s.broken || s.fin_sent) return std::unexpected(error_of(EPIPE, doing));
  std::size_t asked = 0;
  for (const iovec& piece : from) asked += piece.iov_len;
  if (asked == 0) return 0;
  const std::size_t room = s.window > s.unacknowledged ? s.window - s.unacknowledged : 0;
  if (s.connecting || room == 0 || w.one_in(16)) {
    w.owe_write(s);
    return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
  }
  const std::size_t moved = w.draw_size(std::min(room, asked));
  world::segment sent{.what = world::segment::kind::data};
  sent.bytes.reserve(moved);
  for (const iovec& piece : from) {
    const auto* bytes = static_cast<const std::byte*>(piece.iov_base);
    const std::size_t part = std::min(piece.iov_len, moved - sent.bytes.size());
    sent.bytes.insert(sent.bytes.end(), bytes, bytes + part);
  }
  w.trace(moved);
  w.trace_bytes(sent.bytes.data(), moved);
  s.unacknowledged += moved;
  if (world::socket* peer = w.find(s.other)) {
    // A write may travel as several segments.
    if (moved > 1 && w.one_in(8)) {
      const auto cut = static_cast<std::ptrdiff_t>(1 + w.draw(moved - 1));
      world::segment first{.what = world::segment::kind::data};
      first.bytes.assign(sent.bytes.begin(), sent.bytes.begin() + cut);
      sent.bytes.erase(sent.bytes.begin(), sent.bytes.begin() + cut);
      w.send(*peer, std::move(first));
    }
    w.send(*peer, std::move(sent));
  }
  if (moved < asked) w.owe_write(s);
  return moved;
}

io_result<void> sim_reactor::shutdown_write(endpoint& socket) noexcept {
  world& w = *world_;
  world::socket& s = w.of(socket);
  if (s.connecting || s.broken) return std::unexpected(error_of(ENOTCONN, "ending the stream"));
  if (s.fin_sent) return {};
  s.fin_sent = true;
  w.send_to(s.other, {.what = world::segment::kind::fin});
  if (s.fin_received) w.raise(s, can_read | can_write | ended | failed);
  return {};
}

void sim_reactor::close(endpoint& socket, bool abort) noexcept {
  LEVITY_ASSERT(!socket.reading.has_waiter_approx() && !socket.writing.has_waiter_approx(),
                "a socket is closed when no task waits on it");
  world& w = *world_;
  world::socket& s = w.of(socket);
  w.trace(std::uint64_t{s.id} << 1 | (abort ? 1 : 0));
  w.unwatch(s);
  if (s.listener) {
    // Who waits in the queue, or is on the way to it, is reset.
    for (const world::number id : s.queue) {
      world::socket& queued = *w.find(id);
      w.send_reset(queued.other);
      w.erase(queued);
    }
    for (const world::segment& each : s.inbound) {
      if (each.what == world::segment::kind::request) w.send_to(each.from, {.what = world::segment::kind::rst});
    }
    w.erase(s);
    return;
  }
  s.closed = true;
  if (s.connecting) {
    // The request may not have arrived: then it finds nobody. Else the acknowledgement is answered by a reset.
    if (s.other == world::nobody) w.erase(s);
    return;
  }
  if (abort || s.unread_bytes() > 0) {
    w.send_reset(s.other);
    w.erase(s);
    return;
  }
  if (!s.fin_sent && !s.broken) {
    s.fin_sent = true;
    w.send_to(s.other, {.what = world::segment::kind::fin});
  }
  w.erase_if_done(s);
}

address sim_reactor::local_address(const endpoint& socket) const noexcept { return world_->of(socket).local; }

address sim_reactor::peer_address(const endpoint& socket) const noexcept { return world_->of(socket).peer; }

io_result<void> sim_reactor::set_option(endpoint& socket, int level, int option, int value) noexcept {
  world& w = *world_;
  world::socket& s = w.of(socket);
  if (level != SOL_SOCKET) return {};
  const auto window = static_cast<std::size_t>(std::clamp(value, 1, 1 << 20));
  if (option == SO_SNDBUF) {
    s.window = window;
    if (s.owes_write) w.owe_write(s);
  } else if (world::socket* peer = option == SO_RCVBUF ? w.find(s.other) : nullptr) {
    peer->window = std::min(peer->window, window);
  }
  return {};
}

void sim_reactor::check_invariants() const noexcept {
  const world& w = *world_;
  std::uint64_t watched = 0;
  for (const auto& [id, each] : w.sockets_) {
    if (each->watch != nullptr) watched++;
    LEVITY_ASSERT((each->pending != 0) == (std::count(w.pending_.begin(), w.pending_.end(), id) == 1),
                  "a socket with an event is listed once");
    const world::socket* peer = w.find(each->other);
    if (peer == nullptr || peer->broken || each->broken || peer->closed) continue;
    std::size_t outstanding = peer->unread_bytes();
    bool reset = false;
    for (const world::segment& on_way : peer->inbound) {
      outstanding += on_way.bytes.size();
      reset = reset || on_way.what == world::segment::kind::rst;
    }
    for (const world::segment& on_way : each->inbound) {
      outstanding += on_way.credit;
      reset = reset || on_way.what == world::segment::kind::rst;
    }
    LEVITY_ASSERT(reset || outstanding == each->unacknowledged, "no byte is lost between two open sockets");
  }
  LEVITY_ASSERT(watched == w.watched_, "every open endpoint is counted once");
}

}  // namespace levity::detail
