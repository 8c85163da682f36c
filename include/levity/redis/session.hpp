#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "levity/redis/error.hpp"
#include "levity/redis/options.hpp"
#include "levity/redis/request.hpp"
#include "levity/redis/value.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::redis {

namespace detail {
class session_pool;
struct held_connection;
}  // namespace detail

/// A connection for one caller alone: for transactions (MULTI, EXEC, WATCH), for commands that block (BLPOP, XREAD with BLOCK,
/// WAIT) and for those that change the connection (SELECT, AUTH). Made by client::open_session(). Move-only.
///
/// One command at a time, of one task at a time (asserted). A command that is cancelled or out of time has closed the session: its
/// reply might come later, and would be taken for that of the next one. What follows fails with io_failure::closed, and nothing is
/// repeated.
///
/// The destructor gives the connection back to the client, for the next session, if it is as it was: no transaction is open,
/// nothing is watched, and no command changed it; else closes it.
class session {
public:
  session() noexcept = default;
  session(session&&) noexcept;
  session& operator=(session&&) noexcept;
  ~session();

  /// Gives a command and waits for its reply, as client::command() does.
  template <argument... Arguments>
  [[nodiscard("co_await the command")]] task<result<value>> command(std::string_view name, const Arguments&... arguments) {
    return send(request(name, arguments...));
  }
  /// The same with options of its own; `repeats` means nothing here. no_deadline for what blocks.
  template <argument... Arguments>
  [[nodiscard("co_await the command")]] task<result<value>> command(const call_options& how, std::string_view name,
                                                                    const Arguments&... arguments) {
    return send(request(name, arguments...), how);
  }
  /// The same with a request that was made before.
  [[nodiscard("co_await the command")]] task<result<value>> send(request what, const call_options& how = {});

  /// MULTI, and once the server has begun a transaction, the commands and EXEC in one write: all of them or none, with nothing of
  /// others in between, in two round trips. Their replies in order, among them errors as values; nullopt when a key that WATCH
  /// named was changed meanwhile. A MULTI, a command or an EXEC that the server refuses is the error, and none was carried out;
  /// a MULTI as one that was not sent. After a refused EXEC the session is closed.
  [[nodiscard("co_await the transaction")]] task<result<std::optional<std::vector<value>>>> transaction(
      std::vector<request> commands, const call_options& how = {});

  /// Whether it can be used: made, and not closed by a failure.
  [[nodiscard]] bool is_open() const noexcept;
  /// Closes the connection now, or gives it back. Idempotent. No command is under way.
  void close() noexcept;

  /// Not for users.
  explicit session(std::shared_ptr<detail::held_connection> held) noexcept;

private:
  std::shared_ptr<detail::held_connection> held_;
};

}  // namespace levity::redis
