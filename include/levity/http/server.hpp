#pragma once

// The server side of HTTP/1.1: keep-alive, pipelining, chunked both ways, limits and timeouts, one task a connection.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/clock.hpp"
#include "levity/http/durations.hpp"
#include "levity/http/limits.hpp"
#include "levity/http/message.hpp"
#include "levity/http/router.hpp"
#include "levity/io/tcp.hpp"
#include "levity/io/tcp_listener.hpp"
#include "levity/io/unix_listener.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::http {

/// What a server lets its peers do.
struct server_options {
  /// What one request may weigh.
  limits bounds{};
  duration idle_timeout = std::chrono::seconds(75);     ///< between requests; the connection closes silently
  duration head_timeout = std::chrono::seconds(10);     ///< from a request's first byte to the end of its head; 408
  duration request_timeout = std::chrono::seconds(30);  ///< body, handler and answer; 408 while reading, else 503
  std::size_t connections_max = 10'000;                 ///< further ones are answered 503 and closed
  /// Whether a handler is cancelled when its peer has ended or reset the connection: nobody waits for the answer any more. A peer
  /// that ends only its own side and still reads (`nc -N`, shutdown(SHUT_WR)) then gets none. Costs two tasks a request.
  bool cancel_on_departure = false;
  /// Whether X-Request-Deadline-Ms, the time that the peer will wait, in whole milliseconds, bounds a request as request_timeout
  /// does. What it calls is then bounded, too: a http::client within the handler sends on what is left.
  bool heed_deadline = false;
};

/// What happened so far. Racy by nature.
struct server_figures {
  std::uint64_t connections = 0;  ///< open now
  std::uint64_t requests = 0;     ///< answered, whatever the status
  std::uint64_t refused = 0;      ///< not accepted by the parser
  std::uint64_t failed = 0;       ///< handlers that threw or ran out of time
  std::uint64_t departed = 0;     ///< handlers that were cancelled because their peer had gone
};

/// Answers a request. The request and its views live until the task ends; what is set in the response is sent then. An
/// exception is answered 500 and reported on standard error. Path and query of the request are still encoded, while the parameters
/// of the path are decoded (route_match).
using handler = std::function<task<>(const request&, const route_match&, response&)>;

/// Routes and the connection loop. route() before serve(); serve() once.
class server {
public:
  /// A server without routes; it opens nothing before serve().
  explicit server(server_options options = {});
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server();

  /// Adds a route such as "/orders/{id}". GET routes also answer HEAD. Throws std::invalid_argument with one sentence when the
  /// pattern is malformed or taken.
  void route(method which, std::string_view pattern, handler answers);

  /// Accepts and serves until it is cancelled or the listener fails. Then it winds down, and open connections end in order: those
  /// inside a request after its answer, those that were never asked anything at once, the others when the peer has seen the end,
  /// or after a second; those that nobody has accepted yet are answered 503.
  task<> serve(tcp_listener listener);
  task<> serve(unix_listener listener);

  /// From here on each answer is the last one of its connection and says so (`Connection: close`), while new connections are still
  /// accepted. A client that heeds it never sends a request to a connection that is about to close, so a server whose balancer has
  /// been told that it goes ends without a lost request. Any thread; for good.
  void wind_down() noexcept;

  /// The figures now. Any thread.
  [[nodiscard]] server_figures look() const noexcept;
  /// The histograms of http.server.request.duration, from the whole head to the answer's last byte: one for each route, method,
  /// status and error, at most 1,000 and one more. Requests that the parser refused are not in them. Any thread.
  [[nodiscard]] std::vector<duration_series> durations() const;

private:
  template <class Stream>
  class connection;
  template <class Stream, class Listener>
  task<> serve_from(Listener listener);

  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace levity::http
