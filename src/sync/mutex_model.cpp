#include "levity/sync/mutex.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

// E50: both ways of unlock(). E2, E3 where the second one had to wait: it goes on in the thread of the first.
LEVITY_SCENARIO(what_an_owner_wrote_the_next_one_sees) {
  crew all;
  levity::mutex lock;
  model::cell<int> inside{0};
  const auto section = [&]() -> task<> {
    const auto held = co_await lock.lock();
    inside.set(inside.get() + 1);
  };
  all.together(section(), section());
  model::require(inside.get() == 2, "each of them was inside");
}

// E50 where nobody waits.
LEVITY_SCENARIO(who_tries_the_mutex_sees_what_its_owner_wrote) {
  crew all;
  levity::mutex lock;
  model::cell<int> inside{0};
  const auto tries = [&] {
    if (const auto held = lock.try_lock()) inside.set(inside.get() + 1);
  };
  model::together(all.does(tries), all.does(tries), all.does(tries));
  model::require(inside.get() >= 1, "somebody found it free");
}

// E50 at the unlock that finds nobody in the queue: the one who waited has been cancelled.
LEVITY_SCENARIO(what_an_owner_wrote_is_seen_when_nobody_waits_any_more) {
  crew all;
  levity::mutex lock;
  model::cell<int> inside{0};
  job& waits = all.make([](levity::mutex& wanted) -> task<> {
    try {
      const auto held = co_await wanted.lock();
      model::require(false, "somebody else owns it");
    } catch (const levity::cancelled&) {
    }
  }(lock));
  auto held = lock.try_lock();
  all.runs(waits)();
  cancel(waits);
  all.run_ready();
  model::together(all.does([&] {
                    inside.set(1);
                    held.unlock();
                  }),
                  all.does([&] {
                    if (const auto mine = lock.try_lock()) model::require(inside.get() == 1, "what the owner wrote is there");
                  }));
  all.check();
}

// The same race in full: who waits gets the mutex or is refused, and somebody tries it besides.
LEVITY_SCENARIO(a_waiter_that_is_cancelled_leaves_the_mutex_to_others, {.executions_max = 300'000}) {
  crew all;
  levity::mutex lock;
  model::cell<int> inside{0};
  bool refused = false;
  const auto section = [&]() -> task<> {
    const auto held = co_await lock.lock();
    inside.set(inside.get() + 1);
  };
  job& waits = all.make([](levity::mutex& wanted, model::cell<int>& data, bool& not_let_in) -> task<> {
    try {
      const auto held = co_await wanted.lock();
      data.set(data.get() + 1);
    } catch (const levity::cancelled&) {
      not_let_in = true;
    }
  }(lock, inside, refused));
  job& owns = all.make(section());
  model::together(all.runs(owns), all.runs(waits), all.does([&] {
    cancel(waits);
    if (const auto held = lock.try_lock()) inside.set(inside.get() + 1);
  }));
  all.check();
  model::require(inside.get() >= (refused ? 1 : 2), "who was not refused was inside");
  model::require(static_cast<bool>(lock.try_lock()), "it is free at the end");
}

}  // namespace
