// The end of a service in a simulated world: in time, with its code, unheard where it was killed, and the world goes on.

#include <gtest/gtest.h>
#include <signal.h>

#include <stdexcept>
#include <string_view>
#include <utility>

#include "levity/http/server.hpp"
#include "levity/levity.hpp"
#include "levity/service/drain.hpp"
#include "levity/sim/world.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

constexpr const char* service_address = "10.0.0.1:8080";

lv::task<> sleep_long() { co_await lv::sleep(1h); }

lv::task<> does_not_end() { co_await lv::shield(sleep_long()); }

lv::task<> answer_never(const lv::http::request&, const lv::http::route_match&, lv::http::response&) { return does_not_end(); }

lv::task<int> serve(bool background_ends) {
  lv::http::server server;
  server.route(lv::http::method::get, "/", answer_never);
  lv::scope background{lv::on_failure::report};
  if (!background_ends) background.spawn(does_not_end);
  auto listener = lv::tcp_listener::bind(service_address).value();
  const int code = co_await lv::service::serve_until_told(&server, std::move(listener), {.bound = 10s, .overdue_code = 7});
  background.cancel();
  co_await background.join();
  co_return code;
}

// How long the service goes on after so many SIGTERM, 1 s apart, the first of them 1 s after the beginning.
lv::duration ends_after(int signals, bool background_ends, bool is_asked) {
  lv::sim::world in(1);
  lv::sim::host& server = in.add_host("server", "10.0.0.1");
  server.start([background_ends] { return lv::run(serve, background_ends); });
  in.play([&]() -> lv::task<> {
    co_await lv::sleep(500ms);
    auto peer = co_await lv::tcp_stream::connect(service_address);
    EXPECT_TRUE(peer);
    if (peer && is_asked) {
      const auto sent = co_await peer->write_all(std::string_view("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
      EXPECT_TRUE(sent);
    }
    co_await lv::sleep(500ms);
    for (int i = 0; i < signals; i++) {
      if (i > 0) co_await lv::sleep(1s);
      server.signal(SIGTERM);
    }
    EXPECT_EQ(co_await server.ended(), 7);
  });
  const lv::duration lasted = in.age() - 1s;
  in.play([&]() -> lv::task<> {
    server.restart();
    co_await lv::sleep(1s);
    EXPECT_TRUE(server.is_running());
  });
  return lasted;
}

void is_about(lv::duration found, lv::duration expected) {
  EXPECT_GE(found, expected);
  EXPECT_LT(found, expected + 500ms);
}

lv::task<> fail_when_ended() {
  const auto fails_at_last = [] { throw std::runtime_error("ended"); };
  try {
    co_await lv::sleep(1h);
  } catch (const lv::cancelled&) {
    fails_at_last();
  }
}

lv::task<> fail_to_answer(const lv::http::request&, const lv::http::route_match&, lv::http::response&) { return fail_when_ended(); }

lv::task<> serve_and_fail() {
  lv::http::server server;
  server.route(lv::http::method::get, "/", fail_to_answer);
  lv::scope background{lv::on_failure::report};
  background.spawn("background", fail_when_ended);
  auto listener = lv::tcp_listener::bind(service_address).value();
  co_await server.serve(std::move(listener));
}

}  // namespace

TEST(http_server, that_is_killed_in_a_world_says_nothing) {
  testing::internal::CaptureStderr();
  lv::sim::world in(1);
  lv::sim::host& server = in.add_host("server", "10.0.0.1");
  server.start([] { return lv::run(serve_and_fail); });
  in.play([&]() -> lv::task<> {
    for (const bool loses_power : {false, true}) {
      co_await lv::sleep(500ms);
      auto peer = co_await lv::tcp_stream::connect(service_address);
      EXPECT_TRUE(peer);
      if (!peer) co_return;
      const auto sent = co_await peer->write_all(std::string_view("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
      EXPECT_TRUE(sent);
      co_await lv::sleep(500ms);
      if (loses_power) server.cut_power();
      else server.kill();
      server.restart();
    }
    co_await lv::sleep(500ms);
  });
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(serve_until_told, in_a_world_ends_within_the_bound_and_at_a_second_signal) {
  is_about(ends_after(1, false, false), 10s);
  is_about(ends_after(2, false, false), 1s);
}

TEST(serve_until_told, in_a_world_is_cut_off_where_a_handler_does_not_end) {
  is_about(ends_after(1, true, true), 10s);
  is_about(ends_after(2, true, true), 1s);
}
