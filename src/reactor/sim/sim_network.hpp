#pragma once

// sim_network: the sockets of simulated hosts and what is on its way between them, in virtual time. Everything it decides is drawn
// from one seed, so a run can be repeated exactly, on any machine and compiler.
//
// Why its own network and not a mocked kernel: what a service gets wrong lies in orders and in partial transfers that a
// kernel on one machine hardly ever shows. This one shows them all the time: reads and writes are cut short, attempts are
// refused although they could succeed, events come late, in any order, and sometimes for nothing. All of it is within the
// contract of reactor.hpp and never beyond it: an event that the contract does not promise is dropped half of the time.
//
// Model: TCP as a program sees it
//   site      a host: its addresses, its clock, the sockets with an event for its reactor. Without addresses every address is its
//             own: the one site of a program that is simulated alone
//   segment   data, FIN, RST, an acknowledged connection or room that comes back, on its way to one socket; arrives in the order it
//             was sent, after a latency drawn for each
//   link      what happens to segments between two sites, in each direction (sim_link.hpp)
//   window    how many bytes may be on the way to, or unread at, the peer; room comes back when the peer's credit arrives
//   packet    between sites, what is lost or not: a segment of data is as many as its bytes need (sim_link.hpp). So many of them
//             may be on the way as the sender has found out that the path bears (sim_congestion.hpp); the rest is `held`
//   event     a socket that more can be moved on is `pending`; its site's poll delivers the pending sockets in a drawn order. One
//             that is closed with an event on its way may leave it to the next socket of its site, as a batch of a kernel's events
//             does when another thread reuses what they point at: a harmless "ready", never that somebody has hung up
//
// UDP goes over the same links, and has no window and no order that anybody keeps for it: sim_datagrams, one for each site. Unix
// sockets stay within their site and take no time: sim_unix. Time, chance, links and events are here for all three.
//
// Loss, between sites. No byte is ever missing from a stream: a packet that is lost, or sent over a link that is cut or to a site
// without power, is sent again, and what was sent behind it waits: after a round trip, if other packets behind it tell of it, else
// after a timeout that doubles (sim_link.hpp). Who has sent it in vain for the last time has ETIMEDOUT, and the other end is none
// the wiser: half-open. Sent only once are
//   a reset        whoever goes on sending meets another one
//   room (credit)  what was lost goes with the next packet that passes
//   the answer to a request for a connection; the request is repeated until there is one, and the answer until there is a last word
// So a sender asks (`timer`) while it does not know whether what it sent has come (`unsure`), while it wants to write and its
// window is full, and, with SO_KEEPALIVE, while it hears nothing. A question that passes both ways brings the room that is owed, or
// a reset. One that is never answered ends in ETIMEDOUT.
//
// States of a stream, and who moves them
//   connecting   start_connect(); the request arrives at a listener or is refused, or is sent in vain until ETIMEDOUT
//   awaiting     the other half, between sites: until the client's last word has come it is not in the listener's queue
//   open         the acknowledgement arrives (client) or the request did (server; between sites the last word)
//   broken       a reset arrived, or the sender has given up; what came before it can still be read, then every attempt says so
//   orphan       close(): data that arrives is answered by a reset, until both ends have been heard of
//   severed      its process was killed, or its site lost power: nothing that happens to it reaches anybody. After a kill the
//                kernel ends its streams as it does for a process that ends; after a loss of power (`dark`) nobody tells the
//                peers, who find out by a reset once the site has power again, or never
//   over         as far as TCP is concerned: it sends nothing any more, and whatever arrives is answered by a reset
//
// Who is erased when. Within a site nothing is lost: at once when both ends are closed, or one is reset. Between sites a half that
// nobody holds any more stays while the other may still send to it or has not had all that it sent: until that one is over, or is
// held by nobody either and nothing is on the way.
//
// Without a process nothing of a site draws from the seed or enters the trace: what a killed program does on its way out must not
// change the world.
//
// Equations (check_invariants)
//   unacknowledged bytes of a socket = bytes on the way to its peer + unread there + credits on their way back + credit owed there
//   open endpoints of a site = its sockets that are watched
//   between sites: who is not over has its other half; who has to ask has a timer

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <span>
#include <string_view>
#include <vector>

#include "levity/base/address.hpp"
#include "levity/base/error.hpp"
#include "levity/base/rng.hpp"
#include "platform/socket.hpp"
#include "reactor/endpoint.hpp"
#include "reactor/ready_batch.hpp"
#include "reactor/sim/numbered_table.hpp"
#include "reactor/sim/sim_congestion.hpp"
#include "reactor/sim/sim_link.hpp"
#include "reactor/sim/sim_recorder.hpp"
#include "reactor/sim/sim_socket.hpp"
#include "reactor/timer_wheel.hpp"

namespace levity::inline v0::detail {

class sim_datagrams;
class sim_unix;

/// One thread.
class sim_network {
public:
  using number = sim_socket::number;
  using site_number = sim_socket::site_number;
  static constexpr std::int64_t start_ns = 1'000'000'000'000;

  explicit sim_network(std::uint64_t seed);
  ~sim_network();
  sim_network(const sim_network&) = delete;
  sim_network& operator=(const sim_network&) = delete;

  // -- time and chance -----------------------------------------------------------------------------------------------
  [[nodiscard]] std::int64_t now_ns() const noexcept { return now_ns_; }
  /// When the next segment arrives, or is sent again; timer_wheel::never_ns: none is on its way.
  [[nodiscard]] std::int64_t next_arrival_ns() noexcept;
  /// Moves the clock, not back, and everything that is due by then.
  void advance(std::int64_t to_ns) noexcept;
  /// A number below `bound`, which the trace covers.
  std::uint64_t draw(std::uint64_t bound) noexcept {
    const std::uint64_t drawn = random_.below(bound);
    trace(drawn);
    return drawn;
  }
  /// A number that a program draws for itself. By a generator of its own: a program that draws once more meets the same network.
  /// One for each life of a site (restore()): what one program draws is nothing to another.
  std::uint64_t draw_for_program(site_number at) noexcept;
  bool one_in(std::uint64_t n) noexcept { return draw(n) == 0; }
  void trace(std::uint64_t word) noexcept {
    hash_ = (hash_ ^ word) * 0x9e3779b97f4a7c15;
    hash_ ^= hash_ >> 29;
  }
  void trace_text(std::string_view text) noexcept;
  /// As draw() and trace(), for what a process on a site does: without one neither the seed nor the trace hears of it.
  std::uint64_t draw_at(site_number at, std::uint64_t bound) noexcept {
    return sites_[at]->has_process ? draw(bound) : sites_[at]->dead_random.below(bound);
  }
  void trace_at(site_number at, std::uint64_t word) noexcept {
    if (sites_[at]->has_process) trace(word);
  }
  /// Sums up every decision, byte and point in time so far: two runs are the same if and only if (up to 2^-64) this is.
  [[nodiscard]] std::uint64_t trace_hash() const noexcept { return hash_; }

  /// How many segments, requests and timers have been due so far.
  [[nodiscard]] std::uint64_t arrived() const noexcept { return arrived_; }

  /// Who is told what matters from now on; null: nobody.
  void set_recorder(sim_recorder* told) noexcept { recorder_ = told; }
  [[nodiscard]] sim_recorder* recorder() const noexcept { return recorder_; }

  // -- sites ---------------------------------------------------------------------------------------------------------
  /// Of no address: all are its own, and there is no other site.
  site_number add_site(std::vector<address> addresses);
  [[nodiscard]] sim_link& link(site_number from, site_number to) noexcept { return sites_[from]->to[to]; }
  /// The process on a site is gone: `silently`, with the power, or as by kill(2). Its endpoints may still be used and closed;
  /// nobody hears of it.
  void sever(site_number of, bool silently) noexcept;
  /// A new process may use the site; what was severed is answered by resets from now on.
  void restore(site_number of) noexcept;
  [[nodiscard]] bool has_process(site_number of) const noexcept { return sites_[of]->has_process; }
  [[nodiscard]] bool has_events(site_number of) const noexcept { return !sites_[of]->pending.empty(); }
  [[nodiscard]] std::uint64_t endpoints_of(site_number of) const noexcept { return sites_[of]->watched; }
  /// Its sockets for UDP, and those within it.
  [[nodiscard]] sim_datagrams& datagrams_of(site_number of) noexcept { return *sites_[of]->datagrams; }
  [[nodiscard]] sim_unix& unix_of(site_number of) noexcept { return *sites_[of]->unix_sockets; }

  // -- sockets, as reactor.hpp has them ------------------------------------------------------------------------------
  /// Delivers events, in a drawn order; some are left for the next time. False: there were none.
  bool deliver_pending(site_number to, ready_batch& ready) noexcept;
  io_result<endpoint*> listen(site_number at, reactor& home, const listen_request& request) noexcept;
  io_result<endpoint*> try_accept(endpoint& listener, reactor& home) noexcept;
  io_result<endpoint*> start_connect(site_number from, reactor& home, const address& to) noexcept;
  io_result<void> finish_connect(endpoint& watched) noexcept;
  io_result<std::size_t> try_read(endpoint& watched, std::span<std::byte> into) noexcept;
  io_result<std::size_t> try_write(endpoint& watched, std::span<const iovec> from) noexcept;
  io_result<void> shutdown_write(endpoint& watched) noexcept;
  void close(endpoint& watched, bool abort) noexcept;
  [[nodiscard]] address local_address(const endpoint& watched) const noexcept;
  [[nodiscard]] address peer_address(const endpoint& watched) const noexcept;
  /// SO_SNDBUF and SO_RCVBUF set the window; SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT and TCP_USER_TIMEOUT are as in
  /// tcp(7), between sites; other options are taken and ignored.
  io_result<void> set_option(endpoint& watched, int level, int option, int value) noexcept;

  /// Also those that nobody holds any more; for tests.
  [[nodiscard]] std::size_t sockets() const noexcept { return sockets_.size(); }
  void check_invariants() const noexcept;

  // -- for the sockets of a site that are no streams of TCP ----------------------------------------------------------
  static constexpr site_number no_site = ~site_number{0};
  /// Where that address is, as seen by a site; no_site: nowhere.
  [[nodiscard]] site_number site_of(site_number from, const address& to) const noexcept;
  [[nodiscard]] site_number sites() const noexcept { return static_cast<site_number>(sites_.size()); }
  [[nodiscard]] bool is_own(site_number at, const address& host) const noexcept;
  [[nodiscard]] const std::vector<address>& addresses_of(site_number at) const noexcept { return sites_[at]->addresses; }
  [[nodiscard]] bool has_power(site_number of) const noexcept { return sites_[of]->has_power; }
  /// Whether a packet that is sent now gets there; drawn, between sites.
  [[nodiscard]] bool passes(site_number from, site_number to) noexcept;
  /// When a packet that is sent now gets there; drawn. It has its share of the link.
  std::int64_t draw_arrival_ns(site_number from, site_number to, std::size_t bytes) noexcept;
  /// sim_datagrams::arrive() of that site is called with `flight` at that time.
  void push_datagram(std::int64_t at_ns, site_number to, number flight);
  /// Of a new socket.
  [[nodiscard]] number next_number() noexcept { return next_id_++; }
  void trace_bytes(const std::byte* bytes, std::size_t size) noexcept;
  /// A size of at most `most` bytes, not 0, often less.
  std::size_t draw_size(std::size_t most) noexcept;
  endpoint* watch(sim_socket& s, reactor& home);
  /// Its endpoint is gone.
  void unwatch(sim_socket& s) noexcept;
  /// Something of sim_event has happened to it; nobody is told who does not watch it.
  void raise(sim_socket& s, unsigned what);

private:
  static constexpr number nobody = 0;
  static constexpr std::int64_t no_time = timer_wheel::never_ns;

  struct segment {
    // confirmed: the last word of a handshake between sites.
    enum class kind : std::uint8_t { established, data, fin, rst, credit, confirmed };
    kind what;
    bool lost = false;  // it has to be sent again, at arrival_ns
    bool held = false;  // lost, though it was never sent: it has to be sent then
    unsigned packets = 1;  // to be sent; of one that was lost, those that were
    std::uint8_t attempts = 0;
    std::int64_t since_ns = 0;    // when it was the first one to wait for its acknowledgement
    std::int64_t out_ns = 0;      // when it was sent the last time
    std::int64_t arrival_ns = 0;
    std::vector<std::byte> bytes{};
    std::size_t credit = 0;  // of any kind: room that comes back
    number from = nobody;
  };

  struct socket final : sim_socket {  // watched by nobody: orphan, or not accepted yet
    bool dark = false;  // severed with the power of its site
    bool listener = false;
    bool reuse_port = false;
    bool takes_v4 = false;  // a listener on [::] that is not for IPv6 only
    address local;
    address peer;

    // A listener.
    std::size_t backlog = 0;
    std::vector<number> queue;  // short, and of most sockets none: an empty deque is 576 bytes on the heap

    // A stream.
    number other = nobody;  // nobody: not known yet, or gone
    site_number other_site = 0;
    bool connecting = false;
    bool request_lost = false;
    std::uint8_t requests = 0;  // sent to connect
    std::int64_t requested_ns = 0;  // when the last one was
    bool awaiting = false;      // made by a request, and not confirmed yet
    std::uint8_t answers = 0;   // sent to that request
    number listens = nobody;    // whose request it was made by
    bool closed = false;  // by close(), or nobody will ever accept it
    bool over = false;
    int error = 0;        // to be reported once
    int broken_by = 0;    // what is said after it
    bool broken = false;
    bool fin_sent = false;
    bool fin_received = false;
    std::size_t window = 0;
    std::size_t unacknowledged = 0;
    sim_congestion congestion;
    // What is written at one time goes into one packet, as far as it has room.
    std::int64_t open_packet_ns = no_time;
    std::size_t open_packet_room = 0;
    bool open_packet_lost = false;
    std::vector<std::byte> unread;
    std::size_t unread_from = 0;

    // What has to be asked about, between sites.
    bool unsure = false;  // what it sent has arrived, and the answer was lost
    std::int64_t unsure_ns = 0;
    std::size_t credit_owed = 0;  // to the peer, whom no packet has told yet
    std::int64_t timer_ns = no_time;  // when it looks whether it has to ask
    std::int64_t retry_ns = no_time;  // when it asks the next time, because it is unsure or its window is full
    std::int64_t stalled_ns = 0;      // since when that has been so
    unsigned retries = 0;     // questions since then
    unsigned unanswered = 0;  // questions since it has heard of its peer
    std::int64_t heard_ns = 0;
    std::int64_t probed_ns = 0;  // when it asked the last time because it heard nothing
    std::int64_t user_timeout_ns = 0;
    bool keeps_alive = false;
    int idle_s = keep_alive_idle_s;
    int interval_s = keep_alive_interval_s;
    int probes = keep_alive_probes;

    // What is on its way here, in order.
    std::deque<segment> inbound;
    std::int64_t last_arrival_ns = 0;

    [[nodiscard]] std::size_t unread_bytes() const noexcept { return unread.size() - unread_from; }
    [[nodiscard]] unsigned standing() const noexcept override {
      return (fin_received ? sim_event::ended : 0) | (broken || (fin_received && fin_sent) ? sim_event::failed : 0);
    }
  };

  struct site {
    site();
    ~site();

    std::vector<address> addresses;
    std::vector<sim_link> to;  // by site; the one to itself only keeps datagrams in order
    std::vector<sim_socket*> pending;  // with an event to deliver
    unsigned stale = 0;                // of sim_event: what was on its way to a socket that is closed
    std::vector<number> listeners;
    std::vector<number> sockets;  // of TCP, in the order they were made; those that are gone are dropped now and then
    std::unique_ptr<sim_datagrams> datagrams;
    std::unique_ptr<sim_unix> unix_sockets;
    std::uint64_t watched = 0;
    std::uint64_t lives = 0;
    rng program_random{0};  // of this life
    rng dead_random{0};     // of a process that is cut off
    unsigned next_port = 0;
    bool has_power = true;
    bool has_process = true;
  };

  enum class due : std::uint8_t { segments, request, timer, datagram };

  struct arrival {
    std::int64_t at_ns;
    std::uint64_t tie;
    std::uint64_t serial;
    number to;
    due what;  // a request is that of `to`, which connects; a datagram is `to` itself
    site_number site = 0;  // of a datagram

    bool operator>(const arrival& other) const noexcept {
      if (at_ns != other.at_ns) return at_ns > other.at_ns;
      return tie != other.tie ? tie > other.tie : serial > other.serial;
    }
  };

  socket& create(site_number at);
  [[nodiscard]] socket* find(number id) const noexcept { return sockets_.find(id); }
  [[nodiscard]] socket& of(const endpoint& watched) const noexcept;
  void erase(socket& s) noexcept;
  void unlist(const socket& listener) noexcept;
  void erase_if_done(socket& s) noexcept;
  [[nodiscard]] static bool crosses(const socket& s) noexcept { return s.site != s.other_site; }
  // Bytes, or their end; the congestion window is for those.
  [[nodiscard]] static bool is_of_stream(const segment& s) noexcept {
    return s.what == segment::kind::data || s.what == segment::kind::fin;
  }
  [[nodiscard]] static bool is_left(const socket& s) noexcept { return s.watch == nullptr && (s.closed || s.severed); }
  void end(socket& s) noexcept;
  void abandon(socket& s) noexcept;
  void darken(socket& s) noexcept;
  void begin_life(site_number of) noexcept;

  void push_arrival(std::int64_t at_ns, number to, due what = due::segments);
  [[nodiscard]] bool is_open(site_number from, site_number to) noexcept;
  std::int64_t leave_ns(sim_link& by, std::size_t bytes) noexcept;
  std::int64_t draw_latency_ns(const sim_link& by) noexcept;
  [[nodiscard]] std::int64_t round_trip_ns(site_number from, site_number to) noexcept;
  [[nodiscard]] std::int64_t timeout_ns(site_number from, site_number to) noexcept;
  void send(socket& from, segment what);
  void send_credit(socket& from, std::size_t bytes);
  void push_credit(socket& from, socket& to);
  bool send_reset(socket& from);
  void push_reset(socket& from, socket& to);
  void answer_by_reset(socket& s);
  void acknowledge(socket& s);
  void set_off(socket& from, socket& to, segment& what);
  void set_off_between(socket& from, socket& to, segment& what);
  void put_on_its_way(socket& to, segment& what);
  void tell_of_lost(socket& from, socket& to, std::int64_t at_ns);
  void send_held(socket& from, socket& to);
  bool send_due(socket& to);
  bool give_up(socket& from, socket& to);
  void request(socket& client);
  void requested(socket& client);
  void ask_later(socket& client);
  void answer_later(socket& half);
  void answer_again(socket& half);
  void confirm(socket& half, segment what);
  void refuse(socket& client);
  void arrive(socket& s, segment what);
  void break_off(socket& s, int error);
  void next_arrival_at(socket& to);
  bool send_again(socket& to);
  void take_credit(socket& s, std::size_t bytes);

  [[nodiscard]] bool is_on_its_way(const socket& from) const noexcept;
  [[nodiscard]] bool has_to_ask(const socket& s) const noexcept;
  [[nodiscard]] static bool can_ask(const socket& s) noexcept;
  [[nodiscard]] std::int64_t next_retry_ns(const socket& s) noexcept;
  [[nodiscard]] static std::int64_t next_probe_ns(const socket& s) noexcept;
  void arm(socket& s);
  void look(socket& s);
  void ask(socket& s);
  void record(sim_happening::kind what, const socket& at, std::size_t bytes = 0) const noexcept;

  void owe_read(socket& s);
  void owe_write(socket& s);
  void deliver(sim_socket& s, ready_batch& ready) noexcept;
  [[nodiscard]] static bool more_to_read(const socket& s) noexcept;
  [[nodiscard]] static bool more_to_write(const socket& s) noexcept;

  [[nodiscard]] bool taken(site_number at, const address& wanted, bool reuse_port, bool takes_v4 = false) const noexcept;
  std::uint16_t free_port(site_number at, const address& host, bool takes_v4 = false) noexcept;
  [[nodiscard]] socket* listener_at(site_number at, const address& wanted);

  sim_recorder* recorder_ = nullptr;
  const std::uint64_t seed_;
  rng random_;
  std::int64_t now_ns_ = start_ns;
  std::uint64_t hash_ = 0;
  number next_id_ = 1;
  std::uint64_t next_serial_ = 0;
  std::uint64_t arrived_ = 0;
  std::vector<std::unique_ptr<site>> sites_;
  numbered_table<socket> sockets_;
  std::priority_queue<arrival, std::vector<arrival>, std::greater<>> arrivals_;
};

}  // namespace levity::detail
