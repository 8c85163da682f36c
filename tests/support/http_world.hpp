#pragma once

// Worlds for tests of the client: a simulated network with a server of this house, or one that follows a script and knows no
// manners.

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "levity/http/client.hpp"
#include "levity/http/server.hpp"
#include "levity/levity.hpp"

namespace levity::inline v0::http::test {

inline constexpr std::string_view base = "http://127.0.0.1:7000";

inline std::string at(std::string_view path) { return std::string(base).append(path); }

/// Runs `play(args...)` in as many worlds as there are seeds.
template <class Play, class... Args>
void in_worlds(std::uint64_t worlds, Play play, Args... args) {
  for (std::uint64_t seed = 1; seed <= worlds && !testing::Test::HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    EXPECT_EQ(run_with({.backend = runtime_options::sockets::sim, .seed = seed}, play, args...), 0);
  }
}

// ---- a server of this house ------------------------------------------------------------------------------------------

inline task<> say_hello(const request&, const route_match&, response& to) {
  to.set("Content-Type", "text/plain");
  to.set_body("hello");
  co_return;
}
inline task<> say_id(const request&, const route_match& found, response& to) {
  to.set_body(found.parameter("id"));
  co_return;
}
inline task<> say_id_slowly(const request&, const route_match& found, response& to) {
  co_await sleep(100ms);
  to.set_body(found.parameter("id"));
}
inline task<> say_nothing_for_long(const request&, const route_match&, response&) { co_await sleep(24h); }
inline task<> echo_body(const request& asked, const route_match&, response& to) {
  to.set_body(asked.body());
  co_return;
}
inline task<> show_fields(const request& asked, const route_match&, response& to) {
  std::string& body = to.body_buffer();
  body.append(to_string(asked.method())).append(" ").append(asked.target()).append("\n");
  for (const field each : asked.fields()) body.append(each.name).append(": ").append(each.value).append("\n");
  body.append("body=").append(asked.body());
  co_return;
}

inline task<> serve_on(server* serves, tcp_listener listener) { return serves->serve(std::move(listener)); }

/// Has `talks(args...)` talk to a server at `base`, then ends the server.
template <class Talks, class... Args>
task<> with_server(server_options options, Talks talks, Args... args) {
  auto listener = tcp_listener::bind("127.0.0.1:7000");
  EXPECT_TRUE(listener.has_value());
  if (!listener) co_return;
  server serves{options};
  serves.route(method::get, "/hello", say_hello);
  serves.route(method::get, "/id/{id}", say_id);
  serves.route(method::get, "/slow/{id}", say_id_slowly);
  serves.route(method::get, "/never", say_nothing_for_long);
  serves.route(method::post, "/never", say_nothing_for_long);
  serves.route(method::post, "/echo", echo_body);
  serves.route(method::get, "/show", show_fields);
  serves.route(method::post, "/show", show_fields);
  scope service;
  service.spawn("server", serve_on, &serves, std::move(*listener));
  co_await talks(args...);
  service.cancel();
  co_await service.join();
}

// ---- a server without manners ----------------------------------------------------------------------------------------

/// What it does with one request.
struct line {
  std::string answer{};           // is sent when the request is there to its end
  duration delay{};               // before it
  std::string late{};             // is sent this much later
  duration late_after{};
  bool closes = false;            // then
  bool resets = false;
};

/// The lines for each connection, in the order of their coming; a connection without any is closed when its first request is there.
struct script {
  std::vector<std::vector<line>> connections;

  // What it saw.
  int accepted = 0;
  int ended_by_peer = 0;
  std::vector<std::string> requests;
  time_point last_end{};
};

/// Reads one request; false at the end of the stream.
inline task<bool> read_request(tcp_stream& peer, std::string& kept, std::string& out) {
  for (;;) {
    if (const std::size_t head = kept.find("\r\n\r\n"); head != std::string::npos) {
      std::size_t size = head + 4;
      if (const std::size_t length = kept.find("Content-Length: "); length < head) {
        std::size_t body = 0;
        std::from_chars(kept.data() + length + 16, kept.data() + head, body);
        size += body;
      }
      if (kept.find("Transfer-Encoding: chunked") < head) {
        const std::size_t last = kept.find("0\r\n\r\n", head + 4);
        size = last == std::string::npos ? std::string::npos : last + 5;
      }
      if (size <= kept.size()) {
        out = kept.substr(0, size);
        kept.erase(0, size);
        co_return true;
      }
    }
    const auto more = co_await peer.read_some();
    if (!more) co_return false;
    kept.append(reinterpret_cast<const char*>(more->data()), more->size());
  }
}

inline task<> follow_script(script* of, std::vector<line> lines, tcp_stream peer) {
  std::string kept;
  std::string request;
  for (const line& each : lines) {
    const bool there = co_await read_request(peer, kept, request);
    if (!there) {
      of->ended_by_peer++;
      of->last_end = clock::now();
      co_return;
    }
    of->requests.push_back(request);
    if (each.delay > duration::zero()) co_await sleep(each.delay);
    if (!each.answer.empty()) (void)co_await peer.write_all(each.answer);
    if (!each.late.empty()) {
      co_await sleep(each.late_after);
      (void)co_await peer.write_all(each.late);
    }
    if (each.resets) {
      peer.abort();
      co_return;
    }
    if (each.closes) co_return;
  }
  const bool there = co_await read_request(peer, kept, request);
  if (there) {
    of->requests.push_back(request);
  } else {
    of->ended_by_peer++;
    of->last_end = clock::now();
  }
}

inline task<> serve_script(script* of, tcp_listener listener) {
  scope connections{on_failure::report};
  for (;;) {
    auto peer = co_await listener.accept();
    if (!peer) break;
    std::vector<line> lines;
    if (static_cast<std::size_t>(of->accepted) < of->connections.size())
      lines = of->connections[static_cast<std::size_t>(of->accepted)];
    of->accepted++;
    connections.spawn("scripted connection", follow_script, of, std::move(lines), std::move(*peer));
  }
  co_await connections.join();
}

/// Has `talks(script, args...)` talk to the script at `base`, then ends it.
template <class Talks, class... Args>
task<> with_script(script* of, Talks talks, Args... args) {
  auto listener = tcp_listener::bind("127.0.0.1:7000");
  EXPECT_TRUE(listener.has_value());
  if (!listener) co_return;
  scope service;
  service.spawn("scripted server", serve_script, of, std::move(*listener));
  co_await talks(of, args...);
  service.cancel();
  co_await service.join();
}

inline std::string ok_with(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

/// The figures of the only host.
inline host_figures only_host(const client& of) {
  const client_figures all = of.look();
  EXPECT_EQ(all.hosts.size(), 1U);
  return all.hosts.empty() ? host_figures{} : all.hosts.front();
}

}  // namespace levity::inline v0::http::test
