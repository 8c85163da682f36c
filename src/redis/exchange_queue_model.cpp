#include "redis/exchange_queue.hpp"

#include <array>
#include <string>

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
namespace redis = levity::redis;
using levity::task;
using levity::explored::cancel;
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

// A connection that takes what is queued and answers it, until so many callers have come to an end. The first of them ends
// without an answer where `breaks` says so.
auto carries(exchange_queue& queue, int callers, levity::atomic<int>& ended, bool breaks = false) {
  return [&queue, callers, &ended, breaks]() mutable {
    std::array<exchange*, exchange_queue::slice_max> slice{};
    while (ended.load(std::memory_order_relaxed) < callers) {
      const std::size_t count = queue.take(slice, 1000);
      if (count == 0) {
        levity::spin_hint();
        continue;
      }
      std::array<std::string, 4> texts;
      for (std::size_t i = 0; i < count; i++) texts[i] = slice[i]->what.word(1);
      queue.mark_sent({slice.data(), count});
      if (breaks) {
        breaks = false;
        queue.fail_sent(redis::error::of_io(levity::io_failure::reset, true));
        continue;
      }
      for (std::size_t i = 0; i < count; i++) {
        model::require(queue.answer(redis::value::of_text(texts[i])), "somebody has sent it");
      }
    }
  };
}

// One that waits, or has not begun to, when its reply comes.
LEVITY_SCENARIO(each_of_two_commands_gets_its_own_reply) {
  crew all;
  exchange_queue queue(4);
  levity::atomic<int> answered{0};
  levity::atomic<int> ended{0};
  job& one = all.make(asks(queue, "one", 0, answered, ended));
  job& other = all.make(asks(queue, "other", 0, answered, ended));
  model::together(all.runs(one), all.runs(other), all.does(carries(queue, 2, ended)));
  all.check();
  model::require(answered.load(std::memory_order_relaxed) == 2, "each has its reply");
}

// A caller that leaves: before it is sent, after, or when the reply is there.
LEVITY_SCENARIO(a_caller_that_leaves_is_answered_or_told) {
  crew all;
  exchange_queue queue(4);
  levity::atomic<int> answered{0};
  levity::atomic<int> ended{0};
  job& one = all.make(asks(queue, "one", 0, answered, ended));
  model::together(all.runs(one), all.does(carries(queue, 1, ended)), all.does([&] { cancel(one); }));
  all.check();
  model::require(ended.load(std::memory_order_relaxed) == 1, "it came to an end");
}

// The connection is lost; what may be repeated is sent once more, unless its caller has left.
LEVITY_SCENARIO(a_caller_leaves_while_its_command_is_queued_once_more) {
  crew all;
  exchange_queue queue(4);
  levity::atomic<int> answered{0};
  levity::atomic<int> ended{0};
  job& one = all.make(asks(queue, "one", 1, answered, ended));
  model::together(all.runs(one), all.does(carries(queue, 1, ended, true)), all.does([&] { cancel(one); }));
  all.check();
  model::require(ended.load(std::memory_order_relaxed) == 1, "it came to an end");
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
