#include "levity/task/stop.hpp"

#include "levity/sync/event.hpp"
#include "tests/support/explored_family.hpp"
#include "tests/support/explored_stop.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::family;
using levity::explored::job;

task<int> waits_for(levity::event& on) {
  co_await on.wait();
  co_return 1;
}

// What is told to stop: before its task begins, while it waits, or while it ends.
task<> stops(std::stop_token token, levity::event& on, bool& was_stopped, bool& over) {
  const auto outcome = co_await levity::with_stop(token, waits_for(on));
  was_stopped = !outcome.has_value();
  model::require(was_stopped || *outcome == 1, "its value is there");
  over = true;
}

// Nobody else ends the wait inside.
LEVITY_SCENARIO(who_is_told_to_stop_ends_what_is_inside, {.executions_max = 100'000}) {
  family all;
  std::stop_source source;
  levity::event never;
  bool was_stopped = false;
  bool over = false;
  job& runs = all.make(stops(source.get_token(), never, was_stopped, over));
  model::together(all.runs(runs), all.takes(0), all.does([&] { source.request_stop(); }));
  all.check();
  model::require(over && was_stopped, "it was stopped");
}

// It ends by itself while it is told to stop: the scope that the callback cancels goes when that is over.
LEVITY_SCENARIO(what_ends_while_it_is_told_to_stop_ends_once, {.executions_max = 100'000}) {
  family all;
  std::stop_source source;
  levity::event happened;
  bool was_stopped = false;
  bool over = false;
  happened.set();
  job& runs = all.make(stops(source.get_token(), happened, was_stopped, over));
  model::together(all.runs(runs), all.takes(0), all.does([&] { source.request_stop(); }));
  all.check();
  model::require(over, "it has ended");
}

}  // namespace
