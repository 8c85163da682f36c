#include "levity/redis/subscription.hpp"

#include <optional>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/base/random_seed.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/yield.hpp"
#include "levity/time/deadline.hpp"
#include "levity/time/sleep.hpp"
#include "redis/subscription_state.hpp"

namespace levity::inline v0::redis {

namespace {

constexpr const char* listening = "listening to redis";

// A message of the server, if it is one: an array over RESP2, a push over RESP3.
std::optional<message> message_of(value&& said) {
  if (said.kind() != value_kind::array && said.kind() != value_kind::push) return std::nullopt;
  std::vector<value> parts = std::move(said).take_elements();
  if (parts.size() == 3 && parts[0].text() == "message") {
    return message{message::kind::text, std::move(parts[1]).take_text(), {}, std::move(parts[2]).take_text()};
  }
  if (parts.size() == 4 && parts[0].text() == "pmessage") {
    return message{message::kind::text, std::move(parts[2]).take_text(), std::move(parts[1]).take_text(),
                   std::move(parts[3]).take_text()};
  }
  return std::nullopt;
}

bool confirms(const value& said) noexcept {
  if (said.kind() != value_kind::array && said.kind() != value_kind::push) return false;
  const auto parts = said.elements();
  return parts.size() == 3 && (parts[0].text() == "subscribe" || parts[0].text() == "psubscribe");
}

void append(std::string& out, std::string_view name, const std::vector<std::string>& arguments) {
  if (arguments.empty()) return;
  request command(name);
  for (const std::string& each : arguments) command.add(each);
  out += command.encode();
}

}  // namespace

subscription::state::state(std::shared_ptr<const options> with, topics to)
    : how(std::move(with)),
      channels_(to.channels.begin(), to.channels.end()),
      patterns_(to.patterns.begin(), to.patterns.end()),
      backoff_(how->backoff_first, how->backoff_max, random_seed()) {}

topics subscription::state::all() const {
  return {{channels_.begin(), channels_.end()}, {patterns_.begin(), patterns_.end()}};
}

std::string subscription::state::commands_for(const topics& what, bool more) const {
  std::string out;
  append(out, more ? "SUBSCRIBE" : "UNSUBSCRIBE", what.channels);
  append(out, more ? "PSUBSCRIBE" : "PUNSUBSCRIBE", what.patterns);
  return out;
}

// All of it within options::connect_timeout, see dialogue::open(), and this around it.
task<result<void>> subscription::state::listen() {
  result<std::unique_ptr<detail::dialogue>> opened = co_await detail::dialogue::open(*how);
  if (!opened) co_return std::unexpected(opened.error());
  // From here on add() and remove() wait, so that nothing is missed between what is sent now and what they send.
  const auto held = co_await writing_.lock();
  early_.clear();
  const topics wanted = all();
  const std::string text = commands_for(wanted, true);
  const io_result<void> written = co_await (*opened)->write(text);
  if (!written) co_return std::unexpected(error::of_io(written.error().during(listening), true));
  for (std::size_t left = wanted.channels.size() + wanted.patterns.size(); left > 0;) {
    result<value> said = co_await (*opened)->next(true);
    if (!said) co_return std::unexpected(said.error());
    if (said->is_error()) co_return std::unexpected(error::of_server(std::move(*said).take_text()));
    if (confirms(*said)) {
      left--;
    } else if (std::optional<message> early = message_of(std::move(*said))) {
      early_.push_back(std::move(*early));
    }
  }
  wire_ = std::move(*opened);
  asked_ = false;
  co_return result<void>{};
}

task<result<void>> subscription::state::connect() {
  cancel_reason why = cancel_reason::none;
  try {
    // Twice the time: it is two conversations.
    co_return co_await with_deadline(2 * how->connect_timeout, listen());
  } catch (const cancelled& told) {
    why = told.reason();
  }
  co_return std::unexpected(error::of_io(to_io_error(why, listening), true));
}

task<result<subscription>> subscription::state::open(std::shared_ptr<state> self) {
  const result<void> connected = co_await self->connect();
  if (!connected) co_return std::unexpected(connected.error());
  co_return subscription(std::move(self));
}

// Under the lock. What was cut off half-way would garble what follows, so nothing does.
task<io_result<void>> subscription::state::write(std::string text) {
  const io_result<void> written = co_await wire_->write(text);
  if (!written) wire_->hang_up();
  co_return written;
}

task<io_result<void>> subscription::state::ping() {
  const auto held = co_await writing_.lock();
  asked_ = true;
  request ping("PING");
  co_return co_await write(std::string(ping.encode()));
}

// Until the connection ends, which is an error of kind io with eof, reset or timed_out by our own watch; or protocol.
task<result<message>> subscription::state::next_of_connection() {
  for (;;) {
    switch (wire_->poll()) {
      case detail::reply_reader::verdict::broken: co_return std::unexpected(wire_->broken());
      case detail::reply_reader::verdict::complete: {
        value said = wire_->take();
        asked_ = false;
        if (said.is_error()) co_return std::unexpected(error::of_server(std::move(said).take_text()));
        if (std::optional<message> one = message_of(std::move(said))) co_return std::move(*one);
        continue;
      }
      case detail::reply_reader::verdict::needs_more: break;
    }
    const time_point until = clock::now() + how->health_interval;
    const io_result<void> more = co_await with_deadline(until, wire_->fill());
    if (more) continue;
    const bool ours = more.error() == io_failure::timed_out && clock::now() >= until;
    if (!ours || asked_) {
      const io_failure failure = ours ? io_failure::unavailable : more.error().failure();
      co_return std::unexpected(error::of_io({failure, more.error().code(), listening}, true));
    }
    const io_result<void> pinged = co_await ping();
    if (!pinged) co_return std::unexpected(error::of_io(pinged.error().during(listening), true));
  }
}

// Until it is connected again, and then tells of the gap.
task<result<message>> subscription::state::connect_again() {
  for (;;) {
    const result<void> connected = co_await connect();
    if (connected) break;
    const error& failed = connected.error();
    co_await levity::detail::throw_if_cancelled();
    // A topic that the server does not let us have will not be ours by waiting; a server that loads its data will be there.
    if (failed == failure::server && (failed.code() == "NOPERM" || failed.code() == "WRONGPASS" || failed.code() == "NOAUTH")) {
      co_return std::unexpected(failed);
    }
    co_await sleep(backoff_.next());
  }
  backoff_.reset();
  co_return message{message::kind::gap, {}, {}, std::exchange(lost_, {})};
}

task<result<message>> subscription::state::next() {
  LEVITY_ASSERT(!busy_, "one task listens to a subscription");
  struct busy {
    bool& of;
    explicit busy(bool& flag) noexcept : of(flag) { of = true; }
    ~busy() { of = false; }
  };
  const busy inside(busy_);
  cancel_reason told = cancel_reason::none;
  try {
    for (;;) {
      if (wire_ == nullptr) {
        result<message> gap = co_await connect_again();
        co_return std::move(gap);
      }
      if (!early_.empty()) {
        message first = std::move(early_.front());
        early_.pop_front();
        co_return std::move(first);
      }
      result<message> one = co_await next_of_connection();
      if (one || one.error() == failure::server) co_return std::move(one);
      co_await levity::detail::throw_if_cancelled();
      std::string why = one.error().message();
      {
        const auto held = co_await writing_.lock();
        wire_.reset();
      }
      lost_ = std::move(why);
    }
  } catch (const cancelled& by) {
    told = by.reason();
  }
  co_return std::unexpected(error::of_io(to_io_error(told, listening), true));
}

task<result<void>> subscription::state::change(topics what, bool more) {
  cancel_reason told = cancel_reason::none;
  try {
    const auto held = co_await writing_.lock();
    for (const std::string& each : what.channels) more ? void(channels_.insert(each)) : void(channels_.erase(each));
    for (const std::string& each : what.patterns) more ? void(patterns_.insert(each)) : void(patterns_.erase(each));
    const std::string text = commands_for(what, more);
    if (wire_ == nullptr || text.empty()) co_return result<void>{};
    // One that fails has ended the connection; next() will meet that, and subscribe to what is wanted then.
    static_cast<void>(co_await write(text));
    co_return result<void>{};
  } catch (const cancelled& by) {
    told = by.reason();
  }
  co_return std::unexpected(error::of_io(to_io_error(told, listening), false));
}

namespace {

error nobody() noexcept { return error::of_io({io_failure::closed, 0, listening}, false); }

task<result<message>> next_of(std::shared_ptr<subscription::state> of) {
  if (of == nullptr) co_return std::unexpected(nobody());
  co_return co_await of->next();
}

task<result<void>> change_of(std::shared_ptr<subscription::state> of, topics what, bool more) {
  if (of == nullptr) co_return std::unexpected(nobody());
  co_return co_await of->change(std::move(what), more);
}

}  // namespace

subscription::subscription() noexcept = default;
subscription::subscription(subscription&&) noexcept = default;
subscription& subscription::operator=(subscription&&) noexcept = default;
subscription::~subscription() = default;
subscription::subscription(std::shared_ptr<state> of) noexcept : state_(std::move(of)) {}

task<result<message>> subscription::next() { return next_of(state_); }
task<result<void>> subscription::add(topics more) { return change_of(state_, std::move(more), true); }
task<result<void>> subscription::remove(topics fewer) { return change_of(state_, std::move(fewer), false); }

}  // namespace levity::redis
