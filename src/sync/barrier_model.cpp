#include "levity/sync/barrier.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::barrier;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

// What each wrote before its arrival all see after the phase, and one of them was the last. Twice: the phases do not mix.
LEVITY_SCENARIO(all_go_on_when_the_last_has_come, {.executions_max = 1'000'000}) {
  crew all;
  barrier meet(2);
  model::cell<int> written[2];
  int last = 0;
  const auto comes = [&](int self) -> task<> {
    for (int phase = 1; phase <= 2; phase++) {
      written[self].set(phase);
      if (co_await meet.arrive_and_wait()) last++;
      model::require(written[1 - self].get() == phase, "what the other wrote before its arrival is there");
      static_cast<void>(co_await meet.arrive_and_wait());
    }
  };
  all.together(comes(0), comes(1));
  model::require(last == 2, "one is the last of each phase");
}

// Who is cancelled takes its arrival back, and somebody else has to come; or the phase was complete, and it goes on.
LEVITY_SCENARIO(who_is_cancelled_before_the_others_come_has_not_arrived, {.executions_max = 1'000'000}) {
  crew all;
  barrier meet(2);
  bool refused = false;
  job& waits = all.make([](barrier& at, bool& not_let_go) -> task<> {
    try {
      static_cast<void>(co_await at.arrive_and_wait());
    } catch (const levity::cancelled&) {
      not_let_go = true;
    }
  }(meet, refused));
  const auto comes = [&]() -> task<> { static_cast<void>(co_await meet.arrive_and_wait()); };
  model::together(all.runs(waits), all.runs(comes()), all.does([&] { cancel(waits); }));
  if (refused) all.runs(comes())();
  all.check();
}

// A party that leaves is not waited for.
LEVITY_SCENARIO(who_leaves_a_barrier_lets_the_others_go, {.executions_max = 1'000'000}) {
  crew all;
  barrier meet(2);
  model::cell<int> written{0};
  job& waits = all.make([](barrier& at, model::cell<int>& data) -> task<> {
    static_cast<void>(co_await at.arrive_and_wait());
    static_cast<void>(co_await at.arrive_and_wait());
    model::require(data.get() == 1, "what was written before the other left is there");
  }(meet, written));
  model::together(all.runs(waits), all.does([&] {
    written.set(1);
    meet.arrive_and_drop();
  }));
  all.check();
}

}  // namespace
