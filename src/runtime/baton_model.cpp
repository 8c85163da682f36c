#include "levity/runtime/detail/baton.hpp"

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using namespace levity::detail;

// E31. It may be gone when it is posted: who waits ends it.
LEVITY_SCENARIO(who_waits_for_a_baton_sees_what_came_before) {
  model::cell<int> written{0};
  baton passed;
  model::together(
      [&] {
        written.set(1);
        passed.post();
      },
      [&] {
        passed.wait();
        model::require(written.get() == 1, "what came before is there");
      });
}

LEVITY_SCENARIO(who_finds_a_baton_posted_sees_what_came_before) {
  model::cell<int> written{0};
  baton passed;
  model::together(
      [&] {
        written.set(1);
        passed.post();
      },
      [&] {
        if (passed.is_posted()) model::require(written.get() == 1, "what came before is there");
      });
}

}  // namespace
