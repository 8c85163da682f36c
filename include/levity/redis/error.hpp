#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "levity/base/error.hpp"

namespace levity::inline v0::redis {

/// What kept a command from its result.
enum class failure : std::uint8_t {
  io,        ///< no reply came: error::io() says why
  server,    ///< the server answered with an error: error::code() and error::text()
  protocol,  ///< the server said what no server may say, or more than the limits allow; the connection was closed
  refused,   ///< not sent: the command does not belong on a connection that others share, or into this state of a session
  mismatch,  ///< a reply, but not of the type that was asked for
};

/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(failure of) noexcept;

/// Why a command has no result. A value; thread-safe as any value.
class error {
public:
  /// No reply came. `sent`: the command, or a part of it, may have left.
  static error of_io(io_error why, bool sent) noexcept { return {failure::io, why, {}, sent}; }
  /// The server's words, "WRONGTYPE Operation against ...".
  static error of_server(std::string text) noexcept { return {failure::server, io_failure::other, std::move(text), true}; }
  /// Another kind, with a sentence.
  static error of(failure kind, std::string text, bool sent) noexcept {
    return {kind, io_failure::other, std::move(text), sent};
  }

  /// What happened, for a caller to act on.
  [[nodiscard]] failure kind() const noexcept { return kind_; }
  /// Why no reply came: timed_out and cancelled are the caller's doing, eof and reset a connection that was lost, closed a client
  /// that was. `other` where kind() is not io.
  [[nodiscard]] io_error io() const noexcept { return io_; }
  /// The first word of a server's error, "ERR", "WRONGTYPE", "MOVED", "NOAUTH"; else empty.
  [[nodiscard]] std::string_view code() const noexcept;
  /// The server's words, or what was wrong; empty where kind() is io.
  [[nodiscard]] std::string_view text() const noexcept { return text_; }
  /// Whether the server may have carried the command out. False: it certainly has not, so it may be given again.
  [[nodiscard]] bool was_sent() const noexcept { return sent_; }
  /// The same error of a command that was sent, or was not.
  [[nodiscard]] error with_sent(bool sent) const { return {kind_, io_, text_, sent}; }
  /// One sentence. Allocates.
  [[nodiscard]] std::string message() const;

  /// Whether no reply came for that reason.
  friend bool operator==(const error& a, io_failure b) noexcept { return a.kind_ == failure::io && a.io_ == b; }
  /// Whether it is of that kind.
  friend bool operator==(const error& a, failure b) noexcept { return a.kind_ == b; }

private:
  error(failure kind, io_error why, std::string text, bool sent) noexcept
      : text_(std::move(text)), io_(why), kind_(kind), sent_(sent) {}

  std::string text_;
  io_error io_;
  failure kind_;
  bool sent_;
};

/// A reply, or why there is none.
template <class T>
using result = std::expected<T, error>;

}  // namespace levity::redis
