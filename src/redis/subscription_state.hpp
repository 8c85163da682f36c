#pragma once

// The state of a subscription: what it listens to, and the connection if there is one.
//
//   wire is not null: connected, and all topics were sent. Set and taken away by next() alone, under `writing`.
//
// Bytes are read by next() without the lock, for nobody else reads; written under it.

#include <deque>
#include <memory>
#include <set>
#include <string>

#include "levity/redis/options.hpp"
#include "levity/redis/subscription.hpp"
#include "levity/sync/mutex.hpp"
#include "levity/task/task.hpp"
#include "redis/backoff.hpp"
#include "redis/dialogue.hpp"

namespace levity::inline v0::redis {

struct subscription::state {
  state(std::shared_ptr<const options> with, topics to);

  /// Connects, subscribes, and waits until all of it is confirmed. For the first time.
  static task<result<subscription>> open(std::shared_ptr<state> self);
  task<result<message>> next();
  task<result<void>> change(topics what, bool more);

  const std::shared_ptr<const options> how;

private:
  task<result<void>> connect();
  task<result<void>> listen();
  task<result<message>> next_of_connection();
  task<result<message>> connect_again();
  task<io_result<void>> ping();
  task<io_result<void>> write(std::string text);
  [[nodiscard]] std::string commands_for(const topics& what, bool more) const;
  [[nodiscard]] topics all() const;

  std::set<std::string> channels_;  // under writing_
  std::set<std::string> patterns_;  // under writing_
  std::unique_ptr<detail::dialogue> wire_;
  mutex writing_;
  std::deque<message> early_;       // came before the last confirmation
  std::string lost_;                // why there is no connection
  bool asked_ = false;              // a PING is on its way
  bool busy_ = false;
  detail::backoff backoff_;
};

}  // namespace levity::redis
