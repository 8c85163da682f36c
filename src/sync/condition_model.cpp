#include "levity/sync/condition.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

task<> wait_for(levity::mutex& lock, levity::condition& changed, model::cell<int>& value, bool& refused) {
  auto held = co_await lock.lock();
  try {
    co_await changed.wait(held, [&] { return value.get() != 0; });
    value.set(value.get() + 1);
  } catch (const levity::cancelled&) {
    refused = true;
    model::require(!held, "who is cancelled does not hold the mutex");
  }
}

task<> change(levity::mutex& lock, levity::condition& changed, model::cell<int>& value) {
  {
    const auto held = co_await lock.lock();
    value.set(value.get() + 1);
  }
  changed.notify_one();
}

// A notification is not lost between the look at the predicate and the wait.
LEVITY_SCENARIO(who_waits_for_a_condition_hears_of_the_change, {.executions_max = 1'000'000}) {
  crew all;
  levity::mutex lock;
  levity::condition changed;
  model::cell<int> value{0};
  bool refused = false;
  all.together(wait_for(lock, changed, value, refused), change(lock, changed, value));
  model::require(value.get() == 2 && !refused, "it was heard");
}

// A notification that a cancelled task had got goes to the next one.
LEVITY_SCENARIO(a_notification_for_who_is_cancelled_goes_on, {.executions_max = 1'000'000}) {
  crew all;
  levity::mutex lock;
  levity::condition changed;
  model::cell<int> value{0};
  bool first_refused = false;
  bool second_refused = false;
  job& first = all.make(wait_for(lock, changed, value, first_refused));
  job& second = all.make(wait_for(lock, changed, value, second_refused));
  all.runs(first)();
  all.runs(second)();
  model::together(all.runs(change(lock, changed, value)), all.does([&] { cancel(first); }));
  if (!second.ended) {  // the first one heard of it, and was not cancelled
    changed.notify_one();
    all.run_ready();
  }
  all.check();
  model::require(!second_refused, "nobody cancelled the second");
}

}  // namespace
