#pragma once

// session_pool: the connections of a client that are held by one caller each, and those that wait to be.
//
//   held + idle <= sessions_max    a permit of `room_` for each that is held; an idle one has none, so it is used before one is
//   opened
//
// The idle one that was used last is given out first, so that those that are not needed grow old and are closed. One that lay for
// more than a second is asked by PING before it is given out: the server may have closed it, and a command that failed on it could
// not be told from one that was carried out. It has a quarter of what is left to the caller for its answer.

#include <memory>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/redis/error.hpp"
#include "levity/redis/options.hpp"
#include "levity/sync/semaphore.hpp"
#include "levity/task/task.hpp"
#include "redis/dialogue.hpp"

namespace levity::inline v0::redis::detail {

struct held_connection;

class session_pool {
public:
  explicit session_pool(std::shared_ptr<const options> how);
  session_pool(const session_pool&) = delete;
  session_pool& operator=(const session_pool&) = delete;

  /// Waits for a permit and opens a connection if none is idle. Until it is cancelled.
  static task<result<std::shared_ptr<held_connection>>> take(std::shared_ptr<session_pool> self);
  /// The permit comes back; with the connection, if it is as it was.
  void give_back(std::unique_ptr<dialogue> wire) noexcept;
  /// No more. Idle ones are closed.
  void close() noexcept;

private:
  struct idle {
    std::unique_ptr<dialogue> wire;
    time_point since;
  };

  static task<result<std::unique_ptr<dialogue>>> open(session_pool& self);
  std::unique_ptr<dialogue> take_idle(duration& lay) noexcept;

  const std::shared_ptr<const options> options_;
  semaphore room_;
  levity::detail::spin_lock lock_;
  std::vector<idle> idle_;  // the one that was used last is last; has room for all
  bool closed_ = false;
};

/// What a session holds.
struct held_connection {
  held_connection(std::shared_ptr<session_pool> from, std::unique_ptr<dialogue> opened, duration within) noexcept
      : home(std::move(from)), wire(std::move(opened)), deadline(within) {}
  held_connection(const held_connection&) = delete;
  held_connection& operator=(const held_connection&) = delete;
  ~held_connection() { let_go(); }

  void let_go() noexcept;

  std::shared_ptr<session_pool> home;  // null: given back
  std::unique_ptr<dialogue> wire;      // null: broken
  const duration deadline;
  bool busy = false;
  bool watches = false;
  bool in_transaction = false;
  bool changed = false;
};

}  // namespace levity::redis::detail
