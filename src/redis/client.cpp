#include "levity/redis/client.hpp"

#include <algorithm>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/base/atomic.hpp"
#include "levity/time/deadline.hpp"
#include "redis/command_rules.hpp"
#include "redis/session_pool.hpp"
#include "redis/subscription_state.hpp"
#include "redis/trunk.hpp"

namespace levity::inline v0::redis {

struct client::state {
  explicit state(options with)
      : how(std::make_shared<const options>(std::move(with))), sessions(std::make_shared<detail::session_pool>(how)) {
    const unsigned count = std::max(how->trunks, 1U);
    trunks.reserve(count);
    for (unsigned i = 0; i < count; i++) trunks.push_back(std::make_shared<detail::trunk>(how));
  }

  const std::shared_ptr<const options> how;
  std::vector<std::shared_ptr<detail::trunk>> trunks;
  std::shared_ptr<detail::session_pool> sessions;
  atomic<unsigned> turn{0};  // relaxed: any trunk will do
};

namespace {

task<result<value>> refused(std::string why) { co_return std::unexpected(error::of(failure::refused, std::move(why), false)); }

template <class T>
result<T> mismatch(const value& got, const char* wanted) {
  return std::unexpected(error::of(failure::mismatch, std::string(to_string(got.kind())) + " instead of " + wanted, true));
}

// What a reply must be for each of the results.
result<void> no_value(value&& reply) {
  if (reply.kind() != value_kind::status && reply.kind() != value_kind::text) return mismatch<void>(reply, "a status");
  return {};
}

result<std::optional<std::string>> maybe_text(value&& reply) {
  if (reply.is_null()) return std::optional<std::string>{};
  if (reply.kind() != value_kind::text && reply.kind() != value_kind::verbatim && reply.kind() != value_kind::status) {
    return mismatch<std::optional<std::string>>(reply, "text");
  }
  return std::optional<std::string>{std::move(reply).take_text()};
}

result<std::vector<std::optional<std::string>>> texts(value&& reply) {
  if (reply.kind() != value_kind::array) return mismatch<std::vector<std::optional<std::string>>>(reply, "an array");
  std::vector<std::optional<std::string>> all;
  std::vector<value> elements = std::move(reply).take_elements();
  all.reserve(elements.size());
  for (value& each : elements) {
    auto one = maybe_text(std::move(each));
    if (!one) return std::unexpected(one.error());
    all.push_back(std::move(*one));
  }
  return all;
}

result<std::int64_t> number(value&& reply) {
  if (reply.kind() != value_kind::integer) return mismatch<std::int64_t>(reply, "an integer");
  return *reply.to_integer();
}

result<bool> yes_or_no(value&& reply) {
  const std::optional<bool> said = reply.to_boolean();
  if (!said) return mismatch<bool>(reply, "0 or 1");
  return *said;
}

// SET NX says OK or nothing.
result<bool> was_set(value&& reply) {
  if (reply.is_null()) return false;
  if (reply.kind() != value_kind::status) return mismatch<bool>(reply, "a status");
  return true;
}

template <class T>
task<result<T>> read_as(task<result<value>> call, result<T> (*read)(value&&)) {
  result<value> reply = co_await std::move(call);
  if (!reply) co_return std::unexpected(std::move(reply.error()));
  co_return read(std::move(*reply));
}

std::int64_t whole_ms(duration span) noexcept {
  return std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(span).count(), 1);
}

task<result<session>> taken(std::shared_ptr<detail::session_pool> from, duration span) {
  result<std::shared_ptr<detail::held_connection>> held{};
  if (span == duration::max()) {
    held = co_await detail::session_pool::take(std::move(from));
  } else {
    held = co_await with_deadline(span, detail::session_pool::take(std::move(from)));
  }
  if (!held) co_return std::unexpected(held.error());
  co_return session(std::move(*held));
}

task<result<subscription>> opened(std::shared_ptr<subscription::state> of, duration span) {
  if (span == duration::max()) co_return co_await subscription::state::open(std::move(of));
  co_return co_await with_deadline(span, subscription::state::open(std::move(of)));
}

duration span_of(const call_options& how, const options& otherwise) noexcept {
  return how.deadline == call_options::as_the_client ? otherwise.deadline : how.deadline;
}

}  // namespace

client::client(options how) : state_(std::make_shared<state>(std::move(how))) {}

client::~client() { close(); }

void client::close() noexcept {
  for (const auto& each : state_->trunks) each->close();
  state_->sessions->close();
}

task<result<value>> client::send(request what, const call_options& how) {
  switch (detail::place_of(what)) {
    case detail::place::anywhere: break;
    case detail::place::session:
      return refused(std::string(what.name()) + " would hold up or change the connection for others; give it in a session");
    case detail::place::subscription: return refused("subscriptions are made by client::subscribe()");
    case detail::place::nowhere: return refused(std::string(what.name()) + " would end the order of replies");
  }
  const auto& trunks = state_->trunks;
  const std::size_t index = trunks.size() == 1 ? 0 : state_->turn.fetch_add(1, std::memory_order_relaxed) % trunks.size();
  return detail::trunk::call(trunks[index], std::move(what), how);
}

task<result<void>> client::ping(const call_options& how) { return read_as(send(request("PING"), how), no_value); }

task<result<std::optional<std::string>>> client::get(std::string_view key, const call_options& how) {
  return read_as(send(request("GET", key), how), maybe_text);
}

task<result<void>> client::set(std::string_view key, std::string_view text, const call_options& how) {
  return read_as(send(request("SET", key, text), how), no_value);
}

task<result<void>> client::set(std::string_view key, std::string_view text, duration lives, const call_options& how) {
  return read_as(send(request("SET", key, text, "PX", whole_ms(lives)), how), no_value);
}

task<result<bool>> client::set_if_absent(std::string_view key, std::string_view text, duration lives, const call_options& how) {
  request set("SET", key, text, "NX");
  if (lives > duration::zero()) set.add("PX").add(whole_ms(lives));
  return read_as(send(std::move(set), how), was_set);
}

task<result<std::vector<std::optional<std::string>>>> client::mget(std::span<const std::string_view> keys,
                                                                   const call_options& how) {
  LEVITY_ASSERT(!keys.empty(), "mget asks for at least one key");
  request get("MGET");
  for (const std::string_view each : keys) get.add(each);
  return read_as(send(std::move(get), how), texts);
}

task<result<std::int64_t>> client::del(std::span<const std::string_view> keys, const call_options& how) {
  LEVITY_ASSERT(!keys.empty(), "del takes at least one key");
  request del("DEL");
  for (const std::string_view each : keys) del.add(each);
  return read_as(send(std::move(del), how), number);
}

task<result<std::int64_t>> client::del(std::string_view key, const call_options& how) {
  return read_as(send(request("DEL", key), how), number);
}

task<result<bool>> client::exists(std::string_view key, const call_options& how) {
  return read_as(send(request("EXISTS", key), how), yes_or_no);
}

task<result<std::int64_t>> client::incr(std::string_view key, std::int64_t by, const call_options& how) {
  return read_as(send(request("INCRBY", key, by), how), number);
}

task<result<bool>> client::expire(std::string_view key, duration lives, const call_options& how) {
  return read_as(send(request("PEXPIRE", key, whole_ms(lives)), how), yes_or_no);
}

task<result<value>> client::eval(std::string_view script, std::span<const std::string_view> keys,
                                 std::span<const std::string_view> arguments, const call_options& how) {
  request eval("EVAL", script, keys.size());
  for (const std::string_view each : keys) eval.add(each);
  for (const std::string_view each : arguments) eval.add(each);
  return send(std::move(eval), how);
}

task<result<std::int64_t>> client::publish(std::string_view channel, std::string_view payload, const call_options& how) {
  return read_as(send(request("PUBLISH", channel, payload), how), number);
}

task<result<session>> client::open_session(const call_options& how) { return taken(state_->sessions, span_of(how, *state_->how)); }

task<result<subscription>> client::subscribe(topics to, const call_options& how) {
  LEVITY_ASSERT(!to.channels.empty() || !to.patterns.empty(), "a subscription begins with at least one topic");
  return opened(std::make_shared<subscription::state>(state_->how, std::move(to)), span_of(how, *state_->how));
}

figures client::look() const noexcept {
  figures all;
  for (const auto& each : state_->trunks) {
    const auto& of = each->figures;
    all.commands += of.commands.load(std::memory_order_relaxed);
    all.writes += of.writes.load(std::memory_order_relaxed);
    all.connects += of.connects.load(std::memory_order_relaxed);
    all.failed_connects += of.failed_connects.load(std::memory_order_relaxed);
    all.lost += of.lost.load(std::memory_order_relaxed);
    all.pushes += of.pushes.load(std::memory_order_relaxed);
    all.unanswered += each->commands.unanswered_approx();
    all.up += of.up.load(std::memory_order_relaxed) ? 1 : 0;
  }
  return all;
}

}  // namespace levity::redis
