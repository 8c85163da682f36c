#include "levity/sync/semaphore.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

// A permit that goes from one to the other takes with it what was written.
LEVITY_SCENARIO(who_acquires_sees_what_was_written_before_the_release) {
  crew all;
  levity::semaphore permits(1);
  model::cell<int> inside{0};
  const auto section = [&]() -> task<> {
    co_await permits.acquire();
    inside.set(inside.get() + 1);
    permits.release();
  };
  all.together(section(), section());
  model::require(inside.get() == 2 && permits.try_acquire(), "each of them was inside");
}

// The first in line wants more than there is, and is cancelled: those behind it get what it held back.
LEVITY_SCENARIO(who_leaves_the_line_lets_the_next_one_go, {.executions_max = 1'000'000}) {
  crew all;
  levity::semaphore permits(0);
  job& wants_two = all.make([](levity::semaphore& from) -> task<> {
    try {
      co_await from.acquire(2);
      from.release(2);
    } catch (const levity::cancelled&) {
    }
  }(permits));
  job& wants_one = all.make([](levity::semaphore& from) -> task<> {
    co_await from.acquire();
    from.release();
  }(permits));
  all.runs(wants_two)();
  model::together(all.runs(wants_one), all.does([&] { permits.release(); }), all.does([&] { cancel(wants_two); }));
  all.check();
  model::require(permits.try_acquire(), "the permit is there again");
}

// The same with a task that has used up its budget, and makes its attempt when it runs again.
LEVITY_SCENARIO(a_task_without_budget_acquires_in_its_turn) {
  crew all;
  all.budget = 0;
  levity::semaphore permits(1);
  model::cell<int> inside{0};
  const auto section = [&]() -> task<> {
    co_await permits.acquire();
    inside.set(inside.get() + 1);
    permits.release();
  };
  all.together(section(), section());
  model::require(inside.get() == 2, "each of them was inside");
}

}  // namespace
