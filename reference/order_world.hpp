// order_world: the order service with payment and inventory, as they are, on three hosts of a simulated world.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

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

/// Three hosts, each with its data in /data of its own disk. `more`: words for the order service.
struct order_hosts {
  explicit order_hosts(levity::sim::world& of, const std::vector<std::string>& more = {})
      : in(of),
        orders(in.add_host("orders", "10.0.0.1")),
        payment(in.add_host("payment", "10.0.0.2")),
        inventory(in.add_host("inventory", "10.0.0.3")) {
    payment.start(program(run_payment, {"--listen", ":7071", "--operate", ":7171", "--data", "/data"}));
    inventory.start(program(run_inventory, {"--listen", ":7072", "--operate", ":7172", "--data", "/data"}));
    std::vector<std::string> words{"--listen", ":7070", "--data", "/data", "--payment", "http://payment:7071",
                                   "--inventory", "http://inventory:7072"};
    words.insert(words.end(), more.begin(), more.end());
    orders.start(program(run_orders, std::move(words)));
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

}  // namespace orders::test
