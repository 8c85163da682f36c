#include "levity/resilience/bulkhead.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

// Crews have no timers: those who wait here do so for as long as it takes.
constexpr levity::bulkhead_options one_place{.concurrent_max = 1, .waiting_max = 4, .wait_max = levity::duration::max()};

// A place that goes from one call to the next takes with it what was written inside.
LEVITY_SCENARIO(who_is_admitted_sees_what_was_written_inside_before, {.executions_max = 1'000'000}) {
  crew all;
  levity::bulkhead hull(one_place);
  model::cell<int> inside{0};
  const auto visit = [&]() -> task<> {
    const auto place = co_await hull.admit();
    model::require(place.has_value(), "there is room to wait");
    inside.set(inside.get() + 1);
  };
  all.together(visit(), visit());
  model::require(inside.get() == 2 && hull.look().inside == 0, "each of them was inside, and left");
}

// The place is given back just as the one who waits for it is cancelled: it has it, and gives it back, or never gets it.
LEVITY_SCENARIO(a_place_is_not_lost_to_who_is_cancelled_as_it_comes, {.executions_max = 1'000'000}) {
  crew all;
  levity::bulkhead hull(one_place);
  auto place = hull.try_admit(levity::time_point{});
  job& waits = all.make([](levity::bulkhead& to) -> task<> {
    try {
      const auto got = co_await to.admit();
    } catch (const levity::cancelled&) {
    }
  }(hull));
  model::together(all.runs(waits), all.does([&] { place->record(levity::verdict::success, levity::time_point{}); }),
                  all.does([&] { cancel(waits); }));
  all.check();
  const auto looked = hull.look();
  model::require(looked.inside == 0 && looked.waiting == 0, "nobody is left");
  model::require(hull.try_admit(levity::time_point{}).has_value(), "the place is there again");
}

// The same with a task that has used up its budget, and asks when it runs again.
LEVITY_SCENARIO(a_task_without_budget_is_admitted_in_its_turn, {.executions_max = 1'000'000}) {
  crew all;
  all.budget = 0;
  levity::bulkhead hull(one_place);
  model::cell<int> inside{0};
  const auto visit = [&]() -> task<> {
    const auto place = co_await hull.admit();
    model::require(place.has_value(), "there is room to wait");
    inside.set(inside.get() + 1);
  };
  all.together(visit(), visit());
  model::require(inside.get() == 2, "each of them was inside");
}

}  // namespace
