#pragma once

// sim_tcp: TCP as a program sees it, of all simulated hosts of a sim_network.
//
// Why one for all of them, where UDP has one for each: a connection belongs to two. What happens to one half is decided by what is
// on its way to the other, and either finds the other by its number.
//
// Model
//   segment   data, FIN, RST, an acknowledged connection or room that comes back, on its way to one socket; arrives in the order it
//             was sent, after a latency drawn for each
//   window    how many bytes may be on the way to, or unread at, the peer; room comes back when the peer's credit arrives
//   packet    between sites, what is lost or not: a segment of data is as many as its bytes need (sim_link.hpp). So many of them
//             may be on the way as the sender has found out that the path bears (sim_congestion.hpp); the rest is `held`
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
//   sim_tcp.cpp             the states: what comes, what reactors ask for, who is erased
//   sim_tcp_handshake.cpp   who listens where, and how a connection comes about
//   sim_tcp_loss.cpp        what is sent, lost, sent again and asked about
//
// Equations (check_invariants)
//   unacknowledged bytes of a socket = bytes on the way to its peer + unread there + credits on their way back + credit owed there
//   between sites: who is not over has its other half; who has to ask has a timer

#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <span>
#include <vector>

#include "levity/base/address.hpp"
#include "levity/base/error.hpp"
#include "platform/socket.hpp"
#include "reactor/endpoint.hpp"
#include "reactor/sim/numbered_table.hpp"
#include "reactor/sim/sim_congestion.hpp"
#include "reactor/sim/sim_link.hpp"
#include "reactor/sim/sim_network.hpp"
#include "reactor/sim/sim_recorder.hpp"
#include "reactor/sim/sim_socket.hpp"
#include "reactor/timer_wheel.hpp"

namespace levity::inline v0::detail {

/// One thread.
class sim_tcp {
public:
  using number = sim_socket::number;
  using site_number = sim_socket::site_number;

  explicit sim_tcp(sim_network& over) noexcept : net_(over) {}
  sim_tcp(const sim_tcp&) = delete;
  sim_tcp& operator=(const sim_tcp&) = delete;
  ~sim_tcp() = default;

  // -- sockets, as reactor.hpp has them ------------------------------------------------------------------------------
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

  // -- for the network -----------------------------------------------------------------------------------------------
  /// There is one site more.
  void add_site() { sites_.emplace_back(); }
  /// What push_arrival() was told is due.
  void take(const sim_network::arrival& next) noexcept;
  /// Of a request or a timer: nobody needs it any more.
  [[nodiscard]] bool is_void(const sim_network::arrival& asked) const noexcept;
  /// The process on a site is gone; see sim_network::sever().
  void sever(site_number of, bool silently) noexcept;
  /// Adds to `watched` how many endpoints each site has.
  void check_invariants(std::vector<std::uint64_t>& watched) const noexcept;

private:
  using due = sim_network::due;
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
    std::vector<number> listeners;
    std::vector<number> sockets;  // in the order they were made; those that are gone are dropped now and then
    unsigned next_port = 0;
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

  [[nodiscard]] bool taken(site_number at, const address& wanted, bool reuse_port, bool takes_v4 = false) const noexcept;
  std::uint16_t free_port(site_number at, const address& host, bool takes_v4 = false) noexcept;
  [[nodiscard]] socket* listener_at(site_number at, const address& wanted);
  void request(socket& client);
  void requested(socket& client);
  void ask_later(socket& client);
  void answer_later(socket& half);
  void answer_again(socket& half);
  void confirm(socket& half, segment what);
  void refuse(socket& client);

  void arrive(socket& s, segment what);
  void take_credit(socket& s, std::size_t bytes);
  void break_off(socket& s, int error);
  void record(sim_happening::kind what, const socket& at, std::size_t bytes = 0) const noexcept;

  void owe_read(socket& s);
  void owe_write(socket& s);
  [[nodiscard]] static bool more_to_read(const socket& s) noexcept;
  [[nodiscard]] static bool more_to_write(const socket& s) noexcept;
  [[nodiscard]] static std::unexpected<io_error> failure(int code, const char* doing) noexcept {
    return std::unexpected(io_error::from_errno(code, doing));
  }

  [[nodiscard]] std::int64_t round_trip_ns(site_number from, site_number to) const noexcept;
  [[nodiscard]] std::int64_t timeout_ns(site_number from, site_number to) const noexcept;
  void send(socket& from, segment what);
  void send_held(socket& from, socket& to);
  void set_off(socket& from, socket& to, segment& what);
  void set_off_between(socket& from, socket& to, segment& what);
  void tell_of_lost(socket& from, socket& to, std::int64_t at_ns);
  void put_on_its_way(socket& to, segment& what);
  void next_arrival_at(socket& to);
  bool send_due(socket& to);
  bool send_again(socket& to);
  bool give_up(socket& from, socket& to);

  void send_credit(socket& from, std::size_t bytes);
  void push_credit(socket& from, socket& to);
  bool send_reset(socket& from);
  void push_reset(socket& from, socket& to);
  void answer_by_reset(socket& s);
  void acknowledge(socket& s);

  [[nodiscard]] static bool can_ask(const socket& s) noexcept;
  [[nodiscard]] bool is_on_its_way(const socket& from) const noexcept;
  [[nodiscard]] bool has_to_ask(const socket& s) const noexcept;
  [[nodiscard]] std::int64_t next_retry_ns(const socket& s) const noexcept;
  [[nodiscard]] static std::int64_t next_probe_ns(const socket& s) noexcept;
  void arm(socket& s);
  void look(socket& s);
  void ask(socket& s);

  sim_network& net_;
  std::vector<site> sites_;
  numbered_table<socket> sockets_;
};

}  // namespace levity::detail
