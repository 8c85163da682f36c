// The server and who waits for its answers: peers that go, peers that say how long they wait, and how long it took. In simulated
// worlds.

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "levity/http/client.hpp"
#include "levity/http/server.hpp"
#include "levity/levity.hpp"
#include "tests/support/http_world.hpp"

namespace {

namespace lv = levity;
namespace http = levity::http;
using namespace std::chrono_literals;
using http::method;
using http::outgoing;
using http::test::at;

// What a handler noticed; one world at a time.
struct notes {
  int begun = 0;
  int finished = 0;
  lv::cancel_reason why = lv::cancel_reason::none;
  lv::time_point ended{};
  http::server* server = nullptr;
};
notes* noted = nullptr;

lv::task<> work_for_long(const http::request&, const http::route_match&, http::response& to) {
  noted->begun++;
  try {
    co_await lv::sleep(10s);
  } catch (const lv::cancelled& told) {
    noted->why = told.reason();
    noted->ended = lv::clock::now();
    throw;
  }
  noted->finished++;
  to.set_body("done");
}

lv::task<> say_path(const http::request& asked, const http::route_match&, http::response& to) {
  co_await lv::sleep(5ms);
  to.set_body(asked.target());
}

lv::task<> throws(const http::request&, const http::route_match&, http::response&) {
  throw std::runtime_error("broken");
  co_return;
}

template <class Talks>
lv::task<> world(http::server_options options, Talks talks) {
  notes own;
  noted = &own;
  auto listener = lv::tcp_listener::bind("127.0.0.1:7000");
  EXPECT_TRUE(listener.has_value());
  if (!listener) co_return;
  http::server server{options};
  own.server = &server;
  server.route(method::get, "/work", work_for_long);
  server.route(method::get, "/path/{any}", say_path);
  server.route(method::get, "/throws", throws);
  lv::scope service;
  service.spawn(http::test::serve_on, &server, std::move(*listener));
  co_await talks();
  service.cancel();
  co_await service.join();
}

using talk = lv::task<> (*)();

void in_worlds(http::server_options options, talk talks, std::uint64_t worlds = 10) {
  http::test::in_worlds(worlds, world<talk>, options, talks);
}

http::server_options caring() {
  http::server_options options;
  options.cancel_on_departure = true;
  return options;
}

lv::task<std::string> read_all(lv::tcp_stream& peer) {
  std::string text;
  for (;;) {
    const auto more = co_await peer.read_some();
    if (!more) co_return text;
    text.append(reinterpret_cast<const char*>(more->data()), more->size());
  }
}

std::size_t count_of(std::string_view text, std::string_view what) {
  std::size_t count = 0;
  for (std::size_t found = text.find(what); found != std::string_view::npos; found = text.find(what, found + 1)) count++;
  return count;
}

}  // namespace

TEST(http_server_patience, a_handler_is_cancelled_when_its_peer_has_gone) {
  for (const bool resets : {false, true}) {
    static bool reset_it;
    reset_it = resets;
    in_worlds(caring(), []() -> lv::task<> {
      auto peer = co_await lv::tcp_stream::connect("127.0.0.1:7000");
      EXPECT_TRUE(peer.has_value());
      if (!peer) co_return;
      EXPECT_TRUE((co_await peer->write_all("GET /work HTTP/1.1\r\nHost: a\r\n\r\n")).has_value());
      co_await lv::sleep(1s);
      EXPECT_EQ(noted->begun, 1);
      const lv::time_point left = lv::clock::now();
      if (reset_it) {
        peer->abort();
      } else {
        peer->close();
      }
      co_await lv::sleep(100ms);
      EXPECT_EQ(noted->why, lv::cancel_reason::requested);
      EXPECT_LT(noted->ended - left, 50ms);
      EXPECT_EQ(noted->server->look().departed, 1U);
      EXPECT_EQ(noted->server->look().failed, 0U);
      EXPECT_EQ(noted->server->look().connections, 0U);
    });
  }
}

TEST(http_server_patience, cancelling_a_request_cancels_the_handler_behind_it) {
  in_worlds(caring(), []() -> lv::task<> {
    http::client client;
    const auto got = co_await lv::with_deadline(500ms, client.get(at("/work")));
    EXPECT_FALSE(got.has_value());
    co_await lv::sleep(50ms);
    EXPECT_EQ(noted->begun, 1);
    EXPECT_EQ(noted->why, lv::cancel_reason::requested);
  });
}

TEST(http_server_patience, without_the_option_a_handler_goes_on) {
  in_worlds({}, []() -> lv::task<> {
    auto peer = co_await lv::tcp_stream::connect("127.0.0.1:7000");
    EXPECT_TRUE(peer.has_value());
    if (!peer) co_return;
    EXPECT_TRUE((co_await peer->write_all("GET /work HTTP/1.1\r\nHost: a\r\n\r\n")).has_value());
    EXPECT_TRUE(peer->shutdown_write().has_value());
    EXPECT_NE((co_await read_all(*peer)).find("done"), std::string::npos) << "who ends only its own side still reads";
    EXPECT_EQ(noted->finished, 1);
    EXPECT_EQ(noted->server->look().departed, 0U);
  });
}

TEST(http_server_patience, what_a_peer_sends_ahead_is_answered_in_order) {
  in_worlds(caring(), []() -> lv::task<> {
    auto peer = co_await lv::tcp_stream::connect("127.0.0.1:7000");
    EXPECT_TRUE(peer.has_value());
    if (!peer) co_return;
    // In pieces that end anywhere, more than the server keeps beside a handler.
    std::string all;
    for (int i = 0; i < 60; i++)
      all +=
          "GET /path/" + std::to_string(i) + "?" + std::string(static_cast<std::size_t>(i), 'q') + " HTTP/1.1\r\nHost: a\r\n\r\n";
    lv::scope writer;
    writer.spawn([](lv::tcp_stream* to, const std::string* text) -> lv::task<> {
      for (std::size_t at_byte = 0; at_byte < text->size(); at_byte += 37) {
        (void)co_await to->write_all(std::string_view(*text).substr(at_byte, 37));
        co_await lv::sleep(1ms);
      }
    }, &*peer, &all);
    std::string answers;
    for (;;) {
      const auto more = co_await lv::with_deadline(10s, peer->read_some());
      EXPECT_TRUE(more.has_value());
      if (!more) break;
      answers.append(reinterpret_cast<const char*>(more->data()), more->size());
      if (count_of(answers, "/path/59?" + std::string(59, 'q')) == 1) break;
    }
    co_await writer.join();
    std::size_t last = 0;
    for (int i = 0; i < 60; i++) {
      const std::size_t found = answers.find("/path/" + std::to_string(i) + "?" + std::string(static_cast<std::size_t>(i), 'q'));
      EXPECT_NE(found, std::string::npos) << i;
      EXPECT_GE(found, last);
      last = found;
    }
  }, 20);
}

TEST(http_server_patience, a_deadline_that_the_peer_says_bounds_the_handler) {
  http::server_options options;
  options.heed_deadline = true;
  in_worlds(options, []() -> lv::task<> {
    http::client client;
    static const char* const waits[] = {"250", "0", "1"};
    for (const char* const patience : waits) {
      outgoing asked{method::get, at("/work")};
      asked.set("X-Request-Deadline-Ms", patience);
      noted->why = lv::cancel_reason::none;
      const lv::time_point began = lv::clock::now();
      const auto got = co_await client.send(std::move(asked));
      EXPECT_TRUE(got.has_value());
      if (got) {
        EXPECT_EQ(got->status(), http::status::service_unavailable);
      }
      EXPECT_EQ(noted->why, lv::cancel_reason::deadline);
      EXPECT_LT(lv::clock::now() - began, 300ms);
    }
    static const char* const unread[] = {"", "-5", "5ms", "1e3", "9999999999999999999999"};
    for (const char* const nonsense : unread) {
      outgoing asked{method::get, at("/path/x")};
      asked.set("X-Request-Deadline-Ms", nonsense);
      const auto got = co_await client.send(std::move(asked));
      EXPECT_TRUE(got.has_value());
      if (got) {
        EXPECT_EQ(got->body(), "/path/x") << nonsense;
      }
    }
  });
}

TEST(http_server_patience, a_chain_of_services_gives_up_together) {
  http::server_options options;
  options.heed_deadline = true;
  in_worlds(options, []() -> lv::task<> {
    http::client_options telling;
    telling.send_deadline = true;
    http::client client{telling};
    outgoing asked{method::get, at("/work")};
    asked.set_timeout(400ms);
    const lv::time_point began = lv::clock::now();
    const auto got = co_await client.send(std::move(asked));
    EXPECT_TRUE(!got || got->status() == http::status::service_unavailable);
    co_await lv::sleep(50ms);
    EXPECT_EQ(noted->why, lv::cancel_reason::deadline);
    EXPECT_LT(noted->ended - began, 450ms);
  });
}

TEST(http_server_patience, durations_are_counted_by_route_method_status_and_error) {
  http::server_options options = caring();
  options.heed_deadline = true;
  in_worlds(options, []() -> lv::task<> {
    http::client client;
    for (int i = 0; i < 3; i++) (void)co_await client.get(at("/path/" + std::to_string(i)));
    (void)co_await client.get(at("/nowhere"));
    (void)co_await client.get(at("/throws"));
    outgoing hurried{method::get, at("/work")};
    hurried.set("X-Request-Deadline-Ms", "300");
    (void)co_await client.send(hurried);
    (void)co_await lv::with_deadline(100ms, client.get(at("/work")));
    co_await lv::sleep(50ms);
    int seen = 0;
    for (const http::duration_series& each : noted->server->durations()) {
      seen++;
      EXPECT_EQ(each.method, method::get);
      if (each.route == "/path/{any}") {
        EXPECT_EQ(each.count, 3U);
        EXPECT_EQ(each.status, 200U);
        EXPECT_EQ(each.error_type, "");
        EXPECT_GE(each.sum, 0.015);
      } else if (each.route == "/throws") {
        EXPECT_EQ(each.status, 500U);
        EXPECT_EQ(each.error_type, "500");
      } else if (each.route.empty()) {
        EXPECT_EQ(each.status, 404U);
      } else if (each.error_type == "timed_out") {
        EXPECT_EQ(each.route, "/work");
        EXPECT_EQ(each.status, 503U);
        EXPECT_EQ(each.buckets[http::duration_bucket(0.3001)], 1U);
      } else {
        EXPECT_EQ(each.error_type, "departed");
      }
    }
    EXPECT_EQ(seen, 5);
  }, 3);
}
