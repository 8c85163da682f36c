#include "levity/http/server.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "http/char_class.hpp"
#include "http/date_text.hpp"
#include "http/duration_table.hpp"
#include "http/request_parser.hpp"
#include "http/response_writer.hpp"
#include "io/simulated_signals.hpp"
#include "levity/base/assert.hpp"
#include "levity/base/wall_clock.hpp"
#include "levity/http/problem.hpp"
#include "levity/http/refusal.hpp"
#include "levity/io/close_gracefully.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/shield.hpp"
#include "levity/time/deadline.hpp"

namespace levity::inline v0::http {

struct server::state {
  server_options options;
  router routes;
  std::vector<handler> handlers;
  std::vector<detail::duration_table::who> routes_counted;  // by route
  detail::duration_table durations;
  atomic<bool> winds_down{false};  // relaxed: who reads it too early keeps a connection for one request more
  // Counted only.
  atomic<std::uint64_t> connections{0};
  atomic<std::uint64_t> requests{0};
  atomic<std::uint64_t> refused{0};
  atomic<std::uint64_t> failed{0};
  atomic<std::uint64_t> departed{0};
};

namespace {

using detail::request_parser;
using detail::response_writer;
using levity::detail::is_seen_by_others;

// with_deadline() takes a task; a read is not one.
template <class Stream>
task<io_result<byte_view>> read_more(Stream& peer) {
  co_return co_await peer.read_some();
}

template <class Stream>
task<io_result<void>> write_pieces(Stream& peer, std::span<iovec> pieces) {
  co_return co_await peer.write_all(pieces);
}

// How long the peer waits for the answer; for ever when it says nothing, or nothing that can be read.
duration patience_of(const request& asked) noexcept {
  constexpr std::size_t digits_max = 12;
  const auto said = asked.find("X-Request-Deadline-Ms");
  if (!said || said->empty() || said->size() > digits_max || !detail::all_are(*said, detail::digit_char)) return duration::max();
  std::int64_t ms = 0;
  std::from_chars(said->data(), said->data() + said->size(), ms);
  return std::chrono::milliseconds(ms);
}

}  // namespace

// One connection: a loop that reads until the parser has a request, has it answered, and goes on.
template <class Stream>
class server::connection {
public:
  connection(state& serves, Stream peer) : serves_(serves), peer_(std::move(peer)), parser_(serves.options.bounds) {}

  static task<> run(state* serves, Stream peer) {
    const open_count counted{*serves};
    if (counted.before >= serves->options.connections_max) {
      connection late{*serves, std::move(peer)};
      co_await late.send_problem(status::service_unavailable, "Too many connections are open; try again later.");
      co_return;
    }
    connection own{*serves, std::move(peer)};
    co_await own.converse();
  }

  // For one that was established, but never accepted while the server still took work.
  static task<> turn_away(state* serves, Stream peer) {
    connection late{*serves, std::move(peer)};
    co_await shield(late.send_problem(status::service_unavailable, "The server is ending; try again."));
  }

private:
  struct open_count {
    explicit open_count(state& counts) noexcept
        : serves(counts), before(counts.connections.fetch_add(1, std::memory_order_relaxed)) {}
    ~open_count() { serves.connections.fetch_sub(1, std::memory_order_relaxed); }
    open_count(const open_count&) = delete;
    open_count& operator=(const open_count&) = delete;

    state& serves;
    const std::uint64_t before;
  };

  // How far the request that is being read has come.
  enum class reading : unsigned char { nothing, head, body };
  enum class outcome : unsigned char { sent, lost, late };

  task<> converse() {
    byte_view bytes;
    reading stage = reading::nothing;
    time_point until;
    for (;;) {
      const detail::verdict seen = parser_.feed(bytes);
      if (seen.what == detail::verdict::kind::refused) {
        serves_.refused.fetch_add(1, std::memory_order_relaxed);
        co_await send_problem(status_of(seen.why), explain(seen.why));
        co_return;
      }
      bytes = bytes.subspan(seen.consumed);
      switch (seen.what) {
        case detail::verdict::kind::head_complete:
          stage = reading::body;
          until = begin_request();
          // A body that is announced as too large is refused before the peer is told to send it.
          if (const refusal why = parser_.accept_body(serves_.options.bounds.body_bytes); why != refusal::none) {
            serves_.refused.fetch_add(1, std::memory_order_relaxed);
            co_await send_problem(status_of(why), explain(why));
            co_return;
          }
          if (parser_.current().expect_continue() && parser_.current().has_body() && bytes.empty() &&
              !co_await with_deadline(until, write_text(detail::continue_text))) {
            co_return;
          }
          continue;
        case detail::verdict::kind::complete: {
          if (stage != reading::body) until = begin_request();
          // A request that was accepted is answered even when the server is told to end.
          outcome ended = outcome::lost;
          if (serves_.options.cancel_on_departure) {
            ended = co_await shield(answer_while_there(until));
          } else {
            ended = co_await shield(answer_until(until));
          }
          serves_.requests.fetch_add(1, std::memory_order_relaxed);
          count_duration(ended);
          has_answered_ = true;
          if (ended == outcome::late) {
            co_await shield(send_problem(status::service_unavailable, "The request took too long and was given up."));
          }
          if (ended != outcome::sent) co_return;
          if (!writer_.keeps_connection()) {
            co_await close_in_order();
            co_return;
          }
          parser_.next();
          stage = reading::nothing;
          continue;
        }
        case detail::verdict::kind::needs_more:
        case detail::verdict::kind::refused: break;
      }
      if (early_size_ > 0) {
        // What came while a handler ran. Its views must outlive the next one, so there are two such buffers.
        std::swap(early_, looked_at_);
        bytes = {reinterpret_cast<const std::byte*>(looked_at_.data()), std::exchange(early_size_, 0)};
        continue;
      }
      if (stage == reading::nothing) {
        const bool begun = !parser_.idle();
        if (begun) stage = reading::head;
        until = clock::now() + (begun ? serves_.options.head_timeout : serves_.options.idle_timeout);
      }
      const io_result<byte_view> more = co_await with_deadline(until, read_more(peer_));
      if (!more) {
        if (more.error() == io_failure::timed_out && stage != reading::nothing) {
          co_await send_problem(status::request_timeout, "The request did not arrive in time.");
        }
        // The last answer may still be on its way, and what the peer sends meanwhile would reset it.
        if (more.error() == io_failure::cancelled && has_answered_) co_await shield(close_in_order());
        co_return;
      }
      bytes = *more;
    }
  }

  // The head of a request is there: when it must be over.
  time_point begin_request() noexcept {
    began_ = clock::now();
    duration most = serves_.options.request_timeout;
    if (serves_.options.heed_deadline) most = std::min(most, patience_of(parser_.current()));
    return most < time_point::max() - began_ ? began_ + most : time_point::max();
  }

  void count_duration(outcome ended) noexcept {
    std::string_view error;
    unsigned answered = code(answer_.status());
    if (ended == outcome::late) {
      error = "timed_out";
      answered = code(status::service_unavailable);
    } else if (ended == outcome::lost) {
      error = departed_ ? "departed" : "connection_lost";
      if (departed_) answered = 0;
    }
    const detail::duration_table::who whose = route_ < serves_.routes_counted.size() ? serves_.routes_counted[route_] : 0;
    serves_.durations.record(whose, parser_.current().method(), answered, error, clock::now() - began_);
  }

  task<outcome> answer_until(time_point until) { co_return co_await with_deadline(until, answer()); }

  // The same, and the peer is listened to meanwhile: when it goes, the handler is cancelled.
  task<outcome> answer_while_there(time_point until) {
    outcome ended = outcome::lost;
    departed_ = false;
    scope handling{on_failure::keep_going, "http handler"};
    scope listening{on_failure::keep_going, "http departure"};
    handling.spawn("http handler", [](connection* self, time_point by, outcome* to) -> task<> {
      *to = co_await self->answer_until(by);
    }, this, until, &ended);
    listening.spawn("http departure", [](connection* self, scope* other) { return self->listen(other); }, this, &handling);
    co_await handling.join();
    listening.cancel();
    co_await listening.join();
    if (departed_ && ended != outcome::sent) {
      serves_.departed.fetch_add(1, std::memory_order_relaxed);
      ended = outcome::lost;
    }
    co_return ended;
  }

  // Reads on beside a handler, to notice the peer's end. What a peer sends ahead is kept, as far as there is room; beyond it, its
  // end is noticed when the handler has returned.
  task<> listen(scope* handling) {
    constexpr std::size_t room = 512;
    early_.resize(room);
    while (early_size_ < room) {
      const std::span<std::byte> into(reinterpret_cast<std::byte*>(early_.data()) + early_size_, room - early_size_);
      const io_result<std::size_t> got = co_await peer_.read_some(into);
      if (got) {
        early_size_ += *got;
        continue;
      }
      if (got.error() == io_failure::cancelled) co_return;
      departed_ = true;  // published by cancel()
      handling->cancel();
      co_return;
    }
  }

  // Has the request handled and sends the answer.
  task<outcome> answer() {
    const request& asked = parser_.current();
    answer_.clear();
    route_match found = serves_.routes.match(asked.method(), asked.path());
    route_ = found ? found.route() : static_cast<std::size_t>(-1);
    if (found) {
      bool late = false;
      std::string failure;
      try {
        const bool decoded = found.decode(values_);
        LEVITY_ASSERT(decoded, "a path that cannot be decoded was refused with its head");
        co_await serves_.handlers[found.route()](asked, found, answer_);
      } catch (const cancelled&) {
        late = true;
      } catch (const std::exception& thrown) {
        failure = thrown.what();
        if (failure.empty()) failure = "an exception without words";
      } catch (...) {
        failure = "an exception that is no std::exception";
      }
      if (late && departed_) co_return outcome::lost;
      if (late || !failure.empty()) serves_.failed.fetch_add(1, std::memory_order_relaxed);
      if (late) co_return outcome::late;
      if (!failure.empty()) {
        if (is_seen_by_others()) {
          std::fprintf(stderr, "levity: the handler of %.*s failed: %s\n", static_cast<int>(asked.path().size()),
                       asked.path().data(), failure.c_str());
        }
        answer_.clear();
        write_problem(answer_, status::internal_server_error, "The request failed inside the server.");
      }
    } else if (found.kind() == route_match::outcome::method_not_allowed) {
      const allow_text allowed{found.allowed()};
      answer_.set("Allow", allowed.view());
      write_problem(answer_, status::method_not_allowed, "The resource does not know this method; Allow names those it does.");
    } else {
      write_problem(answer_, status::not_found, "There is nothing at this path.");
    }
    // An idle connection keeps no room for the longest path that it was ever sent.
    constexpr std::size_t kept_values_max = 256;
    if (values_.capacity() > kept_values_max) std::string().swap(values_);
    const bool keeps = asked.keep_alive() && !serves_.winds_down.load(std::memory_order_relaxed);
    const auto pieces = writer_.whole(answer_, {asked.method(), asked.version(), keeps, date()});
    const io_result<void> sent = co_await peer_.write_all(pieces);
    co_return sent ? outcome::sent : outcome::lost;
  }

  // The last words on a connection.
  task<> send_problem(status which, std::string_view why) {
    constexpr auto last_words_timeout = std::chrono::seconds(1);
    answer_.clear();
    write_problem(answer_, which, why);
    answer_.close();
    if (which == status::service_unavailable) answer_.set("Retry-After", "1");
    const auto pieces = writer_.whole(answer_, {method::get, version::http_1_1, false, date()});
    if (co_await with_deadline(last_words_timeout, write_pieces(peer_, pieces))) co_await close_in_order();
  }

  task<bool> write_text(std::string_view text) {
    const io_result<void> sent = co_await peer_.write_all(text);
    co_return sent.has_value();
  }

  task<> close_in_order() { (void)co_await close_gracefully(peer_); }

  std::string_view date() noexcept { return date_.at(levity::detail::wall_seconds()); }

  state& serves_;
  Stream peer_;
  request_parser parser_;
  response answer_;
  response_writer writer_;
  detail::date_text date_;
  std::string values_;     // of the path's parameters, decoded
  std::string early_;      // what came while the handler ran; early_size_ bytes of it
  std::string looked_at_;  // what came while the handler before it ran, and is a request by now
  std::size_t early_size_ = 0;
  std::size_t route_ = 0;
  time_point began_{};
  bool has_answered_ = false;
  bool departed_ = false;
};

server::server(server_options options) : state_(std::make_unique<state>()) { state_->options = options; }

server::~server() = default;

void server::route(method which, std::string_view pattern, handler answers) {
  const auto added = state_->routes.add(which, pattern, state_->handlers.size());
  if (!added) throw std::invalid_argument(added.error());
  state_->handlers.push_back(std::move(answers));
  state_->routes_counted.push_back(state_->durations.introduce({}, 0, pattern));
}

template <class Stream, class Listener>
task<> server::serve_from(Listener listener) {
  scope connections{on_failure::report, "http connections"};
  for (;;) {
    io_result<Stream> peer = co_await listener.accept();
    if (!peer) {
      if (peer.error() != io_failure::cancelled && is_seen_by_others()) {
        std::fprintf(stderr, "levity: the server stops accepting: %s\n", peer.error().message().c_str());
      }
      break;
    }
    connections.spawn("http connection", &connection<Stream>::run, state_.get(), std::move(*peer));
  }
  wind_down();
  drain(listener, [&connections, this](Stream peer) {
    connections.spawn("http farewell", &connection<Stream>::turn_away, state_.get(), std::move(peer));
  });
  co_await connections.join();
}

task<> server::serve(tcp_listener listener) { return serve_from<tcp_stream>(std::move(listener)); }

task<> server::serve(unix_listener listener) { return serve_from<unix_stream>(std::move(listener)); }

void server::wind_down() noexcept { state_->winds_down.store(true, std::memory_order_relaxed); }

server_figures server::look() const noexcept {
  return {state_->connections.load(std::memory_order_relaxed), state_->requests.load(std::memory_order_relaxed),
          state_->refused.load(std::memory_order_relaxed), state_->failed.load(std::memory_order_relaxed),
          state_->departed.load(std::memory_order_relaxed)};
}

std::vector<duration_series> server::durations() const { return state_->durations.look(); }

}  // namespace levity::http
