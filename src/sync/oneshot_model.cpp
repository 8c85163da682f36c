#include "levity/sync/oneshot.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::crew;
using levity::explored::job;

// Two completers, and the last copy that goes: the wait ends once, with what the first one brought.
LEVITY_SCENARIO(the_first_of_two_completers_ends_the_wait, {.executions_max = 1'000'000}) {
  crew all;
  model::cell<int> one{0};
  int got = -1;
  levity::oneshot<model::cell<int>*> answer;
  auto first = answer.get_completer();
  auto second = first;
  job& waits = all.make([](levity::oneshot<model::cell<int>*>& from, int& into) -> task<> {
    const auto value = co_await from.wait();
    model::require(value.has_value(), "somebody brought it");
    into = (*value)->get();
  }(answer, got));
  model::together(all.runs(waits), all.does([&] {
                    one.set(1);
                    static_cast<void>(first.complete(&one));
                  }),
                  all.does([&] { auto gone = std::move(second); }));
  all.check();
  model::require(got == 1, "what was brought is there");
}

}  // namespace
