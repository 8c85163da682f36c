#include "levity/redis/session.hpp"

#include <string>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/time/deadline.hpp"
#include "redis/command_rules.hpp"
#include "redis/session_pool.hpp"

namespace levity::inline v0::redis {

namespace {

using detail::held_connection;

constexpr const char* talking = "talking to redis in a session";

error closed() noexcept { return error::of_io({io_failure::closed, 0, talking}, false); }

// Notes what a command does to the connection, as far as its reply says that it did.
void note(held_connection& on, detail::effect what, bool worked) {
  switch (what) {
    case detail::effect::none: break;
    case detail::effect::watches: on.watches = on.watches || worked; break;
    case detail::effect::unwatches: on.watches = on.watches && !worked; break;
    case detail::effect::begins: on.in_transaction = on.in_transaction || worked; break;
    case detail::effect::ends: on.in_transaction = on.watches = false; break;
    case detail::effect::changes: on.changed = true; break;
  }
}

// The next reply; pushes are dropped.
task<result<value>> reply_of(held_connection& on) {
  for (;;) {
    result<value> reply = co_await on.wire->next(true);
    if (!reply || reply->kind() != value_kind::push) co_return std::move(reply);
  }
}

// The time of one command. Whatever ends it before its replies have come closes the connection.
class turn {
public:
  explicit turn(held_connection& on) : on_(on) {
    LEVITY_ASSERT(!on.busy, "a session takes one command at a time");
    on.busy = true;
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  ~turn() {
    on_.busy = false;
    if (!answered_) on_.wire.reset();
  }
  void answered() noexcept { answered_ = true; }

private:
  held_connection& on_;
  bool answered_ = false;
};

task<result<value>> give(std::shared_ptr<held_connection> on, request what) {
  turn now(*on);
  if (on->wire == nullptr) co_return std::unexpected(closed());
  const io_result<void> written = co_await on->wire->write(what.encode());
  if (!written) co_return std::unexpected(error::of_io(written.error().during(talking), true));
  result<value> reply = co_await reply_of(*on);
  if (!reply) co_return std::move(reply);
  now.answered();
  note(*on, detail::effect_of(what), !reply->is_error());
  if (reply->is_error()) co_return std::unexpected(error::of_server(std::move(*reply).take_text()));
  co_return std::move(reply);
}

using replies = std::optional<std::vector<value>>;

task<result<replies>> give_all(std::shared_ptr<held_connection> on, std::vector<request> commands) {
  if (on->in_transaction) {
    co_return std::unexpected(
        error::of(failure::refused, "a transaction is open on this session; end it by EXEC or DISCARD", false));
  }
  turn now(*on);
  if (on->wire == nullptr) co_return std::unexpected(closed());
  // Alone, first: behind a MULTI that is refused, by an ACL or a proxy, the commands would be carried out one by one.
  request begin("MULTI");
  const io_result<void> asked = co_await on->wire->write(begin.encode());
  if (!asked) co_return std::unexpected(error::of_io(asked.error().during(talking), false));
  result<value> begun = co_await reply_of(*on);
  if (!begun) co_return std::unexpected(begun.error().with_sent(false));
  if (begun->is_error()) {
    now.answered();
    co_return std::unexpected(error::of_server(std::move(*begun).take_text()).with_sent(false));
  }
  request end("EXEC");
  std::string all;
  for (request& each : commands) all += each.encode();
  all += end.encode();
  const io_result<void> written = co_await on->wire->write(all);
  if (!written) co_return std::unexpected(error::of_io(written.error().during(talking), true));
  value last;
  std::optional<error> refused;  // by the server, the first one
  for (std::size_t i = 0; i < commands.size() + 1; i++) {
    result<value> reply = co_await reply_of(*on);
    if (!reply) co_return std::unexpected(reply.error());
    last = std::move(*reply);
    if (last.is_error() && !refused) refused = error::of_server(std::string(last.text()));
  }
  // Where EXEC itself was refused the transaction is still open, and closed with the connection.
  if (!last.is_error() || last.error_code() == "EXECABORT") now.answered();
  on->watches = false;
  if (refused) co_return std::unexpected(std::move(*refused));
  if (last.is_null()) co_return replies{};
  if (last.kind() != value_kind::array) co_return std::unexpected(error::of(failure::mismatch, "EXEC gave no array", true));
  co_return replies{std::move(last).take_elements()};
}

duration span_of(const call_options& how, duration otherwise) noexcept {
  return how.deadline == call_options::as_the_client ? otherwise : how.deadline;
}

task<result<value>> give_in_time(std::shared_ptr<held_connection> on, request what, duration span) {
  if (on == nullptr) co_return std::unexpected(closed());
  switch (detail::place_of(what)) {
    case detail::place::anywhere:
    case detail::place::session: break;
    case detail::place::subscription:
      co_return std::unexpected(error::of(failure::refused, "subscriptions are made by client::subscribe()", false));
    case detail::place::nowhere:
      co_return std::unexpected(error::of(failure::refused, "behind this command no reply could be told from another", false));
  }
  if (span == duration::max()) co_return co_await give(std::move(on), std::move(what));
  co_return co_await with_deadline(span, give(std::move(on), std::move(what)));
}

task<result<replies>> give_all_in_time(std::shared_ptr<held_connection> on, std::vector<request> commands, duration span) {
  if (on == nullptr) co_return std::unexpected(closed());
  for (const request& each : commands) {
    if (detail::place_of(each) == detail::place::anywhere) continue;
    co_return std::unexpected(error::of(failure::refused, std::string(each.name()) + " has no place in a transaction", false));
  }
  if (span == duration::max()) co_return co_await give_all(std::move(on), std::move(commands));
  co_return co_await with_deadline(span, give_all(std::move(on), std::move(commands)));
}

}  // namespace

session::session(std::shared_ptr<held_connection> held) noexcept : held_(std::move(held)) {}
session::session(session&&) noexcept = default;
session& session::operator=(session&& other) noexcept {
  if (this != &other) {
    close();
    held_ = std::move(other.held_);
  }
  return *this;
}
session::~session() { close(); }

void session::close() noexcept {
  if (held_ != nullptr) held_->let_go();
  held_.reset();
}

bool session::is_open() const noexcept { return held_ != nullptr && held_->wire != nullptr; }

task<result<value>> session::send(request what, const call_options& how) {
  return give_in_time(held_, std::move(what), held_ == nullptr ? duration::max() : span_of(how, held_->deadline));
}

task<result<std::optional<std::vector<value>>>> session::transaction(std::vector<request> commands, const call_options& how) {
  return give_all_in_time(held_, std::move(commands), held_ == nullptr ? duration::max() : span_of(how, held_->deadline));
}

}  // namespace levity::redis
