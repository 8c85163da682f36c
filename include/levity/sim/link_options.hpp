#pragma once

#include <cstdint>

#include "levity/base/clock.hpp"

namespace levity::inline v0::sim {

/// How packets get from one host to another, in one direction.
struct link_options {
  duration latency = 100us;            ///< of every packet
  duration jitter = 50us;              ///< drawn from 0 to this, on top of it
  std::uint64_t bytes_per_second = 0;  ///< 0: as many as come
  /// Of a packet's being lost, from 0 to 1; 1448 bytes of a stream are one. No byte is ever missing from a stream: what is lost is
  /// sent again, a round trip later if others that came behind it tell of it, else as Linux does after 200 ms and a round trip, the
  /// same again, 400 ms and so on; what comes behind it waits, and after a quarter of an hour in vain the sender has
  /// io_failure::timed_out. A lost attempt to connect is made again after 1 s, 3 s, 7 s, and given up after 127 s. A
  /// datagram that is lost is gone, and nobody is told.
  double loss = 0;

  // What only datagrams show (udp_socket); a stream is in order and has every byte once. Otherwise datagrams come in the order in
  // which they were sent.
  double duplicated = 0;         ///< of a datagram's coming twice, from 0 to 1
  double reordered = 0;          ///< of a datagram's being held back, from 0 to 1, so that later ones may overtake it
  duration reordered_by = 10ms;  ///< how much later than it would it comes then: drawn, this at most
};

}  // namespace levity::sim
