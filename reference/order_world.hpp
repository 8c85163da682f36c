// order_world: the order service with payment and inventory, as they are, on three hosts of a simulated world; and customers who
// remember what they were told.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <levity/http/client.hpp>
#include <levity/levity.hpp>
#include <levity/sim/world.hpp>

#include "reference/inventory/inventory.hpp"
#include "reference/orders.hpp"
#include "reference/payment/payment.hpp"

namespace orders::test {

/// Calls a main() with these words; as often as it is asked to.
inline std::function<int()> program(int (*main)(int, char**), std::vector<std::string> words) {
  words.insert(words.begin(), "program");
  return [main, words] {
    std::vector<std::string> own = words;
    std::vector<char*> argv;
    for (std::string& word : own) argv.push_back(word.data());
    argv.push_back(nullptr);
    return main(static_cast<int>(own.size()), argv.data());
  };
}

/// Three hosts, each with its data in /data of its own disk.
struct order_hosts {
  explicit order_hosts(levity::sim::world& of)
      : in(of),
        orders(in.add_host("orders", "10.0.0.1")),
        payment(in.add_host("payment", "10.0.0.2")),
        inventory(in.add_host("inventory", "10.0.0.3")) {
    payment.start(program(run_payment, {"--listen", ":7071", "--operate", ":7171", "--data", "/data"}));
    inventory.start(program(run_inventory, {"--listen", ":7072", "--operate", ":7172", "--data", "/data"}));
    orders.start(program(run_orders, {"--listen", ":7070", "--data", "/data", "--payment", "http://payment:7071",
                                      "--inventory", "http://inventory:7072"}));
  }

  levity::sim::world& in;
  levity::sim::host& orders;
  levity::sim::host& payment;
  levity::sim::host& inventory;
};

/// The same, with a world of their own.
struct order_world : private levity::sim::world, public order_hosts {
  explicit order_world(std::uint64_t seed) : levity::sim::world(seed), order_hosts(static_cast<levity::sim::world&>(*this)) {}
};

/// What customers were told.
struct ledger {
  std::map<std::string, std::string> acknowledged;  // key to place, "/orders/o-1"
  std::uint64_t answers = 0;
  std::uint64_t failures = 0;
  levity::duration slowest{};
};

/// Orders once, and asks again with the same key until it is told that it is done, as a good customer does.
inline levity::task<> order_once(levity::http::client* with, std::string key, ledger* told, levity::duration patience) {
  levity::http::outgoing asked(levity::http::method::post, "http://orders:7070/orders");
  asked.set("Content-Type", "application/json");
  asked.set("Idempotency-Key", key);
  asked.set_body(R"({"customer":"c-)" + key + R"(","items":[{"sku":"sku-1","quantity":2}]})");
  const levity::time_point begun = levity::clock::now();
  while (levity::clock::now() - begun < patience) {
    const levity::time_point sent = levity::clock::now();
    const auto got = co_await with->send(asked);
    told->slowest = std::max(told->slowest, levity::clock::now() - sent);
    if (got && got->ok()) {
      told->answers++;
      told->acknowledged[key] = std::string(got->find("Location").value_or(""));
      co_return;
    }
    told->failures++;
    co_await levity::sleep(std::chrono::milliseconds(100));
  }
}

/// Waits until the service answers.
inline levity::task<> until_ready(levity::http::client* with) {
  for (;;) {
    const auto got = co_await with->get("http://orders:7070/healthz/ready");
    if (got && got->ok()) co_return;
    co_await levity::sleep(std::chrono::milliseconds(20));
  }
}

}  // namespace orders::test
