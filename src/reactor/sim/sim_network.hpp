#pragma once

// sim_network: simulated hosts and what is on its way between them, in virtual time. Everything it decides is drawn from one seed,
// so a run can be repeated exactly, on any machine and compiler.
//
// Why its own network and not a mocked kernel: what a service gets wrong lies in orders and in partial transfers that a
// kernel on one machine hardly ever shows. This one shows them all the time: reads and writes are cut short, attempts are
// refused although they could succeed, events come late, in any order, and sometimes for nothing. All of it is within the
// contract of reactor.hpp and never beyond it: an event that the contract does not promise is dropped half of the time.
//
// Model
//   site      a host: its addresses, its clock, the sockets with an event for its reactor. Without addresses every address is its
//             own: the one site of a program that is simulated alone
//   link      what happens to packets between two sites, in each direction (sim_link.hpp)
//   arrival   what is due at a time: something on its way to a socket, or a timer of its own
//   event     a socket that more can be moved on is `pending`; its site's poll delivers the pending sockets in a drawn order. One
//             that is closed with an event on its way may leave it to the next socket of its site, as a batch of a kernel's events
//             does when another thread reuses what they point at: a harmless "ready", never that somebody has hung up
//
// Time, chance, links, arrivals and events are the same for sockets of all kinds:
//   sim_tcp         streams; one for all sites
//   sim_datagrams   UDP, over the same links: no window, and no order that anybody keeps for it. One for each site
//   sim_unix        Unix sockets, which stay within their site and take no time. One for each site
//
// Without a process nothing of a site draws from the seed or enters the trace: what a killed program does on its way out must not
// change the world.
//
// Equation (check_invariants)
//   open endpoints of a site = its sockets that are watched

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <string_view>
#include <vector>

#include "levity/base/address.hpp"
#include "levity/base/rng.hpp"
#include "reactor/endpoint.hpp"
#include "reactor/ready_batch.hpp"
#include "reactor/sim/sim_link.hpp"
#include "reactor/sim/sim_recorder.hpp"
#include "reactor/sim/sim_socket.hpp"
#include "reactor/timer_wheel.hpp"

namespace levity::inline v0::detail {

class sim_datagrams;
class sim_tcp;
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
  /// When something is due next; timer_wheel::never_ns: nothing is on its way.
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
  /// Streams of all sites; of one site its sockets for UDP, and those within it.
  [[nodiscard]] sim_tcp& tcp() noexcept { return *tcp_; }
  [[nodiscard]] sim_datagrams& datagrams_of(site_number of) noexcept { return *sites_[of]->datagrams; }
  [[nodiscard]] sim_unix& unix_of(site_number of) noexcept { return *sites_[of]->unix_sockets; }

  // -- events --------------------------------------------------------------------------------------------------------
  /// Delivers events, in a drawn order; some are left for the next time. False: there were none.
  bool deliver_pending(site_number to, ready_batch& ready) noexcept;

  /// Those of its sockets, too; for tests.
  void check_invariants() const noexcept;

  // -- for the sockets of its sites ----------------------------------------------------------------------------------
  static constexpr site_number no_site = ~site_number{0};
  /// Where that address is, as seen by a site; no_site: nowhere.
  [[nodiscard]] site_number site_of(site_number from, const address& to) const noexcept;
  [[nodiscard]] site_number sites() const noexcept { return static_cast<site_number>(sites_.size()); }
  [[nodiscard]] bool is_own(site_number at, const address& host) const noexcept;
  [[nodiscard]] const std::vector<address>& addresses_of(site_number at) const noexcept { return sites_[at]->addresses; }
  [[nodiscard]] bool has_power(site_number of) const noexcept { return sites_[of]->has_power; }
  /// A packet that is sent now may get there.
  [[nodiscard]] bool is_open(site_number from, site_number to) noexcept;
  /// Whether a packet that is sent now gets there; drawn, between sites.
  [[nodiscard]] bool passes(site_number from, site_number to) noexcept;
  /// When a packet that is sent now gets there; drawn. It has its share of the link.
  std::int64_t draw_arrival_ns(site_number from, site_number to, std::size_t bytes) noexcept;
  /// The two that it is made of between sites: when the last of so many bytes is out, and how long a packet is on the link.
  std::int64_t leave_ns(sim_link& by, std::size_t bytes) noexcept;
  std::int64_t draw_latency_ns(const sim_link& by) noexcept;

  /// What an arrival is; all but a datagram are sim_tcp's.
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

  /// sim_tcp::take() is called with it at that time.
  void push_arrival(std::int64_t at_ns, number to, due what = due::segments);
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
  /// It is listed once if it has an event, else not at all (asserted).
  void check_event(const sim_socket& s) const noexcept;

private:
  struct site {
    site();
    ~site();

    std::vector<address> addresses;
    std::vector<sim_link> to;  // by site; the one to itself only keeps datagrams in order
    std::vector<sim_socket*> pending;  // with an event to deliver
    unsigned stale = 0;                // of sim_event: what was on its way to a socket that is closed
    std::unique_ptr<sim_datagrams> datagrams;
    std::unique_ptr<sim_unix> unix_sockets;
    std::uint64_t watched = 0;
    std::uint64_t lives = 0;
    rng program_random{0};  // of this life
    rng dead_random{0};     // of a process that is cut off
    bool has_power = true;
    bool has_process = true;
  };

  void begin_life(site_number of) noexcept;
  void deliver(sim_socket& s, ready_batch& ready) noexcept;

  sim_recorder* recorder_ = nullptr;
  const std::uint64_t seed_;
  rng random_;
  std::int64_t now_ns_ = start_ns;
  std::uint64_t hash_ = 0;
  number next_id_ = 1;
  std::uint64_t next_serial_ = 0;
  std::uint64_t arrived_ = 0;
  std::vector<std::unique_ptr<site>> sites_;
  const std::unique_ptr<sim_tcp> tcp_;
  std::priority_queue<arrival, std::vector<arrival>, std::greater<>> arrivals_;
};

}  // namespace levity::detail
