#pragma once

// The client side of HTTP/1.1: a pool of kept connections to each host, answers whole or in pieces, and no request without a
// deadline unless it is asked for by name.

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/http/answer.hpp"
#include "levity/http/client_error.hpp"
#include "levity/http/durations.hpp"
#include "levity/http/limits.hpp"
#include "levity/http/outgoing.hpp"
#include "levity/io/byte_view.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {
class resolver;
}

namespace levity::inline v0::http {

namespace detail {
class connection_pool;
struct owned_talk;
}  // namespace detail

/// How a client keeps connections. The numbers are for each client.
struct pool_options {
  std::size_t per_host = 100;                       ///< connections to one host, in use and idle; further requests wait for one
  std::size_t waiters_max = 10'000;                 ///< requests that may wait for one host; further ones fail at once
  std::size_t idle_max = 100;                       ///< idle connections to all hosts; beyond it the longest idle one closes
  std::size_t idle_per_host = 100;                  ///< idle connections to one host
  duration idle_timeout = std::chrono::seconds(30);  ///< an idle connection closes after so long
  /// A connection is not used again after so long, so that a name that moves is followed; each closes up to a tenth of it earlier,
  /// lest all that were opened together close together.
  duration age_max = std::chrono::minutes(5);
  std::size_t hosts_max = 1000;  ///< beyond it hosts without connections are forgotten
};

/// What a client does where a request does not say otherwise.
struct client_options {
  pool_options pool{};                         ///< how many connections are kept, and for how long
  duration timeout = std::chrono::seconds(3);  ///< from the call to the last byte of the answer
  duration connect_timeout = std::chrono::seconds(1);  ///< for a connection to stand, once the name is known
  /// When a connection does not stand after so long, a second attempt is made beside it, and the first to stand is taken: a lost
  /// SYN costs this and not a second. 0: none.
  duration second_attempt = std::chrono::milliseconds(250);
  unsigned redirects = 0;  ///< how many are followed; 0: a redirect is an answer like any other
  /// Whether each request says in X-Request-Deadline-Ms how long its answer is waited for.
  bool send_deadline = false;
  limits bounds{};            ///< what an answer may weigh; body_bytes where it is read whole
  resolver* names = nullptr;  ///< who looks names up; null: resolver::system()
};

/// One host of a client, at a moment.
struct host_figures {
  std::string authority;          ///< "127.0.0.1:9000"
  std::size_t open = 0;           ///< connections, those that are being made included
  std::size_t idle = 0;           ///< of these, not in use
  std::size_t in_use = 0;         ///< of these, in use or being made
  std::size_t waiting = 0;        ///< requests that wait for a connection
  duration oldest_wait{};         ///< of these, the one that has waited longest
  std::uint64_t connects = 0;     ///< connections that came about
  std::uint64_t reused = 0;       ///< requests that were sent over a kept connection
  std::uint64_t stale = 0;        ///< kept connections that were found closed, or with bytes nobody asked for, before use
  std::uint64_t repeated = 0;     ///< requests that were repeated because a kept connection turned out to be closed
  std::uint64_t failures = 0;     ///< requests without an answer
  std::uint64_t exhausted = 0;    ///< of these, for want of a connection
};

/// A client at a moment. Racy by nature.
struct client_figures {
  std::vector<host_figures> hosts;  ///< by authority
  std::size_t idle = 0;             ///< idle connections to all hosts
};

/// A request on its way whose bodies are streamed. It holds a connection until the answer's end was read, or it is destroyed: then
/// the connection closes, which tells the server that nobody waits. Move-only. One task may write while another reads.
///
///     auto asked = co_await client.open(std::move(what));
///     while (asked) { auto piece = co_await asked->read(); if (!piece || piece->empty()) break; use(*piece); }
///
/// Nothing is read ahead of what is asked for, nothing is buffered beyond the sockets': who reads slowly slows the server, and who
/// sends is slowed by it. The request's deadline holds for every call; cancellation ends a call with client_failure::cancelled, and
/// the exchange is then of no more use.
class exchange {
public:
  exchange(exchange&&) noexcept;
  exchange& operator=(exchange&&) noexcept;
  ~exchange();

  /// Sends a part of a body that was announced by outgoing::stream_body(). Waits while the server does not take it.
  [[nodiscard]] task<std::expected<void, client_error>> write(byte_view bytes);
  [[nodiscard]] task<std::expected<void, client_error>> write(std::string_view text);
  /// The body is whole. Fails with invalid_request when it is shorter than was announced.
  [[nodiscard]] task<std::expected<void, client_error>> end_body();

  /// Waits for the head of the answer; at once if it is there, as it is after open() of anything that is not streamed by write().
  [[nodiscard]] task<std::expected<void, client_error>> answered();
  /// The answer: without a body, without trailers before the last read(). Empty before answered().
  [[nodiscard]] const answer& head() const noexcept;

  /// The next part of the answer's body, valid until the next call; empty when the answer is whole.
  [[nodiscard]] task<std::expected<byte_view, client_error>> read();

private:
  friend class client;
  explicit exchange(std::unique_ptr<detail::owned_talk> talk) noexcept;

  std::unique_ptr<detail::owned_talk> talk_;
};

/// Sends requests over kept connections.
///
///     lv::http::client client;
///     auto got = co_await client.get("http://127.0.0.1:9000/orders/42");
///     if (got && got->ok()) use(got->body());
///
/// Any number of tasks, on any worker, may use one client; it is meant to be one for all. Every call honours cancellation (the
/// connection closes) and deadlines around it. A request fails rather than be sent twice, but for this: when a kept connection
/// turns out to be closed before a byte of the answer came, an idempotent request is repeated once over a fresh one. A request over
/// a kept connection allocates nothing when `outgoing` and `answer` are reused, and costs about two system calls.
class client {
public:
  /// Opens nothing. May be made outside of tasks.
  explicit client(client_options options = {});
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  /// Closes what is idle; requests under way end by themselves.
  ~client();

  /// A GET, read whole.
  [[nodiscard]] task<std::expected<answer, client_error>> get(std::string url);
  /// A POST of that body and type, read whole.
  [[nodiscard]] task<std::expected<answer, client_error>> post(std::string url, std::string content_type, std::string body);
  /// Any request, its answer read whole.
  [[nodiscard]] task<std::expected<answer, client_error>> send(outgoing what);
  /// The same with memory of the caller, which lives until it returns.
  [[nodiscard]] task<std::expected<void, client_error>> send(const outgoing& what, answer& into);
  /// The head of the answer, or for outgoing::stream_body() as soon as the head of the request is sent; the rest is read and
  /// written piece by piece. A whole body of more than 64 KiB is sent to its end before this returns.
  [[nodiscard]] task<std::expected<exchange, client_error>> open(outgoing what);

  /// Opens connections to the host of `url` until `count` are open, bounded by pool_options, and returns how many are. Fails when
  /// one does not come about.
  [[nodiscard]] task<std::expected<std::size_t, client_error>> warm_up(std::string url, std::size_t count);

  /// From here on requests fail with client_failure::closed, those that wait for a connection too; idle connections close, those in
  /// use when their request ends. Idempotent. Any thread of the runtime.
  void close() noexcept;
  /// close(), and waits until no request is under way. A deadline around it bounds the wait; it then throws `cancelled`, as it does
  /// when cancelled.
  task<> drain();

  /// The figures now. O(hosts). Any thread.
  [[nodiscard]] client_figures look() const;
  /// The histograms of http.client.request.duration: one for each server, method, status and error, at most 1,000 and one more.
  /// Any thread.
  [[nodiscard]] std::vector<duration_series> durations() const;

private:
  std::shared_ptr<detail::connection_pool> pool_;
};

}  // namespace levity::http
