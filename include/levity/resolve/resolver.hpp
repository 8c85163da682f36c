#pragma once

// resolver: names become addresses, and no worker waits for it.
//
// A resolver owns one thread that drives c-ares: its sockets, timeouts and files are that thread's alone, since c-ares answers
// from inside its own calls and reads /etc/hosts with plain reads. Tasks leave queries in its inbox and wait (query.hpp); the
// thread sleeps in poll() when nothing is asked.
//
// Rejected: c-ares on the reactor (its sockets come and go with each query, its calls read files, and answers are computed under
// a lock that a stuck worker would hold); getaddrinfo on threads for blocking calls (64 slow names, and files wait).

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "levity/base/address.hpp"
#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// Which addresses are asked for.
enum class address_family : std::uint8_t { any, v4, v6 };

/// How names are looked up. The defaults are the system's: /etc/resolv.conf and /etc/hosts, read when the resolver is made (the
/// servers) and at each query (the hosts).
struct resolver_options {
  /// "10.0.0.53", "10.0.0.53:5353", "[fd00::53]:53". Empty: the system's.
  std::vector<std::string> servers;
  /// A server has so long to answer the first time; c-ares doubles it from round to round.
  duration timeout = std::chrono::seconds(2);
  /// Rounds over all servers before a query fails with timed_out.
  int tries = 3;
  /// Whether /etc/hosts is asked, before the servers.
  bool hosts_file = true;
};

/// Looks names up. Any number of tasks at a time, from any runtime; outlives the tasks that ask it. Not movable.
class resolver {
public:
  /// Starts its thread at the first query. Throws nothing but std::bad_alloc.
  explicit resolver(resolver_options options = {});
  /// Ends its thread; queries in flight fail with io_failure::cancelled.
  ~resolver();
  resolver(const resolver&) = delete;
  resolver& operator=(const resolver&) = delete;

  /// The one that resolve() and connect() use: system's options, made at first use, ends with the process.
  static resolver& system();

  /// The addresses of `host` with the port of `service` (a number or a name of /etc/services), best first (RFC 6724). Never
  /// empty on success.
  ///
  /// Numbers are answered at once, without thread or network. Outcomes: not_found (no such name, or no address of the family),
  /// timed_out (no server answered, or a deadline passed), unavailable (the servers could not answer now), invalid (no name at
  /// all), cancelled. A cancelled task leaves at once.
  /// On a host of a simulated world (lv::sim) that answers for the names. In a program that is simulated alone they fail with
  /// io_failure::unsupported. Numbers go in both.
  [[nodiscard]] task<io_result<std::vector<address>>> resolve(std::string host, std::string service,
                                                              address_family family = address_family::any);

  struct shared;

private:
  std::unique_ptr<shared> shared_;
};

/// resolver::system().resolve().
[[nodiscard]] task<io_result<std::vector<address>>> resolve(std::string host, std::string service,
                                                            address_family family = address_family::any);

}  // namespace levity
