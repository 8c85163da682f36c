#include "levity/sync/broadcast.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::broadcast;
using levity::broadcast_failure;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

// A receiver gets all that was sent, in order, or hears how many it has missed; and then that there will be no more.
task<> follows(broadcast<int>::receiver feed, int& got, int& missed) {
  for (int next = 1;; next++) {
    auto value = co_await feed.receive();
    if (value) {
      model::require(**value == next, "they come in their order");
      got++;
    } else if (value.error() == broadcast_failure::lagged) {
      missed += static_cast<int>(value.error().missed);
      next += static_cast<int>(value.error().missed) - 1;
    } else {
      model::require(value.error() == broadcast_failure::closed, "it was closed");
      co_return;
    }
  }
}

// One place: the second value may take that of the first before it was received.
LEVITY_SCENARIO(a_receiver_gets_each_value_or_hears_of_it, {.executions_max = 300'000}) {
  crew all;
  broadcast<int> events(1);
  int got = 0;
  int missed = 0;
  job& receives = all.make(follows(events.subscribe(), got, missed));
  model::together(all.runs(receives), all.does([&] {
    static_cast<void>(events.send(1));
    static_cast<void>(events.send(2));
    events.close();
  }));
  all.check();
  model::require(got + missed == 2 && got >= 1, "each value was received, or counted");
}

// Two that follow, one of which is cancelled: the other one misses nothing.
LEVITY_SCENARIO(a_receiver_that_is_cancelled_has_taken_nothing, {.executions_max = 300'000}) {
  crew all;
  broadcast<int> events(2);
  auto feed = events.subscribe();
  bool taken = false;
  job& receives = all.make([](broadcast<int>::receiver& from, bool& has) -> task<> {
    const auto value = co_await from.receive();
    has = value.has_value();
    model::require(has || value.error() == broadcast_failure::cancelled, "it is cancelled");
  }(feed, taken));
  model::together(all.runs(receives), all.does([&] { cancel(receives); }),
                  all.does([&] { static_cast<void>(events.send(1)); }));
  all.check();
  model::require(feed.try_receive().has_value() != taken, "the value was received, or is there");
}

}  // namespace
