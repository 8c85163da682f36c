// Goal: a call of the service before answers what the other side answers, and what it does when the other side is slow is what the
// story tells of it: it asks again beside itself, without a bound on how long, and takes nothing back.
#include "reference/before/outside_call.hpp"

#include <gtest/gtest.h>

#include <levity/http/server.hpp>

using namespace std::chrono_literals;
using orders::before::outside;
using orders::before::outside_figures;

namespace {

// In a simulated network: a server that answers after `takes`, with `status`.
struct other_side {
  levity::duration takes{};
  levity::http::status status = levity::http::status::created;
  int asked = 0;
  int answered = 0;
};

levity::task<> serve(levity::tcp_listener listener, other_side* as) {
  levity::http::server server;
  server.route(levity::http::method::post, "/charges",
               [as](const levity::http::request&, const levity::http::route_match&, levity::http::response& out) {
                 return [](other_side* who, levity::http::response* to) -> levity::task<> {
                   ++who->asked;
                   co_await levity::sleep(who->takes);
                   ++who->answered;
                   to->set_status(who->status);
                   to->set_body("done");
                 }(as, &out);
               });
  co_await server.serve(std::move(listener));
}

struct outcome {
  int status = -1;
  std::string body;
  levity::duration took{};
  int asked = 0;
  std::uint64_t calls = 0;
  std::uint64_t failures = 0;
};

outcome call(levity::duration takes, levity::http::status status) {
  outcome seen;
  levity::run_with({.backend = levity::runtime_options::sockets::sim, .seed = 42},
                   [](outcome* out, levity::duration span, levity::http::status with) -> levity::task<> {
                     other_side other{span, with};
                     auto listener = levity::tcp_listener::bind("127.0.0.1:7071");
                     levity::scope parts{levity::on_failure::report};
                     parts.spawn(serve, std::move(*listener), &other);
                     levity::scope attempts{levity::on_failure::report};
                     outside_figures figures;
                     outside payment("127.0.0.1:7071", figures, attempts);
                     const auto begin = levity::clock::now();
                     auto answer = co_await payment.post("/charges", "{}");
                     out->took = levity::clock::now() - begin;
                     out->status = answer.status;
                     out->body = answer.body;
                     out->asked = other.asked;
                     out->calls = figures.calls.load(std::memory_order_relaxed);
                     out->failures = figures.failures.load(std::memory_order_relaxed);
                     co_await levity::sleep(30s);  // those that were left behind
                     parts.cancel();
                     attempts.cancel();
                     co_await attempts.join();
                     co_await parts.join();
                   }, &seen, takes, status);
  return seen;
}

}  // namespace

TEST(outside_call, brings_the_answer_of_the_other_side) {
  const auto seen = call(5ms, levity::http::status::created);
  EXPECT_EQ(seen.status, 201);
  EXPECT_EQ(seen.body, "done");
  EXPECT_EQ(seen.calls, 1U);
  EXPECT_EQ(seen.failures, 0U);
}

TEST(outside_call, asks_again_beside_itself_while_there_is_no_answer) {
  const auto seen = call(1800ms, levity::http::status::created);
  EXPECT_EQ(seen.status, 201);
  EXPECT_EQ(seen.asked, 4) << "the first after 0 s, then each half second until the first is answered";
  EXPECT_EQ(seen.calls, 4U);
}

TEST(outside_call, waits_without_an_end_after_the_last_attempt) {
  const auto seen = call(20s, levity::http::status::created);
  EXPECT_EQ(seen.status, 201);
  EXPECT_EQ(seen.asked, 5);
  EXPECT_GE(seen.took, 20s);
}

TEST(outside_call, a_failing_side_is_asked_five_times) {
  const auto seen = call(1ms, levity::http::status::internal_server_error);
  EXPECT_EQ(seen.status, 500);
  EXPECT_EQ(seen.calls, 5U);
  EXPECT_EQ(seen.failures, 5U);
}

TEST(outside_call, a_refusal_of_the_request_is_an_answer) {
  const auto seen = call(1ms, levity::http::status::unprocessable_content);
  EXPECT_EQ(seen.status, 422);
  EXPECT_EQ(seen.calls, 1U);
  EXPECT_EQ(seen.failures, 0U);
}
