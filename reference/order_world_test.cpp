// The order service with its two downstreams, unmodified, in a simulated world: what was acknowledged survives whatever happens to
// them, once.

#include "reference/order_world.hpp"

#include <csignal>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "reference/order_customer.hpp"

namespace orders::test {
namespace {

using namespace std::chrono_literals;
using levity::task;

// After everything is well again: each acknowledged order is there, and its customer has that one and no other.
task<> expect_all_there(levity::http::client* with, const ledger* told) {
  std::set<std::string> places;
  for (const auto& [key, place] : told->acknowledged) {
    EXPECT_TRUE(places.insert(place).second) << place << " was given to two";
    const auto got = co_await with->get("http://orders:7070" + place);
    EXPECT_TRUE(got && got->ok()) << place << " of " << key << " is lost";
    const auto all = co_await with->get("http://orders:7070/orders?customer=c-" + key);
    EXPECT_TRUE(all && all->ok());
    if (!all || !all->ok()) co_return;
    const std::string body(all->body());
    std::size_t count = 0;
    for (std::size_t at = body.find("\"id\":"); at != std::string::npos; at = body.find("\"id\":", at + 1)) count++;
    EXPECT_EQ(count, 1u) << body;
  }
}

task<> hurt(order_world* w, levity::duration for_so_long) {
  levity::sim::host* const all[] = {&w->orders, &w->payment, &w->inventory};
  const levity::time_point end = levity::clock::now() + for_so_long;
  while (levity::clock::now() < end) {
    co_await levity::sleep(std::chrono::milliseconds(50 + w->in.draw(500)));
    levity::sim::host& whom = *all[w->in.draw(3)];
    const auto pause = std::chrono::milliseconds(10 + w->in.draw(1000));
    switch (w->in.draw(5)) {
      case 0: {
        whom.kill();
        co_await levity::sleep(pause);
        whom.restart();
        break;
      }
      case 1: {
        levity::sim::host& other = *all[w->in.draw(3)];
        if (&other == &whom) break;
        w->in.part(whom, other);
        co_await levity::sleep(pause);
        w->in.heal();
        break;
      }
      case 2:
        whom.pause();
        co_await levity::sleep(pause);
        whom.resume();
        break;
      case 3:
        w->in.part(w->in.here(), w->orders);
        co_await levity::sleep(pause);
        w->in.heal();
        break;
      case 4:
        whom.cut_power();
        co_await levity::sleep(pause);
        whom.restart();
        break;
    }
  }
}

}  // namespace

TEST(order_world, orders_are_placed_and_read_back) {
  order_world w(1);
  ledger told;
  EXPECT_EQ(w.in.play([&]() -> task<> {
    levity::http::client client;
    co_await until_ready(&client);
    levity::scope customers;
    for (int i = 0; i < 20; i++) {
      customers.spawn("customer", order_patiently, &client, std::to_string(i), &told, manners{.deadline = 3s, .patience = 10s});
    }
    co_await customers.join();
    EXPECT_EQ(told.acknowledged.size(), 20u);
    EXPECT_EQ(told.failures, 0u);
    co_await expect_all_there(&client, &told);
    w.orders.signal(SIGTERM);
    EXPECT_EQ(co_await w.orders.ended(), 0);
  }), 0);
  EXPECT_LT(w.in.age(), 10s);
}

TEST(order_world, what_was_acknowledged_survives_kills_losses_of_power_partitions_and_pauses) {
  for (std::uint64_t seed = 1; seed <= 10 && !testing::Test::HasFailure(); seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    order_world w(seed);
    ledger told;
    EXPECT_EQ(w.in.play([&]() -> task<> {
      levity::http::client client;
      co_await until_ready(&client);
      levity::scope all;
      all.spawn("faults", hurt, &w, levity::duration(10s));
      for (int i = 0; i < 100; i++) {
        all.spawn("customer", order_patiently, &client, std::to_string(i), &told, manners{.deadline = 3s, .patience = 60s});
        co_await levity::sleep(std::chrono::milliseconds(w.in.draw(200)));
      }
      co_await all.join();
      co_await until_ready(&client);
      EXPECT_EQ(told.acknowledged.size(), 100u);
      EXPECT_LT(told.slowest, 3s + 100ms) << "an answer or an error in time";
      co_await expect_all_there(&client, &told);
    }), 0);
  }
}

TEST(order_world, a_seed_is_the_same_world_in_every_process) {
  // What a service writes of its process, into its lock file for one, must not differ from one process to the next.
  order_world w(1);
  w.in.play([&]() -> task<> {
    levity::http::client client;
    co_await until_ready(&client);
  });
  const auto owner = w.orders.read_file("/data/orders.lock");
  EXPECT_EQ(owner.value_or("none"), "         1\n");
}

}  // namespace orders::test
