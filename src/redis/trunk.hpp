#pragma once

// trunk: one connection that all callers of a client share, and the tasks that keep it: detached, made at the first command, ended
// by close().
//
//   keep      waits for the stop; ends the others then
//   live      connects, and again when a connection has ended:
//
//     unused --first command--> connecting --good--> up --ended--> connecting
//                                 |    ^
//                              failed  after a backoff, in which the trunk is down: commands fail at once
//                                 v    |
//                                down -+
//
//   of a connection that is up:
//     write   takes what is queued, yields once before, so that all tasks that are ready give theirs too, and sends it in one call
//     read    gives replies to the oldest commands, pushes to nobody
//     watch   every health_interval: a connection that owed a reply at the last look and has answered nothing since is given up; an
//             idle one is asked by PING. Behind a command without a deadline only the kernel gives up (dialogue.hpp)
//   The first of these that ends ends the others. What was sent then fails, or is sent once more where its caller said so.
//
// A connection that ends right after it was good backs off like one that failed: a server that greets and hangs up is no better.
//
// Rejected: the caller writes (its deadline would cut a command in two); a connect per caller (a herd at a server that comes back).

#include <cstddef>
#include <memory>

#include "levity/base/atomic.hpp"
#include "levity/redis/error.hpp"
#include "levity/redis/options.hpp"
#include "levity/redis/request.hpp"
#include "levity/redis/value.hpp"
#include "levity/sync/event.hpp"
#include "levity/task/task.hpp"
#include "redis/backoff.hpp"
#include "redis/dialogue.hpp"
#include "redis/exchange_queue.hpp"

namespace levity::inline v0::redis::detail {

class trunk {
public:
  explicit trunk(std::shared_ptr<const options> how);
  ~trunk();

  /// Sends a command and waits for its reply, for as long as `how` says.
  static task<result<value>> call(std::shared_ptr<trunk> self, request what, call_options how);
  /// Fails what waits and what comes, and ends the tasks soon. Idempotent. Any thread.
  void close();

  // All relaxed: for people.
  struct counts {
    atomic<std::uint64_t> commands{0};
    atomic<std::uint64_t> writes{0};
    atomic<std::uint64_t> connects{0};
    atomic<std::uint64_t> failed_connects{0};
    atomic<std::uint64_t> lost{0};
    atomic<std::uint64_t> pushes{0};
    atomic<bool> up{false};
  };
  counts figures;
  exchange_queue commands;

private:
  struct connection;

  static task<result<value>> ask(std::shared_ptr<trunk> self, request what, unsigned repeats, bool is_endless);
  static task<> keep(std::shared_ptr<trunk> self);
  static task<> live(std::shared_ptr<trunk> self);
  static task<error> serve(std::shared_ptr<trunk> self, std::shared_ptr<connection> on);
  static task<> write(std::shared_ptr<trunk> self, std::shared_ptr<connection> on);
  static task<> read(std::shared_ptr<trunk> self, std::shared_ptr<connection> on);
  static task<> watch(std::shared_ptr<trunk> self, std::shared_ptr<connection> on);
  static task<> write_all(std::shared_ptr<trunk> self, std::shared_ptr<connection> on);
  static task<error> read_all(std::shared_ptr<trunk> self, std::shared_ptr<connection> on);
  static task<> look_after(std::shared_ptr<trunk> self, std::shared_ptr<connection> on);
  void start(const std::shared_ptr<trunk>& self);
  void settle(connection& on, const error& why);

  const std::shared_ptr<const options> options_;
  event stop_;
  backoff backoff_;  // of live
};

}  // namespace levity::redis::detail
