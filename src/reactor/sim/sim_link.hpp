#pragma once

// sim_link: how packets get from one simulated host to another, in one direction.

#include <cstddef>
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

/// What a packet of a stream carries over a link of Ethernet, and what it has around that.
constexpr std::size_t packet_bytes = 1448;
constexpr std::size_t header_bytes = 66;

constexpr unsigned packets_of(std::size_t bytes) noexcept {
  return bytes <= packet_bytes ? 1U : static_cast<unsigned>((bytes + packet_bytes - 1) / packet_bytes);
}

/// How long so many bytes are on their way out.
constexpr std::int64_t takes_ns(const sim_link& by, std::size_t bytes) noexcept {
  if (by.bytes_per_second == 0) return 0;
  return static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(by.bytes_per_second));
}

/// How long Linux waits for news of a packet (RFC 6298 with TCP_RTO_MIN for the second term, 200 ms): of a connection that has
/// measured this round trip for a while, and that it varies by so much.
constexpr std::int64_t retransmission_timeout_ns(std::int64_t round_trip_ns, std::int64_t varies_ns) noexcept {
  return round_trip_ns + (varies_ns > 200'000'000 ? varies_ns : 200'000'000);
}

/// For the `attempt`th time, 1 the first: twice as long each time, two minutes at most.
constexpr std::int64_t backed_off_ns(std::int64_t timeout_ns, unsigned attempt) noexcept {
  constexpr std::int64_t most_ns = 120'000'000'000;
  for (unsigned i = 1; i < attempt && timeout_ns < most_ns; i++) timeout_ns *= 2;
  return timeout_ns < most_ns ? timeout_ns : most_ns;
}

/// Of an attempt to connect.
constexpr std::int64_t connect_timeout_ns = 1'000'000'000;

/// After how long packets that were lost are sent again the first time. Who has three packets behind the last of them is told by
/// those; fewer are believed a quarter of a round trip later (RACK). None behind, but some before: a probe (TLP). A single one: the
/// timeout, which is less than a probe would take.
constexpr std::int64_t first_again_ns(unsigned lost, unsigned behind, bool is_alone, std::int64_t round_trip_ns,
                                      std::int64_t timeout_ns) noexcept {
  if (behind >= 3) return round_trip_ns;
  if (behind > 0) return round_trip_ns + round_trip_ns / 4;
  if (is_alone) return timeout_ns;
  constexpr std::int64_t two_ticks_ns = 8'000'000;  // TCP_TIMEOUT_MIN, at 250 Hz
  const std::int64_t probe_ns = 2 * round_trip_ns + two_ticks_ns;
  const std::int64_t first_ns = probe_ns < timeout_ns ? probe_ns : timeout_ns;
  return lost > 1 ? first_ns + round_trip_ns : first_ns;  // the probe was the last of them, and tells of the others
}

/// Retransmissions after which Linux gives up: net.ipv4.tcp_syn_retries, about 127 s, and tcp_retries2, about a quarter of an hour.
/// The first one of data, a probe, is not counted.
constexpr unsigned connect_retries = 6;
constexpr unsigned data_retries = 15;

/// How often Linux asks for the last word of a handshake (tcp_synack_retries): a connection waits for it for about 63 s.
constexpr unsigned handshake_retries = 5;

/// tcp(7): a connection with SO_KEEPALIVE that sets nothing else is asked after two hours, nine times, 75 s apart.
constexpr int keep_alive_idle_s = 7200;
constexpr int keep_alive_interval_s = 75;
constexpr int keep_alive_probes = 9;

}  // namespace levity::detail
