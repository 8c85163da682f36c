#pragma once

// sim_datagrams: the UDP of one simulated host.
//
// Why no part of the streams: nothing is sent again, nothing waits for what was sent before, nobody knows of the other. What a
// program has to live with is what happens to each datagram on its own.
//
//   a datagram   moved by
//   leaving      send()      over a link with a rate it takes up room in the send buffer until it is out
//   lost         send()      drawn; or the link is cut, or a site has no power. Nobody is told
//                sever()     its host loses power before it is out; within a host whenever the process is gone: a kernel would have
//                            handed it over by then
//   on its way   send()      a flight of the site that it goes to; a second one if it is duplicated. In the order in which they
//                            were sent, but for those that are held back (reordered): later ones overtake them
//   waiting      arrive()    in the receive buffer of a socket; dropped and counted where that is full
//   refused      arrive()    there is no such socket: an answer (ICMP) goes back, as far as the link lets it, and is ECONNREFUSED
//                            to a socket that is connected to where it was sent
//   taken        receive()   cut off where there is no room
//
// Within a site nothing is lost, duplicated or held back. One draw decides for a datagram of any size: what is longer than a packet
// would be lost a little more often.
//
// Of several sockets that could have a datagram, the one connected to its sender comes first, then one at the very address, then
// one at all addresses; of several equal ones (SO_REUSEPORT) always the same one for one sender.
//
// Without a process nothing is drawn or traced; see sim_network.hpp.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "levity/base/address.hpp"
#include "levity/base/error.hpp"
#include "reactor/sim/sim_network.hpp"
#include "reactor/sim/sim_socket.hpp"
#include "reactor/simulated_datagrams.hpp"

namespace levity::inline v0::detail {

/// One thread.
class sim_datagrams final : public simulated_datagrams {
public:
  using number = sim_socket::number;
  using site_number = sim_socket::site_number;
  /// What IPv4 carries, and IPv6.
  static constexpr std::size_t bytes_max = 65'507;
  static constexpr std::size_t bytes_max_v6 = 65'527;

  sim_datagrams(sim_network& over, site_number of) noexcept : net_(over), site_(of) {}
  sim_datagrams(const sim_datagrams&) = delete;
  sim_datagrams& operator=(const sim_datagrams&) = delete;
  ~sim_datagrams() = default;

  io_result<endpoint*> bind(reactor& home, const address& at, bool reuse_port) noexcept override;
  io_result<void> connect(endpoint& watched, const address& peer) noexcept override;
  io_result<void> send(endpoint& watched, std::span<const std::byte> bytes, const address* to) noexcept override;
  io_result<datagram_head> receive(endpoint& watched, std::span<std::byte> into) noexcept override;
  io_result<std::size_t> send(endpoint& watched, const datagram_rows& rows, std::size_t first, std::size_t end) noexcept override;
  io_result<std::size_t> receive(endpoint& watched, datagram_rows& rows, std::size_t end) noexcept override;
  void set_coalescing(endpoint& watched, bool on) noexcept override;
  void set_option(endpoint& watched, int level, int option, int value) noexcept override;
  [[nodiscard]] int option(const endpoint& watched, int level, int option) const noexcept override;
  [[nodiscard]] std::uint64_t dropped(const endpoint& watched) const noexcept override;
  [[nodiscard]] address local_address(const endpoint& watched) const noexcept override;
  [[nodiscard]] address peer_address(const endpoint& watched) const noexcept override;
  void close(endpoint& watched) noexcept override;

  // -- for the network -----------------------------------------------------------------------------------------------
  /// What push_datagram() was told is due.
  void arrive(number flight_number) noexcept;
  /// The process is gone, and perhaps the power.
  void sever() noexcept;
  /// Returns how many endpoints there are.
  std::uint64_t check_invariants() const noexcept;

private:
  struct datagram {
    address from;
    std::vector<std::byte> bytes;
  };

  struct socket final : sim_socket {
    address local;  // of IPv4 where it is bound to such an address or connected to such a peer, whatever the socket is
    bool is_v6 = false;
    bool takes_v4 = false;  // of IPv6: on [::], or at an address of IPv4
    bool reuse_port = false;
    bool connected = false;
    bool broadcasts = false;
    bool coalesces = false;
    address peer;
    int error = 0;  // to be told once
    std::deque<datagram> queue;
    std::size_t held = 0;     // of the receive buffer
    std::size_t leaving = 0;  // of the send buffer
    int receive_buffer = buffer_usual;
    int send_buffer = buffer_usual;
    std::uint64_t dropped = 0;
  };

  /// What is on its way here, or what a sender here will see later.
  struct flight {
    enum class kind : std::uint8_t { datagram, refused, out, lost };
    kind what;
    number sender;  // its socket
    site_number from_site = 0;
    bool to_all = false;    // a broadcast
    address from{};
    address to{};           // refused: where nobody was
    std::vector<std::byte> bytes{};
    std::size_t size = 0;   // out: of the send buffer
    std::int64_t out_ns = 0;  // until then it is in the memory of the host that sends it
  };

  static constexpr int buffer_usual = 212'992;  // net.core.rmem_default

  [[nodiscard]] socket* find(number id) const noexcept;
  [[nodiscard]] socket& of(const endpoint& watched) const noexcept;
  [[nodiscard]] bool is_taken(const address& wanted, bool reuse_port, bool takes_v4) const noexcept;
  [[nodiscard]] std::uint16_t free_port(const address& host, bool takes_v4) noexcept;
  [[nodiscard]] io_result<address> destination(const socket& s, const address& to, bool connects) const noexcept;
  [[nodiscard]] io_result<address> source(const socket& s, const address& to) const noexcept;
  void launch(socket& s, site_number there, const address& from, const address& to, std::span<const std::byte> bytes);
  void charge(socket& s, site_number there, std::size_t size);
  [[nodiscard]] std::int64_t out_ns(site_number there) noexcept;
  void lose_what_is_in(site_number severed) noexcept;
  void take_in(std::int64_t at_ns, flight what);
  void land(flight& what);
  void put(socket& s, const flight& what);
  void refuse(const flight& what);
  [[nodiscard]] socket* receiver_of(const flight& what) const noexcept;
  void owe_read(socket& s);
  void record(sim_happening::kind what, site_number other, const address& peer, std::size_t bytes) const noexcept;

  sim_network& net_;
  const site_number site_;
  unsigned next_port_ = 0;
  number next_flight_ = 0;
  std::map<number, std::unique_ptr<socket>> sockets_;
  std::map<number, flight> flights_;  // to here
};

}  // namespace levity::detail
