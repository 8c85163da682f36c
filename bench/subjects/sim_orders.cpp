// sim_orders WHAT SECONDS - the order service with payment and inventory, unmodified, in a simulated world.
//   orders      1,000 orders a second, by customers who do not wait for each other, for so many seconds of the world's time
//   idle        nobody orders for so long
#include <levity/http/client.hpp>
#include <levity/levity.hpp>
#include <levity/sim/world.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cpu_time.hpp"
#include "reference/order_customer.hpp"
#include "reference/order_world.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using orders::test::ledger;
using orders::test::order_world;

namespace {

constexpr std::int64_t per_second = 1000;

lv::task<> order_for(lv::http::client* with, std::int64_t first, std::int64_t count, ledger* told) {
  lv::scope customers;
  const lv::time_point begun = lv::clock::now();
  for (std::int64_t i = 0; i < count; i++) {
    co_await lv::sleep_until(begun + i * (lv::duration(1s) / per_second));
    customers.spawn("customer", orders::test::order_patiently, with, std::to_string(first + i), told,
                    orders::test::manners{.patience = 10s});
  }
  co_await customers.join();
}

lv::task<int> measure(order_world* world, bool is_idle, std::int64_t seconds) {
  lv::http::client client;
  co_await orders::test::until_ready(&client);
  ledger told;
  if (!is_idle) co_await order_for(&client, 0, per_second, &told);  // warm
  const std::size_t orders_before = told.acknowledged.size();
  const std::uint64_t events_before = world->in.events();
  const lv::duration age_before = world->in.age();
  const auto from = std::chrono::steady_clock::now();
  const std::int64_t cpu_from = cpu_ns();
  if (is_idle) {
    co_await lv::sleep(std::chrono::seconds(seconds));
  } else {
    co_await order_for(&client, per_second, per_second * seconds, &told);
  }
  const std::int64_t cpu = cpu_ns() - cpu_from;
  const std::chrono::nanoseconds wall = std::chrono::steady_clock::now() - from;
  const lv::duration simulated = world->in.age() - age_before;
  std::printf("{\"simulated_ns\": %lld, \"wall_ns\": %lld, \"cpu_ns\": %lld, ", static_cast<long long>(simulated.count()),
              static_cast<long long>(wall.count()), static_cast<long long>(cpu));
  std::printf("\"orders\": %zu, \"failures\": %llu, \"events\": %llu}\n", told.acknowledged.size() - orders_before,
              static_cast<unsigned long long>(told.failures),
              static_cast<unsigned long long>(world->in.events() - events_before));
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  const std::int64_t seconds = argc > 2 ? std::strtoll(argv[2], nullptr, 10) : 0;
  if (seconds <= 0 || (what != "orders" && what != "idle")) {
    std::fprintf(stderr, "usage: sim_orders orders|idle SECONDS\n");
    return 2;
  }
  order_world world(1);
  return world.in.play(measure, &world, what == "idle", seconds);
}
