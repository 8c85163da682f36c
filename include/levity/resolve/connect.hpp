#pragma once

// connect: the first address of a name that answers (Happy Eyeballs, RFC 8305).
//
//   The two families are looked up at the same time. Attempts begin when the IPv6 answer is there, or 50 ms after the IPv4 answer
//   came without it. Families take turns; the next attempt begins when one failed, or 250 ms after the last one began. The
//   first connection wins; the others are cancelled and have been closed when connect() returns.
//
// Left out of the RFC: remembering which address won (section 4), and sorting within a family beyond what the resolver gives.

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/base/address.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/io/tcp.hpp"
#include "levity/resolve/resolver.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// How connect() goes about it.
struct connect_options {
  duration attempt_delay = std::chrono::milliseconds(250);    ///< a pending attempt keeps the next one back so long
  duration resolution_delay = std::chrono::milliseconds(50);  ///< an IPv4 answer waits so long for the IPv6 one
  resolver* names = nullptr;                                  ///< null: resolver::system()
};

/// An attempt that came to nothing.
struct failed_attempt {
  address to;    ///< whom it was made to
  io_error why;  ///< how it ended
};

/// Why no address of a name could be reached, in one error and in all.
class connect_error {
public:
  /// `summary` for callers, `target` and `attempts` for message().
  connect_error(io_error summary, std::string target, std::vector<failed_attempt> attempts) noexcept
      : summary_(summary), target_(std::move(target)), attempts_(std::move(attempts)) {}

  /// What a caller acts on: cancelled or timed_out by its own deadline; else what the first attempt failed with; without an
  /// attempt, what the look-up failed with (a failure that may pass counts before not_found).
  [[nodiscard]] io_error summary() const noexcept { return summary_; }
  /// The kind of summary().
  [[nodiscard]] io_failure failure() const noexcept { return summary_.failure(); }
  /// In the order in which they failed.
  [[nodiscard]] std::span<const failed_attempt> attempts() const noexcept { return attempts_; }
  /// One sentence with every attempt. Allocates.
  [[nodiscard]] std::string message() const;

  /// summary(), for functions that return an io_result.
  operator io_error() const noexcept { return summary_; }
  /// Whether summary() is of that kind.
  friend bool operator==(const connect_error& error, io_failure failure) noexcept { return error.failure() == failure; }

private:
  io_error summary_;
  std::string target_;
  std::vector<failed_attempt> attempts_;
};

/// A connection, or why there is none.
using connect_result = std::expected<tcp_stream, connect_error>;

/// Connects to `service` (a port or a name of /etc/services) at `host` (a name or a number). Honours cancellation and deadlines:
/// every attempt and look-up has ended when it returns.
[[nodiscard]] task<connect_result> connect(std::string host, std::string service, connect_options options = {});

/// The same to the first of `candidates` that answers, in their order within a family, IPv6 first.
[[nodiscard]] task<connect_result> connect_any(std::vector<address> candidates, connect_options options = {});

}  // namespace levity
