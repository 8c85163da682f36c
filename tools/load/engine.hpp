// engine.hpp -- sends requests at fixed times over a fixed number of connections and measures what comes back.
//
// Why: an open-loop generator must never wait for the server. Its clock is a schedule made before the run; a request whose
// time has come goes to an idle connection or, when all are busy, into a first-in first-out queue, and its latency counts
// from the time it was meant to be sent, the queueing included. The generator's own lateness is recorded apart.
//
// It is built on system calls alone, so that it can be trusted while the runtime it measures is broken.
//
// Connection     moved by
//   closed       -> connecting   open(), at the start and at once after a loss (20 ms later when it had brought nothing)
//   connecting   -> idle         the kernel says writable without an error
//   idle         -> busy         a request whose time has come, oldest idle connection first
//   busy         -> idle         the whole answer
//   any          -> closed       an error, the end of the stream, a timeout, an answer that ends the connection
//
// The queue is two numbers: requests [sent_, due_) of the schedule wait. As they are sent in order, the busy list is
// ordered by intended time, and its head has the next timeout.
#pragma once

#include "load/schedule.hpp"
#include "load/tally.hpp"
#include "load/target.hpp"
#include "load/workload.hpp"

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>

namespace levity::load {

struct engine_options {
  target where;
  double rate = 0;              ///< requests a second of all threads together; not used by the closed loop
  std::int64_t tick_ns = 0;     ///< requests of one tick are due together; 0 spaces them evenly
  bool closed = false;          ///< every connection sends its next request when it has its answer
  std::int64_t duration_ns = 10'000'000'000;
  std::int64_t warmup_ns = 0;   ///< the first part of the duration, sent but not counted
  std::int64_t timeout_ns = 10'000'000'000;  ///< of a request since its intended time, and of a connect
  std::size_t connections = 64;
  std::size_t threads = 1;
  bool spin = false;            ///< never sleep: precise where waking up is slow, at the price of a core for each thread
  std::size_t echo_bytes = 64;  ///< size of a message to a tcp:// target
  int stop_fd = -1;             ///< an eventfd; when it becomes readable the run ends early
  live_board* board = nullptr;  ///< where to put one interval a second, if anywhere
};

/// Makes the workload of thread `index`. A tcp:// target has none: return nullptr.
using workload_factory = std::function<std::unique_ptr<workload>(std::size_t index)>;

/// Opens the connections, drives the load, waits for the last answers or their timeouts, adds up all threads. Blocks.
/// An error only when no connection at all could be opened; the sentence says why.
[[nodiscard]] std::expected<tally, std::string> run_load(const engine_options& options, const workload_factory& make);

/// Lifts the limit of open files of this process as far as it is allowed to; returns the limit.
std::uint64_t raise_file_limit();

/// The clock of all times here: CLOCK_MONOTONIC.
[[nodiscard]] std::int64_t now_ns();

}  // namespace levity::load
