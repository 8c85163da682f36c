#pragma once

// sim_congestion: how many packets one end of a simulated connection sends before it has to hear of its peer.
//
// Why: over a link that is long, not one that is narrow, this is what a large reply costs. 64 KiB are 46 packets; a connection
// that is new sends 10 of them, hears of the first one a round trip later, sends 20, and then the rest. And what a loss costs is
// less the packet that is sent again than the window, which is smaller for a long time after it.
//
// Model: rounds. A round begins with a packet that is sent when nothing else is awaited, and is over when that packet has been
// heard of. In it `window` packets may be sent; the window of the next one follows from what was sent and lost in this. As in Linux
//   it doubles until the first loss, as long as half of it is used; after one it grows by a packet for each round that used it all
//   of the round of a loss is heard packet by packet, so the next one is as wide as the window had become by then; those behind it
//   have seven tenths of that (CUBIC)
//   after a timeout it is two packets and doubles as far as that
//   after a rest of a timeout it is no more than at the beginning (tcp_slow_start_after_idle)
//
// Rejected: an acknowledgement for each packet. What a program sees are the rounds; each would be an arrival, and an order to be
// wrong in. CUBIC's clock: within the seconds of a request it grows hardly faster than by a packet a round.

#include <algorithm>
#include <cstdint>
#include <limits>

namespace levity::inline v0::detail {

/// Of one end. Times are the network's.
struct sim_congestion {
  static constexpr unsigned window_first = 10;      // RFC 6928
  static constexpr unsigned window_most = 1 << 16;  // never reached: so much is never on the way

  unsigned window = window_first;    // packets of a round
  unsigned threshold = window_most;  // up to here the window doubles
  unsigned sent = 0;                 // packets of this round
  unsigned came = 0;                 // of those before the first that was lost
  bool has_lost = false;             // in this round
  bool has_timed_out = false;        // likewise: nothing came behind what was lost, twice
  bool recovers = false;             // the round before has lost
  std::int64_t arrives_ns = 0;       // when the first packet of this round does
  std::int64_t over_ns = 0;          // when that is known
  std::int64_t sent_ns = 0;          // when the last packet was

  /// How many more may be sent now; a new round begins if the last one is over.
  unsigned room(std::int64_t now_ns, std::int64_t timeout_ns) noexcept {
    if (sent > 0 && now_ns >= over_ns) end_round(now_ns - sent_ns > timeout_ns);
    return window > sent ? window - sent : 0;
  }

  /// Sent now; the first of them arrives and is heard of then.
  void add(unsigned packets, std::int64_t now_ns, std::int64_t first_arrives_ns, std::int64_t heard_ns) noexcept {
    if (sent == 0) {
      arrives_ns = first_arrives_ns;
      over_ns = heard_ns;
    }
    sent += packets;
    sent_ns = now_ns;
  }

  /// Something came that the peer sent at `out_ns`: it tells of what the peer had by then.
  void hear(std::int64_t now_ns, std::int64_t out_ns) noexcept {
    if (out_ns >= arrives_ns) over_ns = std::min(over_ns, now_ns);
  }

  /// A packet of this round was lost, `before` packets of it came.
  void lose(unsigned before) noexcept {
    if (!has_lost) came = before;
    has_lost = true;
  }

  /// Nothing came of what was sent, nor is anything sent until it has been sent again and heard of, a round trip later. The first
  /// time that this happens to a packet it is a probe, after which the window is as after any loss.
  void time_out(std::int64_t again_ns, std::int64_t round_trip_ns, bool is_first) noexcept {
    lose(0);
    has_timed_out = has_timed_out || !is_first;
    arrives_ns = std::max(arrives_ns, again_ns);
    over_ns = std::max(over_ns, again_ns + round_trip_ns);
  }

private:
  void end_round(bool has_rested) noexcept {
    if (has_lost) {
      const unsigned reached = recovers ? threshold : window < threshold ? window + std::min(came, window) : window;
      threshold = std::max(reached * 7 / 10, 2U);
      window = has_timed_out ? 2 : reached;
    } else if (recovers) {
      window = std::min(window, threshold);
    } else if (window < threshold) {
      if (2 * sent > window) window = std::min(window + sent, threshold);
    } else if (sent >= window && window < window_most) {
      window++;
    }
    recovers = has_lost && !has_timed_out;
    if (has_rested) window = std::min(window, window_first);
    has_lost = has_timed_out = false;
    sent = came = 0;
  }
};

}  // namespace levity::detail
