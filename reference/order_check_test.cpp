// The order service with its two downstreams, unmodified, under fault plans drawn from seeds: what an order may expect of it.
//
//   LEVITY_SIM_SEEDS=10000 ./reference_test --gtest_filter=order_check.*     for the night

#include "reference/order_world.hpp"

#include <csignal>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <levity/sim/check.hpp>
#include <levity/sim/gtest.hpp>

namespace orders::test {
namespace {

using namespace std::chrono_literals;
using levity::task;
using levity::sim::always;

// How often an order was charged, or put aside, by the books of that service; -1: it does not say.
task<int> times_booked(levity::http::client* with, std::string url) {
  const auto got = co_await with->get(std::move(url));
  if (!got) co_return -1;
  if (got->status() == levity::http::status::not_found) co_return 0;
  co_return got->ok() ? 1 : -1;
}

task<> expect_kept(levity::http::client* with, const ledger* told) {
  std::set<std::string> places;
  for (const auto& [key, place] : told->acknowledged) {
    always(places.insert(place).second, "no two orders have one place");
    const auto got = co_await with->get("http://orders:7070" + place);
    always(got && got->ok(), "an order that was acknowledged is there");
    const auto all = co_await with->get("http://orders:7070/orders?customer=c-" + key);
    always(all && all->ok(), "a list can be had when all is well");
    if (!all || !all->ok()) co_return;
    const std::string body(all->body());
    const std::size_t first = body.find("\"id\":");
    always(first != std::string::npos && body.find("\"id\":", first + 1) == std::string::npos, "each key makes one order");
  }
}

// What is owed is settled some time after all is well.
task<> expect_booked(levity::http::client* with, const ledger* told) {
  for (const auto& [key, place] : told->acknowledged) {
    const std::string order = place.substr(place.rfind('/') + 1);
    for (const auto* service : {"http://payment:7071/charges/", "http://inventory:7072/reservations/"}) {
      int times = 0;
      for (int i = 0; i < 600 && times != 1; i++) {
        times = co_await times_booked(with, service + order);
        if (times != 1) co_await levity::sleep(100ms);
      }
      always(times == 1, "what was ordered is charged and put aside in the end");
    }
  }
}

void play_a_day(levity::sim::check_run& run) {
  order_hosts w(run.world());
  ledger told;
  run.play([&]() -> task<> {
    levity::http::client client;
    co_await until_ready(&client);
    levity::scope customers;
    for (int i = 0; i < 100; i++) {
      customers.spawn("customer", order_once, &client, std::to_string(i), &told, levity::duration(5min));
      co_await levity::sleep(std::chrono::milliseconds(run.world().draw(200)));
    }
    co_await customers.join();
    co_await run.healed();
    co_await until_ready(&client);
    always(told.acknowledged.size() == 100, "who asks again is served in the end");
    always(told.slowest < 3s + 100ms, "each request ends within its deadline");
    co_await expect_kept(&client, &told);
    co_await expect_booked(&client, &told);
    levity::sim::sometimes(told.failures > 0, "a request fails");
    w.orders.signal(SIGTERM);
    const levity::time_point told_to_end = levity::clock::now();
    const int code = co_await w.orders.ended();
    always(code == 0, "the service ends in order");
    always(levity::clock::now() - told_to_end < 31s, "and in time");
  });
}

}  // namespace

TEST(order_check, what_was_acknowledged_is_there_once_and_paid_whatever_happens) {
  const levity::sim::plan_options plan{
      .horizon = 20s, .mean_gap = 1s, .longest = 3s, .hosts = {"orders", "payment", "inventory"}};
  EXPECT_TRUE(levity::sim::holds({.seeds = 20, .plan = plan}, play_a_day));
}

}  // namespace orders::test
