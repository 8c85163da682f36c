// Goal: whatever the other side does, a customer waits no longer than is said, few calls fail, and a booking is known by its key.
// Method: a simulated network, another side that is told how to be, exact times.
#include "reference/outside.hpp"

#include <array>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <levity/http/server.hpp>

#include "reference/order.hpp"

using namespace std::chrono_literals;

namespace orders {
namespace {

namespace http = levity::http;

struct other_side {
  levity::duration takes = 3ms;
  std::vector<int> statuses;  // of the first requests; then 201
  std::vector<std::map<std::string, std::string>> asked;

  std::size_t count() const { return asked.size(); }
};

levity::task<> answer(other_side* who, const http::request* came, http::response* to) {
  const std::size_t number = who->asked.size();
  auto& seen = who->asked.emplace_back();
  for (const http::field each : came->fields()) seen[std::string(each.name)] = each.value;
  seen["body"] = came->body();
  co_await levity::sleep(who->takes);
  to->set_status(static_cast<http::status>(number < who->statuses.size() ? who->statuses[number] : 201));
}

levity::task<> serve(levity::tcp_listener listener, other_side* as) {
  http::server server;
  server.route(http::method::post, "/charges", [as](const http::request& came, const http::route_match&, http::response& out) {
    return answer(as, &came, &out);
  });
  co_await server.serve(std::move(listener));
}

order_view order_of(std::uint64_t id) {
  static const new_order wanted = *pack_contents("me", std::array{order_item{"tea", 2}, order_item{"cup", 1}});
  order_view made;
  made.id = id;
  made.contents = wanted.contents();
  made.created_at_ns = 0x1234;
  return made;
}

// Runs `does` with the other side and the way to it.
void with_outside(outside_options options, levity::task<> (*does)(outside&, other_side&)) {
  levity::run_with({.backend = levity::runtime_options::sockets::sim, .seed = 42},
                   [](outside_options how, levity::task<> (*part)(outside&, other_side&)) -> levity::task<> {
    other_side other;
    auto listener = levity::tcp_listener::bind("127.0.0.1:7071");
    levity::scope parts{levity::on_failure::report};
    parts.spawn(serve, std::move(*listener), &other);
    http::client_options client_how;
    client_how.send_deadline = true;
    http::client client(client_how);
    levity::service::id_source ids(7);
    const auto charges = http::url::parse("http://127.0.0.1:7071/charges").value();
    outside to("payment", charges, write_charge_request, how, client, ids, nullptr);
    co_await part(to, other);
    co_await levity::sleep(10s);  // those that were left behind
    parts.cancel();
    co_await parts.join();
  }, options, does);
}

levity::task<> book_into(outside* to, std::uint64_t id, std::vector<booked>* into, levity::duration* longest) {
  const auto began = levity::clock::now();
  const booked became = co_await to->book_now(order_of(id));
  *longest = std::max(*longest, levity::duration(levity::clock::now() - began));
  into->push_back(became);
}

TEST(outside, a_booking_bears_key_id_trace_and_deadline) {
  with_outside({}, [](outside& to, other_side& other) -> levity::task<> {
    const auto trace = levity::service::trace_context::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").value();
    const auto id = levity::service::current_request_id.bind("r-1");
    const auto within = levity::service::current_trace.bind(trace);
    EXPECT_EQ(co_await to.book_now(order_of(5)), booked::done);
    EXPECT_EQ(other.count(), 1u);
    auto& seen = other.asked.at(0);
    EXPECT_EQ(seen["Idempotency-Key"], "ord_0000000000000005-1234");
    EXPECT_EQ(seen["X-Request-Id"], "r-1");
    EXPECT_TRUE(seen["traceparent"].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-")) << seen["traceparent"];
    EXPECT_EQ(seen["traceparent"].find("00f067aa0ba902b7"), std::string::npos) << "the call is a span of its own";
    EXPECT_GT(std::stoi(seen["X-Request-Deadline-Ms"]), 0);
    EXPECT_LE(std::stoi(seen["X-Request-Deadline-Ms"]), 100);
    EXPECT_EQ(seen["body"], R"({"order":"ord_0000000000000005","amount":300})");
    EXPECT_EQ(to.look().calls, 1u);
    EXPECT_EQ(to.look().failures, 0u);
  });
}

TEST(outside, a_service_that_turns_slow_holds_up_as_many_customers_as_it_has_places_and_then_nobody) {
  with_outside({}, [](outside& to, other_side& other) -> levity::task<> {
    std::vector<booked> became;
    levity::duration longest{};
    levity::scope customers;
    for (std::uint64_t id = 1; id <= 20; id++) co_await book_into(&to, id, &became, &longest);
    other.takes = 3s;
    for (std::uint64_t id = 21; id <= 1'020; id++) {
      customers.spawn(book_into, &to, id, &became, &longest);
      co_await levity::sleep(1ms);
    }
    co_await customers.join();
    EXPECT_EQ(became.size(), 1'020u);
    EXPECT_EQ(to.look().failures, 8u) << "six places, and two that the first two failures made free before the third";
    EXPECT_EQ(to.look().calls, 28u);
    EXPECT_EQ(to.look().kept_back, 992u);
    EXPECT_EQ(to.look().breaker.state, levity::breaker_state::open) << "no customer was a probe";
    EXPECT_LE(longest, 105ms);
  });
}

TEST(outside, a_single_failure_is_made_good_while_the_customer_waits) {
  with_outside({}, [](outside& to, other_side& other) -> levity::task<> {
    other.statuses = {503};
    EXPECT_EQ(co_await to.book_now(order_of(1)), booked::done);
    EXPECT_EQ(to.look().calls, 2u);
    EXPECT_EQ(to.look().failures, 1u) << "it failed, whatever came after";
  });
}

TEST(outside, a_refusal_is_an_answer_and_not_repeated) {
  with_outside({}, [](outside& to, other_side& other) -> levity::task<> {
    other.statuses.assign(30, 409);
    for (std::uint64_t id = 1; id <= 30; id++) EXPECT_EQ(co_await to.book_now(order_of(id)), booked::refused);
    EXPECT_EQ(other.count(), 30u);
    EXPECT_EQ(to.look().failures, 0u);
    EXPECT_TRUE(to.is_well());
  });
}

TEST(outside, an_answer_that_is_late_for_a_customer_settles_and_does_not_close_the_breaker) {
  with_outside({}, [](outside& to, other_side& other) -> levity::task<> {
    other.takes = 200ms;
    for (std::uint64_t id = 1; id <= 10; id++) (void)co_await to.book_now(order_of(id));
    EXPECT_FALSE(to.is_well());
    EXPECT_EQ((co_await to.book_later(order_of(1), 1s, true)).became, booked::not_asked);
    co_await levity::sleep(300ms);
    EXPECT_EQ((co_await to.book_later(order_of(1), 1s, true)).became, booked::done);
    EXPECT_FALSE(to.is_well());
    other.takes = 3ms;
    co_await levity::sleep(600ms);
    EXPECT_EQ((co_await to.book_later(order_of(2), 1s, true)).became, booked::done);
    EXPECT_TRUE(to.is_well());
  });
}

TEST(outside, what_is_asked_again_stays_within_the_budget) {
  with_outside({}, [](outside& to, other_side& other) -> levity::task<> {
    std::uint64_t asked = 0;
    for (std::uint64_t id = 1; id <= 100; id++) {
      if ((co_await to.book_later(order_of(id), 1s, true)).became != booked::not_asked) asked++;
    }
    EXPECT_EQ(asked, other.count());
    EXPECT_LE(asked, 6u) << "three a second, for the 0.4 s that this takes";
    EXPECT_GE(asked, 1u);
  });
}

}  // namespace
}  // namespace orders
