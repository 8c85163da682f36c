#pragma once

// sim_link: how packets get from one simulated host to another, in one direction.

#include <cstdint>

namespace levity::inline v0::detail {

/// Of one direction between two hosts; may change at any time, for what is sent from then on.
struct sim_link {
  std::int64_t latency_ns = 100'000;     // of every packet
  std::int64_t jitter_ns = 50'000;       // drawn from 0 to this on top
  std::uint64_t bytes_per_second = 0;    // 0: as many as come
  std::uint32_t lost_per_million = 0;    // packets: a stream's sender has to send them again, a datagram is gone
  bool cut = false;                      // all of them

  // Of datagrams. Streams hide both from who reads them.
  std::uint32_t duplicated_per_million = 0;
  std::uint32_t reordered_per_million = 0;
  std::int64_t reordered_by_ns = 10'000'000;  // how much later than it would one that is held back comes: drawn, at most

  // The network's: when what was sent before is out, as was reckoned with so many bytes per second.
  std::int64_t busy_until_ns = 0;
  std::uint64_t busy_rate = 0;
  std::int64_t last_datagram_ns = 0;  // when the last one arrives that was not held back
};

/// How long a sender waits before it sends a packet for the `attempt`th time again, 1 the first, as Linux does: 200 ms at least
/// (RFC 6298 says 1 s, Linux' TCP_RTO_MIN is 200 ms), twice as long each time, two minutes at most. An attempt to connect waits
/// 1 s.
constexpr std::int64_t retransmission_timeout_ns(unsigned attempt, bool connects, std::int64_t round_trip_ns) noexcept {
  constexpr std::int64_t most_ns = 120'000'000'000;
  std::int64_t timeout_ns = connects ? 1'000'000'000 : 200'000'000 + round_trip_ns;
  for (unsigned i = 1; i < attempt && timeout_ns < most_ns; i++) timeout_ns *= 2;
  return timeout_ns < most_ns ? timeout_ns : most_ns;
}

/// Retransmissions after which Linux gives up: net.ipv4.tcp_syn_retries, about 127 s, and tcp_retries2, about a quarter of an hour.
constexpr unsigned connect_retries = 6;
constexpr unsigned data_retries = 15;

/// How often Linux asks for the last word of a handshake (tcp_synack_retries), and how long a connection waits for it: about 63 s.
constexpr unsigned handshake_retries = 5;
constexpr std::int64_t handshake_max_ns = 63'000'000'000;

/// tcp(7): a connection with SO_KEEPALIVE that sets nothing else is asked after two hours, nine times, 75 s apart.
constexpr int keep_alive_idle_s = 7200;
constexpr int keep_alive_interval_s = 75;
constexpr int keep_alive_probes = 9;

}  // namespace levity::detail
