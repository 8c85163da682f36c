#include "levity/task/task_local.hpp"

#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using levity::explored::crew;
using levity::explored::job;
using namespace levity::detail;

struct watched {
  model::cell<int>* uses = nullptr;  // none that was moved from
  explicit watched(model::cell<int>& of) noexcept : uses(&of) {}
  watched(watched&& other) noexcept : uses(std::exchange(other.uses, nullptr)) {}
  ~watched() {
    if (uses != nullptr) uses->set(2);
  }
};

const levity::task_local<watched> value{"value"};

// E120: whoever drops the last reference destroys the value, after the others have used it.
LEVITY_SCENARIO(a_value_goes_when_all_tasks_have_used_it) {
  crew all;
  model::cell<int> uses{0};
  const auto child = []() -> task<> {
    model::require(value.get()->uses->get() == 0, "the value is there");
    drop_inherited_locals(running_task());
    co_return;
  };
  job& first = all.make(child());
  job& second = all.make(child());
  job& parent = all.make([](job& one, job& other, model::cell<int>& of) -> task<> {
    const auto bound = value.bind(watched(of));
    inherit_locals(one, *bound_in(running_task()));
    inherit_locals(other, *bound_in(running_task()));
    co_return;
  }(first, second, uses));
  all.runs(parent)();
  model::together(all.runs(first), all.runs(second));
  all.check();
  model::require(uses.get() == 2, "it was destroyed");
}

}  // namespace
