#include "levity/http/client.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "http/connection_pool.hpp"
#include "http/make_connection.hpp"
#include "http/talk.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/scope.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0::http {

namespace {

using detail::connection_pool;
using detail::pooled_host;

// Connections that are opened at the same time by one warm_up().
constexpr std::size_t warmers_max = 32;

struct warming {
  std::shared_ptr<connection_pool> pool;
  pooled_host& host;
  std::size_t wanted;
  levity::detail::spin_lock lock;
  std::optional<client_error> failed;  // guarded by lock
};

// A place that is left whatever happens: there may be no memory to connect.
struct held_place {
  connection_pool& of;
  pooled_host& host;
  ~held_place() { of.leave_place(host); }
};

// The same of a host.
struct held_pin {
  connection_pool& of;
  pooled_host& host;
  ~held_pin() { of.unpin(host); }
};

task<> warm(warming* of) {
  std::size_t open = 0;
  while (of->pool->try_place_below(of->host, of->wanted, open)) {
    const held_place place{*of->pool, of->host};
    detail::made_connection fresh =
        co_await with_deadline(of->pool->options().timeout, detail::make_connection(*of->pool, of->host));
    if (fresh.made != nullptr) of->pool->give_back(fresh.made.release());
    if (!fresh.ended.failed) continue;
    std::optional<client_error> why{std::in_place, fresh.ended.what, fresh.ended.cause, refusal::none, std::move(fresh.sentence)};
    of->lock.lock();
    if (!of->failed) of->failed.swap(why);
    of->lock.unlock();
    co_return;
  }
}

}  // namespace

// ---- exchange --------------------------------------------------------------------------------------------------------

exchange::exchange(std::unique_ptr<detail::owned_talk> talk) noexcept : talk_(std::move(talk)) {}
exchange::exchange(exchange&&) noexcept = default;
exchange& exchange::operator=(exchange&&) noexcept = default;
exchange::~exchange() = default;

task<std::expected<void, client_error>> exchange::write(byte_view bytes) { return talk_->on.write(bytes); }

task<std::expected<void, client_error>> exchange::write(std::string_view text) {
  return talk_->on.write(byte_view{reinterpret_cast<const std::byte*>(text.data()), text.size()});
}

task<std::expected<void, client_error>> exchange::end_body() { return talk_->on.end_body(); }

task<std::expected<void, client_error>> exchange::answered() { return talk_->on.answered(); }

const answer& exchange::head() const noexcept { return talk_->got; }

task<std::expected<byte_view, client_error>> exchange::read() { return talk_->on.read(); }

// ---- client ----------------------------------------------------------------------------------------------------------

client::client(client_options options) : pool_(std::make_shared<connection_pool>(std::move(options))) {}

client::~client() { pool_->close(); }

task<std::expected<void, client_error>> client::send(const outgoing& what, answer& into) {
  detail::talk on{pool_, what, into};
  co_return co_await on.whole();
}

task<std::expected<answer, client_error>> client::send(outgoing what) {
  std::expected<answer, client_error> got;
  detail::talk on{pool_, what, *got};
  std::expected<void, client_error> ended = co_await on.whole();
  if (!ended) got = std::unexpected(std::move(ended).error());
  co_return got;
}

task<std::expected<answer, client_error>> client::get(std::string url) { return send(outgoing{method::get, url}); }

task<std::expected<answer, client_error>> client::post(std::string url, std::string content_type, std::string body) {
  outgoing what{method::post, url};
  what.set("Content-Type", content_type);
  what.set_body(body);
  return send(std::move(what));
}

task<std::expected<exchange, client_error>> client::open(outgoing what) {
  auto talk = std::make_unique<detail::owned_talk>(pool_, std::move(what));
  std::expected<void, client_error> ended = co_await talk->on.open();
  if (!ended) co_return std::unexpected(std::move(ended).error());
  co_return exchange{std::move(talk)};
}

task<std::expected<std::size_t, client_error>> client::warm_up(std::string url, std::size_t count) {
  const std::shared_ptr<connection_pool> pool = pool_;
  const auto target = http::url::parse(url);
  if (!target)
    co_return std::unexpected(client_error{client_failure::invalid_request, io_failure::invalid, refusal::none, target.error()});
  pooled_host* const host = pool->pin(*target);
  if (host == nullptr) {
    co_return std::unexpected(client_error{client_failure::closed, io_failure::closed, refusal::none, "the client is closed"});
  }
  const held_pin pinned{*pool, *host};
  const pool_options& bounds = pool->options().pool;
  const std::size_t wanted = std::min({count, bounds.per_host, bounds.idle_per_host, bounds.idle_max});
  warming state{pool, *host, wanted, {}, {}};
  {
    scope warmers{on_failure::keep_going, "http warm-up"};
    for (std::size_t i = 0; i < std::min(wanted, warmers_max); i++) warmers.spawn("http warm-up", warm, &state);
    co_await warmers.join();
  }
  std::size_t open = 0;
  (void)pool->try_place_below(*host, 0, open);
  if (state.failed) co_return std::unexpected(std::move(*state.failed));
  co_return open;
}

void client::close() noexcept { pool_->close(); }

task<> client::drain() {
  const std::shared_ptr<connection_pool> pool = pool_;
  pool->close();
  co_await pool->drained().wait();
}

client_figures client::look() const { return pool_->look(); }

std::vector<duration_series> client::durations() const { return pool_->durations().look(); }

}  // namespace levity::http
