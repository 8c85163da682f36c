#pragma once

// client: a Redis server, for any number of tasks. docs/design/0032 says why it is as it is.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/redis/error.hpp"
#include "levity/redis/options.hpp"
#include "levity/redis/request.hpp"
#include "levity/redis/session.hpp"
#include "levity/redis/subscription.hpp"
#include "levity/redis/value.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::redis {

/// What happened so far, over all trunks of a client. Racy by nature.
struct figures {
  std::uint64_t commands = 0;         ///< that were queued
  std::uint64_t writes = 0;           ///< system calls that carried them: commands by writes is how many go at once
  std::uint64_t connects = 0;         ///< that went well
  std::uint64_t failed_connects = 0;  ///< that did not
  std::uint64_t lost = 0;             ///< connections that ended
  std::uint64_t pushes = 0;           ///< what the server said without having been asked, and was dropped
  std::size_t unanswered = 0;         ///< commands that wait for their replies now
  unsigned up = 0;                    ///< trunks that are connected now
};

/// A Redis server, for any number of tasks of one runtime.
///
///     redis::client cache{{.address = "127.0.0.1:6379"}};
///     co_await cache.set("greeting", "hello", 60s);
///     auto got = co_await cache.get("greeting");                   // result<std::optional<std::string>>
///     auto rank = co_await cache.command("ZRANK", "scores", name);  // result<value>
///
/// All tasks share `options::trunks` connections: commands of tasks that are ready at the same time leave in one write, and each
/// gets the reply to its own. A task that is cancelled or out of time leaves at once, its reply is counted off when it comes, and
/// nobody else notices. Nothing is sent before the first command, which connects; after that a lost connection is made again.
///
/// Every command has a deadline, options::deadline unless it is given its own or `no_deadline`. While the server is down commands
/// fail at once with what the last connect failed with. When a connection is lost, what was sent fails with error::was_sent(): the
/// server may have carried it out; only what was made `repeatable` is sent again. What was not sent waits for the next connection.
///
/// What does not belong on a shared connection (MULTI, WATCH, SELECT, BLPOP, SUBSCRIBE and their like) fails with failure::refused:
/// see open_session() and subscribe().
///
/// Commands inside tasks, of one runtime; everything else from any thread. The destructor closes; do so before the runtime ends.
/// Not movable. A command costs 1 to 2 us of this process's time when a hundred are in flight; docs/design/0032 has the figures.
class client {
public:
  /// Connects to nothing yet. Throws std::bad_alloc.
  explicit client(options how = {});
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  /// close().
  ~client();

  /// Gives a command and waits for its reply. The arguments are copied before this returns.
  ///
  /// Fails with failure::server when the server answers with an error, failure::io when no reply came, failure::protocol when the
  /// server broke the protocol. Errors inside of arrays stay values.
  template <argument... Arguments>
  [[nodiscard("co_await the command")]] task<result<value>> command(std::string_view name, const Arguments&... arguments) {
    return send(request(name, arguments...));
  }
  /// The same with options of its own: `within(50ms)`, `repeatable`, `no_deadline`.
  template <argument... Arguments>
  [[nodiscard("co_await the command")]] task<result<value>> command(const call_options& how, std::string_view name,
                                                                    const Arguments&... arguments) {
    return send(request(name, arguments...), how);
  }
  /// The same with a request that was made before.
  [[nodiscard("co_await the command")]] task<result<value>> send(request what, const call_options& how = {});

  /// PING: whether the server answers.
  [[nodiscard("co_await the command")]] task<result<void>> ping(const call_options& how = {});
  /// GET: the text at `key`; nullopt where there is none.
  [[nodiscard("co_await the command")]] task<result<std::optional<std::string>>> get(std::string_view key,
                                                                                    const call_options& how = {});
  /// SET: whatever was there is replaced, and stays.
  [[nodiscard("co_await the command")]] task<result<void>> set(std::string_view key, std::string_view text,
                                                               const call_options& how = {});
  /// SET PX: the same, and it goes by itself after that time, in whole milliseconds, at least one.
  [[nodiscard("co_await the command")]] task<result<void>> set(std::string_view key, std::string_view text, duration lives,
                                                               const call_options& how = {});
  /// SET NX: only where nothing is; whether it was set. `lives` as for set(); zero: it stays.
  [[nodiscard("co_await the command")]] task<result<bool>> set_if_absent(std::string_view key, std::string_view text,
                                                                         duration lives = {}, const call_options& how = {});
  /// MGET: the texts at all keys, in their order; at least one key (asserted).
  [[nodiscard("co_await the command")]] task<result<std::vector<std::optional<std::string>>>> mget(
      std::span<const std::string_view> keys, const call_options& how = {});
  /// DEL: how many of the keys there were; at least one key (asserted).
  [[nodiscard("co_await the command")]] task<result<std::int64_t>> del(std::span<const std::string_view> keys,
                                                                       const call_options& how = {});
  /// The same for one key.
  [[nodiscard("co_await the command")]] task<result<std::int64_t>> del(std::string_view key, const call_options& how = {});
  /// EXISTS: whether there is something at `key`.
  [[nodiscard("co_await the command")]] task<result<bool>> exists(std::string_view key, const call_options& how = {});
  /// INCRBY: the number at `key` after `by` was added; from 0 where nothing was.
  [[nodiscard("co_await the command")]] task<result<std::int64_t>> incr(std::string_view key, std::int64_t by = 1,
                                                                        const call_options& how = {});
  /// PEXPIRE: `key` goes after that time, in whole milliseconds. False: there is no such key.
  [[nodiscard("co_await the command")]] task<result<bool>> expire(std::string_view key, duration lives,
                                                                  const call_options& how = {});
  /// EVAL: runs a script in the server, with `keys` as KEYS and `arguments` as ARGV.
  [[nodiscard("co_await the command")]] task<result<value>> eval(std::string_view script,
                                                                 std::span<const std::string_view> keys = {},
                                                                 std::span<const std::string_view> arguments = {},
                                                                 const call_options& how = {});
  /// PUBLISH: how many have received it, on that server.
  [[nodiscard("co_await the command")]] task<result<std::int64_t>> publish(std::string_view channel, std::string_view payload,
                                                                           const call_options& how = {});

  /// A connection for this caller alone; waits while options::sessions_max are held, within the deadline.
  [[nodiscard("co_await the session")]] task<result<session>> open_session(const call_options& how = {});
  /// Connects and subscribes; the server has confirmed all topics when it returns. At least one (asserted).
  [[nodiscard("co_await the subscription")]] task<result<subscription>> subscribe(topics to, const call_options& how = {});

  /// No more commands: those that wait, and those that come, fail with io_failure::closed. Its tasks end soon after. Sessions
  /// and subscriptions that are open go on. Idempotent. Any thread.
  void close() noexcept;

  /// The figures now. Any thread.
  [[nodiscard]] figures look() const noexcept;

private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace levity::redis
