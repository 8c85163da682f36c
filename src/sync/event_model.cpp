#include "levity/sync/event.hpp"

#include <memory>

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

// E51 where the wait comes late, E2 where it comes early.
LEVITY_SCENARIO(who_waits_for_an_event_sees_what_was_written_before) {
  crew all;
  levity::event happened;
  model::cell<int> written{0};
  job& waits = all.make([](levity::event& on, model::cell<int>& data) -> task<> {
    co_await on.wait();
    model::require(data.get() == 1, "what was written before set() is there");
  }(happened, written));
  model::together(all.runs(waits), all.does([&] {
    written.set(1);
    happened.set();
  }));
  all.check();
}

// A wait goes on, though reset() follows at once.
LEVITY_SCENARIO(an_event_that_is_reset_lets_go_who_waited, {.executions_max = 1'000'000}) {
  crew all;
  levity::event happened;
  levity::event asked;
  job& waits = all.make([](levity::event& on, levity::event& tells) -> task<> {
    tells.set();
    co_await on.wait();
  }(happened, asked));
  job& sets = all.make([](levity::event& on, levity::event& told) -> task<> {
    co_await told.wait();
    on.set();
    on.reset();
    on.set();
  }(happened, asked));
  model::together(all.runs(waits), all.runs(sets));
  all.check();
}

// Who came too late to wait destroys the event while set() is not over.
LEVITY_SCENARIO(an_event_goes_when_its_wait_is_over) {
  crew all;
  auto happened = std::make_unique<levity::event>();
  levity::event& on = *happened;
  job& waits = all.make([](std::unique_ptr<levity::event>& owned) -> task<> {
    co_await owned->wait();
    owned.reset();
  }(happened));
  model::together(all.runs(waits), all.does([&] { on.set(); }));
  all.check();
}

// A cancellation and set() at once: one of them ends the wait, once.
LEVITY_SCENARIO(a_wait_is_ended_by_the_event_or_by_its_cancellation, {.executions_max = 1'000'000}) {
  crew all;
  levity::event happened;
  model::cell<int> written{0};
  job& waits = all.make([](levity::event& on, model::cell<int>& data) -> task<> {
    try {
      co_await on.wait();
      model::require(data.get() == 1, "what was written before set() is there");
    } catch (const levity::cancelled& why) {
      model::require(why.reason() == levity::cancel_reason::requested, "the reason is told");
    }
  }(happened, written));
  model::together(all.runs(waits), all.does([&] {
                    written.set(1);
                    happened.set();
                  }),
                  all.does([&] {
                    cancel(waits);
                  }));
  all.check();
}

}  // namespace
