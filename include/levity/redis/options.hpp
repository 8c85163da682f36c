#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "levity/base/clock.hpp"

namespace levity::inline v0::redis {

/// What one reply may weigh. A server that says more breaks the protocol, and its connection is closed.
struct reply_limits {
  std::size_t bytes_max = std::size_t{64} << 20;  ///< memory that its values take, all elements with their 64 bytes each
  std::size_t line_max = 64 * 1024;               ///< a status, an error, a number
  unsigned depth_max = 32;                        ///< arrays in arrays
};

/// How a client finds its server and what it lets callers do. The defaults serve a service beside a local server.
struct options {
  /// "127.0.0.1:6379", "[::1]:6379", "cache.internal:6379" (a name is looked up at each connect), "/run/redis.sock".
  std::string address = "127.0.0.1:6379";
  std::string user{};      ///< empty: the server's default user
  std::string password{};  ///< empty: no AUTH
  std::string name{};      ///< what CLIENT LIST shows; empty: nothing
  unsigned database = 0;  ///< SELECT
  bool resp3 = true;      ///< asks for RESP3 and takes RESP2 where the server has no HELLO; false: RESP2 at once

  /// How long a command may take, from the call to the result: queueing, connecting, a reconnect, all of it.
  duration deadline = std::chrono::milliseconds(500);
  /// A connect with everything that is said before the first command.
  duration connect_timeout = std::chrono::seconds(1);
  /// A connection that owes a reply and says nothing for one to two of these is given up, unless the oldest command has no
  /// deadline; one that is idle is asked by PING. Over TCP any is given up whose peer's machine is silent for three.
  duration health_interval = std::chrono::seconds(5);
  /// After a failed connect the next one waits for a time drawn from nothing to this, doubled from failure to failure ...
  duration backoff_first = std::chrono::milliseconds(50);
  /// ... up to this.
  duration backoff_max = std::chrono::seconds(2);
  /// Commands while the server is down, from a failed connect to the next good one, fail at once with what that connect failed
  /// with. True: they wait for it, until their deadline.
  bool waits_while_down = false;

  unsigned trunks = 1;        ///< connections that all callers share
  unsigned in_flight_max =
      4096;  ///< commands that wait or are under way on each of them, one of 1 KiB counting as two; more wait for room
  unsigned sessions_max = 16;     ///< connections that are held by one caller each; more wait for one
  duration session_idle_max = std::chrono::seconds(60);  ///< one that lay unused for longer is closed, not used again
  reply_limits replies{};       ///< bounds of each reply

  /// "redis://user:password@host:6379/2", "redis://:password@host", "unix:///run/redis.sock", or what `address` takes. Percent
  /// escapes in user, password and path are decoded. The error says what is wrong with the text; it never repeats a password.
  static std::expected<options, std::string> parse(std::string_view text);
};

/// How one command is made.
struct call_options {
  /// Of the client's options.
  static constexpr duration as_the_client = duration::min();

  duration deadline = as_the_client;  ///< from the call to the result; duration::max(): none, see no_deadline
  /// How often it may be sent again when a connection was lost before the reply came. Only for commands that may be carried
  /// out twice: reads, SET without conditions, not INCR.
  unsigned repeats = 0;
};

/// Waits for as long as it takes: for scripts, and for commands that block on a session.
inline constexpr call_options no_deadline{.deadline = duration::max(), .repeats = 0};
/// May be sent once more when a connection was lost: the command can be carried out twice without harm.
inline constexpr call_options repeatable{.deadline = call_options::as_the_client, .repeats = 1};
/// With a deadline of its own.
[[nodiscard]] constexpr call_options within(duration span) noexcept { return {.deadline = span, .repeats = 0}; }

}  // namespace levity::redis
