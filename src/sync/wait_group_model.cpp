#include "levity/sync/wait_group.hpp"

#include <memory>

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::wait_group;
using levity::explored::crew;
using levity::explored::job;

LEVITY_SCENARIO(who_waits_for_a_group_sees_what_was_written_before_done, {.executions_max = 1'000'000}) {
  crew all;
  wait_group work(2);
  model::cell<int> first{0};
  model::cell<int> second{0};
  const auto does = [&](model::cell<int>& part) {
    return all.does([&] {
      part.set(1);
      work.done();
    });
  };
  job& waits = all.make([](wait_group& on, model::cell<int>& one, model::cell<int>& two) -> task<> {
    co_await on.wait();
    model::require(one.get() == 1 && two.get() == 1, "what was written before done() is there");
  }(work, first, second));
  model::together(all.runs(waits), does(first), does(second));
  all.check();
}

// The wait is over, and with it the group, while done() may not be.
LEVITY_SCENARIO(a_group_goes_when_its_wait_is_over) {
  crew all;
  auto work = std::make_unique<wait_group>(1);
  wait_group& on = *work;
  job& waits = all.make([](std::unique_ptr<wait_group>& owned) -> task<> {
    co_await owned->wait();
    owned.reset();
  }(work));
  model::together(all.runs(waits), all.does([&] { on.done(); }));
  all.check();
}

LEVITY_SCENARIO(a_wait_for_a_group_ends_by_its_last_or_by_a_cancellation, {.executions_max = 1'000'000}) {
  crew all;
  wait_group work(1);
  model::cell<int> written{0};
  job& waits = all.make([](wait_group& on, model::cell<int>& data) -> task<> {
    try {
      co_await on.wait();
      model::require(data.get() == 1, "what was written before done() is there");
    } catch (const levity::cancelled&) {
    }
  }(work, written));
  model::together(all.runs(waits), all.does([&] { cancel(waits); }), all.does([&] {
    written.set(1);
    work.done();
  }));
  all.check();
}

}  // namespace
