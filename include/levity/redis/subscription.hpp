#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "levity/redis/error.hpp"
#include "levity/redis/options.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::redis {

/// What to listen to: channels by name, and by pattern ("orders.*").
struct topics {
  std::vector<std::string> channels{};  ///< names
  std::vector<std::string> patterns{};  ///< patterns
};

/// What a subscription gives out.
struct message {
  /// A message, or that some are missing.
  enum class kind : std::uint8_t {
    text,  ///< somebody has published it
    gap,   ///< the connection was lost and is there again: what was published in between is lost, unknown how much
  };

  kind what = kind::text;  ///< which of the two
  std::string channel;  ///< where it was published; empty for a gap
  std::string pattern;  ///< the pattern that it came by; empty for a subscription by name
  std::string payload;  ///< what was published; of a gap why the connection was lost
};

/// What is published on some channels, one message after the other. Made by client::subscribe(). Move-only.
///
///     const redis::topics orders{.channels = {"orders"}};
///     auto news = co_await cache.subscribe(orders);
///     while (auto one = co_await news->next()) handle(*one);
///
/// It has a connection of its own, and no task: bytes are read when next() is called, so a slow reader holds back the server, which
/// in the end closes the connection (client-output-buffer-limit); that is a gap, too. A lost connection is made again, with pauses
/// as options::backoff_first says, and all topics are subscribed to again, before next() tells of the gap. Redis keeps nothing for
/// who is away: who may miss nothing reads again what it follows whenever there is a gap, or uses a stream.
///
/// next() by one task at a time (asserted); add() and remove() by any task, also while one is in next().
class subscription {
public:
  subscription() noexcept;
  subscription(subscription&&) noexcept;
  subscription& operator=(subscription&&) noexcept;
  /// Nobody waits in it. Closes the connection.
  ~subscription();

  /// Waits for the next message or gap, for as long as it takes: a server that is down is waited for. Fails when it is cancelled or
  /// out of time, with io_failure::cancelled or timed_out, and has taken nothing then, so it can be called again; when the server
  /// refuses a topic (failure::server); and with closed, when it was made by nobody.
  [[nodiscard("co_await the message")]] task<result<message>> next();

  /// More topics. Returns when the server was told, or will be at the next connect; messages may come a moment later.
  [[nodiscard("co_await it")]] task<result<void>> add(topics more);
  /// Fewer. Messages that are on their way still come.
  [[nodiscard("co_await it")]] task<result<void>> remove(topics fewer);

  struct state;
  /// Not for users.
  explicit subscription(std::shared_ptr<state> of) noexcept;

private:
  std::shared_ptr<state> state_;
};

}  // namespace levity::redis
