#include "redis/exchange_queue.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
namespace redis = levity::redis;
using levity::task;
using levity::explored::crew;
using levity::explored::job;
using redis::detail::exchange;
using redis::detail::exchange_queue;

// As trunk::ask() does, without a permit. Counts who was answered, and who has come to an end.
task<> asks(exchange_queue& queue, const char* text, unsigned repeats, levity::atomic<int>& answered, levity::atomic<int>& ended) {
  auto* const one = new exchange(redis::request("ECHO", text), 0, repeats, false);
  const levity::cancel_reason why = co_await exchange_queue::reply_wait{queue, *one};
  const redis::result<redis::value> outcome = queue.leave(*one, why);
  if (outcome) {
    model::require(outcome->text() == text, "the reply is that to its own command");
    answered.fetch_add(1, std::memory_order_relaxed);
  }
  ended.fetch_add(1, std::memory_order_relaxed);
}

// Closed while one comes: it is refused, or failed.
LEVITY_SCENARIO(who_comes_while_it_is_closed_is_told) {
  crew all;
  exchange_queue queue(4);
  levity::atomic<int> answered{0};
  levity::atomic<int> ended{0};
  job& one = all.make(asks(queue, "one", 0, answered, ended));
  model::together(all.runs(one), all.does([&] { queue.close(redis::error::of_io(levity::io_failure::closed, false)); }));
  all.check();
  model::require(ended.load(std::memory_order_relaxed) == 1 && answered.load(std::memory_order_relaxed) == 0, "it was told");
}

}  // namespace
