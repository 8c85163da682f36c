// tally.hpp -- what a run has counted, and the live view of a run under way.
#pragma once

#include "levity/observe/histogram.hpp"
#include "load/workload.hpp"

#include <array>
#include <cstdint>
#include <mutex>

namespace levity::load {

struct tally {
  /// Since the intended send time; answers of any kind, and timeouts with the time they had waited.
  histogram corrected_ns;
  /// Since the request was handed to the kernel; the same requests but those that were never sent.
  histogram service_ns;
  /// How late the generator itself was: from the intended time until the request was handed to a connection or its queue.
  histogram lag_ns;

  std::array<std::uint64_t, failure_kinds> ended{};  ///< by failure; [none] counts the good answers
  std::array<std::uint64_t, 6> status_classes{};     ///< [2] counts 2xx, ...
  std::uint64_t planned = 0;                         ///< on the schedule, warm-up left out; closed loop: sent
  std::uint64_t warmup_ended = 0;
  std::uint64_t warmup_failed = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t connects = 0;  ///< connections opened, the first ones included
  std::uint64_t queue_max = 0;
  std::int64_t begin_ns = 0;   ///< when the measured part began (monotonic)
  std::int64_t finish_ns = 0;  ///< when it ended: the end of the schedule or the last answer, whichever is later
  std::int64_t cpu_ns = 0;     ///< processor time of the engine threads
  double busy_share = 0;       ///< of the run, in which the busiest engine thread was not waiting for anything
  std::uint64_t sent = 0;      ///< requests written, warm-up included
  double stolen_share = 0;     ///< of all processor time, what the host of a virtual machine gave to others during the run
  bool interrupted = false;

  [[nodiscard]] std::uint64_t good() const { return ended[0]; }
  [[nodiscard]] std::uint64_t finished() const {
    std::uint64_t sum = 0;
    for (const auto count : ended) sum += count;
    return sum;
  }
  [[nodiscard]] std::uint64_t failed() const { return finished() - good(); }
  [[nodiscard]] double seconds() const { return static_cast<double>(finish_ns - begin_ns) / 1e9; }
  [[nodiscard]] double good_per_second() const {
    return seconds() > 0 ? static_cast<double>(good()) / seconds() : 0.0;
  }

  void merge(const tally& other);
};

/// One line's worth of the last second. Engines add to it once a second, the reporter takes it.
class live_board {
public:
  struct interval {
    histogram corrected_ns{histogram_range{.lowest = 1, .highest = 3'600'000'000'000ULL, .digits = 2}};
    std::uint64_t ended = 0;
    std::uint64_t failed = 0;
    std::uint64_t queued = 0;
    std::uint64_t in_flight = 0;

    void clear() {
      corrected_ns.clear();
      ended = failed = queued = in_flight = 0;
    }
  };

  void add(const interval& part);
  /// Moves what was added since the last call into `out`.
  void take(interval& out);

private:
  std::mutex mutex_;
  interval sum_;
};

}  // namespace levity::load
