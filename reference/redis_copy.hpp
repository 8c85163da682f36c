// redis_copy: what was acknowledged of orders, once more in a Redis server beside: for readers, when the store does not answer.
//
// Nobody waits for it. What is to be copied goes through a queue of fixed length to one task, in order; where the server is away or
// slow the queue is full and copies are dropped, which the counts say. A copy bears the moment at which it was made.
//
// Two who changed one order may come here in the other order. So the version that each order came with lately is remembered, in a
// table of fixed size: an older one that comes behind it is not copied. An order is not protected if another one took its place in
// the table within the microseconds between the two.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <levity/levity.hpp>
#include <levity/redis/client.hpp>
#include <levity/resilience/fallback.hpp>

#include "reference/order.hpp"

namespace orders {

/// keep() and find() from any task; run() by one.
class redis_copy {
public:
  explicit redis_copy(levity::redis::options server);
  redis_copy(const redis_copy&) = delete;
  redis_copy& operator=(const redis_copy&) = delete;

  /// The order as it is answered from now on. Never waits.
  void keep(const order_view& order);
  /// What was kept last, with its age; nothing if there is none, or nobody answers.
  levity::task<std::optional<levity::aged<std::string>>> find(std::uint64_t id);
  /// Writes copies until it is cancelled.
  levity::task<> run();

  struct figures {
    std::uint64_t copied = 0;
    std::uint64_t dropped = 0;
  };
  [[nodiscard]] figures look() const noexcept;

private:
  struct copy {
    std::int64_t made_ms = 0;  // by the wall clock
    order_view order;
  };
  struct version {
    std::uint64_t id = 0;
    std::uint32_t number = 0;
  };

  levity::redis::client client_;
  std::mutex lock_;  // never held over an await
  std::vector<version> lately_;  // guarded by lock_: by the last bits of the id
  levity::channel<copy> queue_;  // sent to under lock_
  // Relaxed: numbers, and nothing behind them.
  levity::atomic<std::uint64_t> copied_{0};
  levity::atomic<std::uint64_t> dropped_{0};
};

}  // namespace orders
