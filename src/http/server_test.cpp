// The HTTP server on real sockets: what goes in and what comes out, to the byte where it matters.

#include "levity/http/server.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "levity/http/problem.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_simulated.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace lv = levity;
namespace http = levity::http;
using namespace std::chrono_literals;
using lv::test::run_tasks;

lv::task<> hello(const http::request&, const http::route_match&, http::response& to) {
  to.set("Content-Type", "text/plain");
  to.set_body("hello");
  co_return;
}

lv::task<> echo(const http::request& asked, const http::route_match&, http::response& to) {
  to.set_body(asked.body());
  co_return;
}

lv::task<> name(const http::request&, const http::route_match& found, http::response& to) {
  to.set_body(found.parameter("name"));
  co_return;
}

lv::task<> throws(const http::request&, const http::route_match&, http::response&) {
  throw std::runtime_error("the handler broke");
  co_return;
}

lv::task<> sleeps(const http::request&, const http::route_match&, http::response& to) {
  co_await lv::sleep(100ms);
  to.set_body("slept");
}

lv::task<> sleeps_long(const http::request&, const http::route_match&, http::response&) { co_await lv::sleep(1h); }

// Everything the peer sends until it ends.
lv::task<std::string> read_all(lv::tcp_stream& peer) {
  std::string text;
  while (auto chunk = co_await peer.read_some()) {
    text.append(reinterpret_cast<const char*>(chunk->data()), chunk->size());
  }
  co_return text;
}

using client = lv::task<> (*)(lv::address);

// Runs `talks` against a server on a free port, then ends the server.
lv::task<> with_server(client talks, http::server_options options) {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0");
  EXPECT_TRUE(listener.has_value());
  const lv::address at = listener->local_address();
  http::server server{options};
  server.route(http::method::get, "/hello", hello);
  server.route(http::method::post, "/echo", echo);
  server.route(http::method::get, "/names/{name}", name);
  server.route(http::method::get, "/throws", throws);
  server.route(http::method::get, "/sleeps", sleeps);
  server.route(http::method::get, "/sleeps-long", sleeps_long);
  lv::scope parts;
  parts.spawn([](http::server* serves, lv::tcp_listener* from) { return serves->serve(std::move(*from)); }, &server,
              &*listener);
  co_await talks(at);
  parts.cancel();
  co_await parts.join();
  EXPECT_EQ(server.look().connections, 0U);
}

void serve_and(client talks, http::server_options options = {}) {
  EXPECT_EQ(run_tasks(2, with_server, talks, options), 0);
}

// Sends `text`, ends our side, returns all that comes back.
lv::task<std::string> ask(lv::address at, std::string text) {
  auto peer = co_await lv::tcp_stream::connect(at);
  EXPECT_TRUE(peer.has_value());
  EXPECT_TRUE((co_await peer->write_all(text)).has_value());
  EXPECT_TRUE(peer->shutdown_write().has_value());
  co_return co_await read_all(*peer);
}

std::string status_of(std::string_view answer) { return std::string(answer.substr(9, 3)); }

std::string body_of(std::string_view answer) {
  const std::size_t blank = answer.find("\r\n\r\n");
  return blank == std::string_view::npos ? std::string{} : std::string(answer.substr(blank + 4));
}

}  // namespace

TEST(http_server, answers_a_request) {
  serve_and([](lv::address at) -> lv::task<> {
    const std::string answer = co_await ask(at, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(status_of(answer), "200");
    EXPECT_EQ(body_of(answer), "hello");
    EXPECT_NE(answer.find("Content-Length: 5\r\n"), std::string::npos) << answer;
    EXPECT_NE(answer.find("Date: "), std::string::npos);
  });
}

TEST(http_server, in_a_simulated_run_dates_its_answers_by_the_calendar_of_that) {
  const client talks = [](lv::address at) -> lv::task<> {
    constexpr const char* dates[] = {"Date: Thu, 01 Jan 2026 00:00:", "Date: Thu, 01 Jan 2026 01:00:"};
    for (const char* date : dates) {
      const std::string answer = co_await ask(at, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
      EXPECT_NE(answer.find(date), std::string::npos) << answer;
      co_await lv::sleep(1h);
    }
  };
  EXPECT_EQ(lv::test::run_simulated(42, with_server, talks, http::server_options{}), 0);
}

TEST(http_server, parameters_of_a_path_are_decoded_once_it_is_matched) {
  serve_and([](lv::address at) -> lv::task<> {
    const auto named = [at](std::string path) -> lv::task<std::string> {
      std::string text = "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n";
      const std::string answer = co_await ask(at, std::move(text));
      co_return status_of(answer) == "200" ? body_of(answer) : status_of(answer);
    };
    EXPECT_EQ(co_await named("/names/J%C3%BCrgen%20B"), "J\xc3\xbcrgen B");
    EXPECT_EQ(co_await named("/names/a%2Fb"), "a/b") << "one segment, and one value";
    EXPECT_EQ(co_await named("/names/%252F"), "%2F") << "once";
    EXPECT_EQ(co_await named("/names/a+b"), "a+b") << "a path is no form";
    EXPECT_EQ(co_await named("/names/" + std::string(1000, 'x') + "%21"), std::string(1000, 'x') + "!");
    EXPECT_EQ(co_await named("/%6eames/ada"), "404") << "what is compared is what is on the wire";
    for (const char* malformed : {"%00", "a%00b", "%", "%2", "%zz"}) {
      EXPECT_EQ(co_await named(std::string("/names/") + malformed), "400") << malformed;
    }
  });
}

TEST(http_server, routes_and_refuses_by_status) {
  serve_and([](lv::address at) -> lv::task<> {
    EXPECT_EQ(body_of(co_await ask(at, "GET /names/ada HTTP/1.1\r\nHost: a\r\n\r\n")), "ada");
    const std::string missing = co_await ask(at, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(status_of(missing), "404");
    EXPECT_NE(missing.find("application/problem+json"), std::string::npos);
    const std::string wrong = co_await ask(at, "DELETE /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(status_of(wrong), "405");
    EXPECT_NE(wrong.find("Allow: GET, HEAD\r\n"), std::string::npos) << wrong;
    EXPECT_EQ(status_of(co_await ask(at, "GET /hello HTTP/1.1\r\n\r\n")), "400");
    EXPECT_EQ(status_of(co_await ask(at, "GET /hello HTTP/2.0\r\nHost: a\r\n\r\n")), "505");
    EXPECT_EQ(status_of(co_await ask(at, "BREW /hello HTTP/1.1\r\nHost: a\r\n\r\n")), "501");
    EXPECT_EQ(status_of(co_await ask(at, "GET /" + std::string(10'000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n")), "414");
    EXPECT_EQ(status_of(co_await ask(at, "GET /hello HTTP/1.1\r\nHost: a\r\nX: " + std::string(70'000, 'a') + "\r\n\r\n")),
              "431");
    EXPECT_EQ(status_of(co_await ask(at, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")), "413");
  });
}

TEST(http_server, head_has_the_head_of_get_and_no_body) {
  serve_and([](lv::address at) -> lv::task<> {
    const std::string answer = co_await ask(at, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(status_of(answer), "200");
    EXPECT_NE(answer.find("Content-Length: 5\r\n"), std::string::npos);
    EXPECT_EQ(body_of(answer), "");
  });
}

TEST(http_server, keeps_the_connection_and_answers_pipelined_requests_in_order) {
  serve_and([](lv::address at) -> lv::task<> {
    std::string requests;
    for (int i = 0; i < 100; i++) {
      requests += "GET /names/n" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
      if (i % 3 == 0) requests += "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    }
    const std::string answers = co_await ask(at, requests);
    std::size_t from = 0;
    for (int i = 0; i < 100; i++) {
      const std::size_t found = answers.find("\r\n\r\nn" + std::to_string(i) + (i % 3 == 0 ? "HTTP" : i < 99 ? "HTTP" : ""), from);
      EXPECT_NE(found, std::string::npos) << i;
      from = found;
    }
  });
}

TEST(http_server, takes_bodies_of_a_length_and_in_chunks_split_anywhere) {
  serve_and([](lv::address at) -> lv::task<> {
    const std::string chunked =
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n";
    for (std::size_t cut = 1; cut < chunked.size(); cut += 7) {
      auto peer = co_await lv::tcp_stream::connect(at);
      EXPECT_TRUE((co_await peer->write_all(std::string_view(chunked).substr(0, cut))).has_value());
      co_await lv::sleep(1ms);
      EXPECT_TRUE((co_await peer->write_all(std::string_view(chunked).substr(cut))).has_value());
      EXPECT_TRUE(peer->shutdown_write().has_value());
      EXPECT_EQ(body_of(co_await read_all(*peer)), "hello world") << "cut at " << cut;
    }
    const std::string large(900'000, 'x');
    EXPECT_EQ(body_of(co_await ask(at, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n" + large)), large);
  });
}

TEST(http_server, says_continue_before_a_body_that_waits_for_it) {
  serve_and([](lv::address at) -> lv::task<> {
    auto peer = co_await lv::tcp_stream::connect(at);
    const std::string_view head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    EXPECT_TRUE((co_await peer->write_all(head)).has_value());
    std::string first;
    while (!first.ends_with("\r\n\r\n")) {
      const auto part = co_await peer->read_some();
      EXPECT_TRUE(part.has_value());
      if (!part) co_return;
      first.append(reinterpret_cast<const char*>(part->data()), part->size());
    }
    EXPECT_EQ(first, "HTTP/1.1 100 Continue\r\n\r\n");
    EXPECT_TRUE((co_await peer->write_all(std::string_view("ok"))).has_value());
    EXPECT_TRUE(peer->shutdown_write().has_value());
    EXPECT_EQ(body_of(co_await read_all(*peer)), "ok");
  });
}

TEST(http_server, closes_when_asked_to_and_for_http_1_0) {
  serve_and([](lv::address at) -> lv::task<> {
    for (const char* text : {"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET /hello HTTP/1.0\r\n\r\n"}) {
      auto peer = co_await lv::tcp_stream::connect(at);
      EXPECT_TRUE((co_await peer->write_all(std::string_view(text))).has_value());
      const std::string answer = co_await lv::with_deadline(5s, read_all(*peer));  // ends by the server's doing
      EXPECT_EQ(body_of(answer), "hello");
    }
  });
}

TEST(http_server, answers_500_for_a_handler_that_throws_and_goes_on) {
  testing::internal::CaptureStderr();
  serve_and([](lv::address at) -> lv::task<> {
    const std::string answers =
        co_await ask(at, "GET /throws HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(status_of(answers), "500");
    EXPECT_EQ(answers.find("the handler broke"), std::string::npos) << "what broke is nobody's business outside";
    EXPECT_NE(answers.find("hello"), std::string::npos);
  });
  EXPECT_NE(testing::internal::GetCapturedStderr().find("the handler broke"), std::string::npos);
}

TEST(http_server, a_slow_head_is_answered_408_an_idle_connection_closed_in_silence) {
  http::server_options options;
  options.head_timeout = 50ms;
  options.idle_timeout = 50ms;
  options.request_timeout = 50ms;
  serve_and([](lv::address at) -> lv::task<> {
    auto slow = co_await lv::tcp_stream::connect(at);
    EXPECT_TRUE((co_await slow->write_all(std::string_view("GET /hello HT"))).has_value());
    EXPECT_EQ(status_of(co_await read_all(*slow)), "408");
    auto idle = co_await lv::tcp_stream::connect(at);
    EXPECT_EQ(co_await read_all(*idle), "");
    auto body = co_await lv::tcp_stream::connect(at);
    EXPECT_TRUE(
        (co_await body->write_all(std::string_view("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab"))).has_value());
    EXPECT_EQ(status_of(co_await read_all(*body)), "408");
    EXPECT_EQ(status_of(co_await ask(at, "GET /sleeps-long HTTP/1.1\r\nHost: a\r\n\r\n")), "503");
  }, options);
}

TEST(http_server, answers_503_beyond_its_connections) {
  http::server_options options;
  options.connections_max = 2;
  serve_and([](lv::address at) -> lv::task<> {
    auto one = co_await lv::tcp_stream::connect(at);
    auto two = co_await lv::tcp_stream::connect(at);
    for (auto* each : {&one, &two}) {
      EXPECT_TRUE((co_await (*each)->write_all(std::string_view("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"))).has_value());
      EXPECT_TRUE((co_await (*each)->read_some()).has_value());
    }
    auto three = co_await lv::tcp_stream::connect(at);
    const std::string answer = co_await read_all(*three);
    EXPECT_EQ(status_of(answer), "503");
    EXPECT_NE(answer.find("Retry-After: 1"), std::string::npos);
  }, options);
}

TEST(http_server, a_request_inside_is_answered_when_the_server_ends) {
  serve_and([](lv::address at) -> lv::task<> {
    struct probe {
      static lv::task<> ends_early(lv::address to) {
        auto listener = lv::tcp_listener::bind("127.0.0.1:0");
        const lv::address here = listener->local_address();
        http::server server;
        server.route(http::method::get, "/sleeps", sleeps);
        lv::scope parts;
        parts.spawn([](http::server* serves, lv::tcp_listener* from) { return serves->serve(std::move(*from)); }, &server,
                    &*listener);
        auto peer = co_await lv::tcp_stream::connect(here);
        EXPECT_TRUE((co_await peer->write_all(std::string_view("GET /sleeps HTTP/1.1\r\nHost: a\r\n\r\n"))).has_value());
        co_await lv::sleep(30ms);
        parts.cancel();
        EXPECT_EQ(body_of(co_await read_all(*peer)), "slept");
        co_await parts.join();
        (void)to;
      }
    };
    co_await probe::ends_early(at);
  });
}

TEST(http_server, refuses_routes_that_are_taken) {
  http::server server;
  server.route(http::method::get, "/a/{x}", hello);
  EXPECT_THROW(server.route(http::method::get, "/a/{y}", hello), std::invalid_argument);
}

TEST(http_server, serves_many_connections_at_once) {
  serve_and([](lv::address at) -> lv::task<> {
    lv::scope clients;
    for (int i = 0; i < 100; i++) {
      clients.spawn([](lv::address to, int number) -> lv::task<> {
        for (int round = 0; round < 3; round++) {
          const std::string wanted = "c" + std::to_string(number) + "r" + std::to_string(round);
          EXPECT_EQ(body_of(co_await ask(to, "GET /names/" + wanted + " HTTP/1.1\r\nHost: a\r\n\r\n")), wanted);
        }
      }, at, i);
    }
    co_await clients.join();
  });
}

TEST(http_server, serves_over_a_unix_socket_as_over_any_connection) {
  run_tasks(2, []() -> lv::task<> {
    const std::string at = "@levity-test-http-" + std::to_string(::getpid());
    http::server server{{}};
    server.route(http::method::post, "/echo", echo);
    auto listener = lv::unix_listener::bind(at).value();
    lv::scope parts;
    parts.spawn([](http::server* serves, lv::unix_listener* from) { return serves->serve(std::move(*from)); }, &server, &listener);
    auto peer = (co_await lv::unix_stream::connect(at)).value();
    EXPECT_TRUE(co_await peer.write_all("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nunix"));
    std::string answer;
    while (auto chunk = co_await peer.read_some()) answer.append(reinterpret_cast<const char*>(chunk->data()), chunk->size());
    EXPECT_EQ(status_of(answer), "200");
    EXPECT_EQ(body_of(answer), "unix");
    parts.cancel();
    co_await parts.join();
  });
}

TEST(http_server, one_that_winds_down_answers_each_connection_once_more_and_accepts) {
  run_tasks(2, []() -> lv::task<> {
    http::server server{{}};
    server.route(http::method::get, "/hello", hello);
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    const lv::address at = listener.local_address();
    lv::scope parts;
    parts.spawn([](http::server* serves, lv::tcp_listener* from) { return serves->serve(std::move(*from)); }, &server, &listener);
    constexpr std::string_view asks = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
    auto kept = (co_await lv::tcp_stream::connect(at)).value();
    EXPECT_TRUE(co_await kept.write_all(asks));
    std::string first;
    while (!first.ends_with("hello")) {
      const auto chunk = co_await kept.read_some();
      EXPECT_TRUE(chunk.has_value()) << first;
      if (!chunk) break;
      first.append(reinterpret_cast<const char*>(chunk->data()), chunk->size());
    }
    EXPECT_EQ(first.find("Connection: close"), std::string::npos) << first;
    server.wind_down();
    EXPECT_TRUE(co_await kept.write_all(asks));
    const std::string last = co_await read_all(kept);  // to its end: the server closes
    EXPECT_EQ(status_of(last), "200");
    EXPECT_NE(last.find("Connection: close"), std::string::npos) << last;
    auto fresh = (co_await lv::tcp_stream::connect(at)).value();
    EXPECT_TRUE(co_await fresh.write_all(asks));
    EXPECT_EQ(body_of(co_await read_all(fresh)), "hello");
    parts.cancel();
    co_await parts.join();
  });
}

TEST(http_server, one_that_ends_answers_those_that_nobody_has_accepted) {
  run_tasks(2, []() -> lv::task<> {
    http::server server{{}};
    server.route(http::method::get, "/hello", hello);
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    std::vector<lv::tcp_stream> waiting;
    for (int i = 0; i < 3; i++) {
      waiting.push_back((co_await lv::tcp_stream::connect(listener.local_address())).value());
      EXPECT_TRUE(co_await waiting.back().write_all("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    lv::scope parts;
    parts.cancel();
    parts.spawn([](http::server* serves, lv::tcp_listener* from) { return serves->serve(std::move(*from)); }, &server, &listener);
    for (lv::tcp_stream& each : waiting) {
      const std::string answer = co_await read_all(each);
      EXPECT_EQ(status_of(answer), "503");
      each.close();
    }
    co_await parts.join();
  });
}

TEST(http_server, one_that_ends_loses_no_answer_to_what_the_peer_still_sends) {
  run_tasks(2, []() -> lv::task<> {
    constexpr std::size_t body_bytes = 300'000;  // more than the peer's kernel takes, less than ours keeps
    http::server server{{}};
    server.route(http::method::post, "/echo", echo);
    auto listener = lv::tcp_listener::bind("127.0.0.1:0").value();
    const lv::address at = listener.local_address();
    lv::scope parts;
    parts.spawn([](http::server* serves, lv::tcp_listener* from) { return serves->serve(std::move(*from)); }, &server, &listener);
    auto peer = (co_await lv::tcp_stream::connect(at)).value();
    EXPECT_TRUE(peer.set_receive_buffer(32'768));
    EXPECT_TRUE(co_await peer.write_all("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"));
    EXPECT_TRUE(co_await peer.write_all(std::string(body_bytes, 'b')));
    // Until it is answered, as far as the server knows.
    for (int i = 0; server.look().requests == 0 && i < 20'000; i++) co_await lv::sleep(1ms);
    parts.cancel();
    EXPECT_TRUE(co_await peer.write_all("GET /hello HTTP/1.1\r\n"));  // the beginning of another request
    const std::string answer = co_await read_all(peer);
    EXPECT_EQ(status_of(answer), "200");
    EXPECT_EQ(body_of(answer).size(), body_bytes);
    peer.close();
    co_await parts.join();
  });
}
