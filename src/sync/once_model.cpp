#include "levity/sync/once.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::crew;

// E52.
LEVITY_SCENARIO(who_finds_it_done_sees_what_the_work_wrote) {
  crew all;
  levity::once first;
  model::cell<int> made{0};
  const auto uses = [&]() -> task<> {
    co_await first.call([&]() -> task<> {
      made.set(made.get() + 1);
      co_return;
    });
    model::require(made.get() == 1, "it is done, once");
  };
  all.together(uses(), uses());
}

}  // namespace
