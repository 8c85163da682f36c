// drive.hpp -- the whole drive: mixed load, read-back, verdict.
#pragma once

#include "load/engine.hpp"
#include "orders/ledger.hpp"
#include "orders/service_watch.hpp"
#include "orders/traffic.hpp"

#include <expected>
#include <string>
#include <vector>

namespace levity::orders {

struct drive_options {
  load::engine_options load;
  double writes = 0.3;
  std::uint64_t seed = 1;
  std::uint64_t customers = 10'000;
  std::uint64_t repeats = 1'000;  ///< POSTs repeated after the run
  int pid = 0;
  bool live = false;
  std::int64_t p99_limit_ns = 20'000'000;
  double rate_share_min = 0.99;
};

struct read_back_result {
  load::tally run;
  complaints missing, differing, unread;
  std::uint64_t compared = 0, repeated = 0;
};

struct drive_result {
  load::tally run;
  ledger orders;
  complaints wrong;
  traffic_counts counts;
  read_back_result checked;
  std::optional<service_watch> watch;
};

/// Drives and reads back. An error only when no connection could be opened.
[[nodiscard]] std::expected<drive_result, std::string> drive(const drive_options& options);

/// Reads a ledger back over the connections of `options`, as fast as they go.
[[nodiscard]] std::expected<read_back_result, std::string> check_orders(const load::engine_options& options,
                                                                        const order_maker& maker, const ledger& orders,
                                                                        std::uint64_t repeats);

/// One sentence for each promise that was broken; none when the drive is passed. `judges_times`: rate and latency count as well,
/// and so do requests that timed out or were not sent in time; whose generator was late itself knows nothing of them.
[[nodiscard]] std::vector<std::string> broken_promises(const read_back_result& checked);
[[nodiscard]] std::vector<std::string> broken_promises(const drive_options& options, const drive_result& result,
                                                       bool judges_times = true);

}  // namespace levity::orders
