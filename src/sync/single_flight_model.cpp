#include "levity/sync/single_flight.hpp"

#include "levity/sync/event.hpp"
#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

using flights = levity::single_flight<int, int>;

// Two who ask for the same: one fetches, or one after the other; what was fetched is there for both, and the flight goes once.
LEVITY_SCENARIO(who_asks_meanwhile_gets_the_result_of_the_leader, {.executions_max = 8'000}) {
  crew all;
  flights open;
  model::cell<int> source{6};
  levity::atomic<int> fetched{0};
  const auto asks = [&]() -> task<> {
    const int got = co_await open.run(1, [&]() -> task<int> {
      fetched.fetch_add(1, std::memory_order_relaxed);
      co_return source.get() + 1;
    });
    model::require(got == 7, "the result is there");
  };
  all.together(asks(), asks());
  const int times = fetched.load(std::memory_order_relaxed);
  model::require(times == 1 || times == 2, "somebody fetched it");
  model::require(open.size_approx() == 0, "no flight is left");
}

// The leader is cancelled while it fetches: who waits leads, and nobody fails for that.
LEVITY_SCENARIO(a_follower_leads_when_the_leader_gives_up, {.executions_max = 100'000}) {
  crew all;
  flights open;
  levity::event arrived;
  int got = 0;
  job& leads = all.make([](flights& of, levity::event& on) -> task<> {
    try {
      static_cast<void>(co_await of.run(1, [&on]() -> task<int> {
        co_await on.wait();
        co_return 1;
      }));
    } catch (const levity::cancelled&) {
    }
  }(open, arrived));
  job& follows = all.make([](flights& of, int& into) -> task<> {
    into = co_await of.run(1, []() -> task<int> { co_return 2; });
  }(open, got));
  all.runs(leads)();
  model::together(all.runs(follows), all.does([&] { cancel(leads); }));
  all.check();
  model::require(got == 2, "the follower has fetched it");
  model::require(open.size_approx() == 0, "no flight is left");
}

}  // namespace
