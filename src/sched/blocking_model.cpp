#include "levity/sched/detail/apart_call.hpp"

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::apart_call;
using levity::detail::task_record;

class call final : public apart_call {
public:
  explicit call(int& made) noexcept : made_(made) {}

private:
  void make() noexcept override { made_++; }

  int& made_;
};

// E380: it is left behind before it begins, or while it is made; or answered. Whoever makes it ends the word by which the task has
// left it behind.
LEVITY_SCENARIO(a_call_is_answered_or_left_behind) {
  task_record task;
  int made = 0;
  bool over = false;
  bool abandoned = false;
  auto* const begun = new call(made);
  begun->task = &task;
  const unsigned before = apart_call::left_behind_approx();
  model::together(
      [&] {
        task_record* const wakes = begun->carry_out();
        over = wakes != nullptr;
        model::require(!over || wakes == &task, "the task that waits is woken");
      },
      [&] { abandoned = begun->abandon(); });
  model::require(over != abandoned, "it was answered, or left behind");
  model::require(made == 1 || abandoned, "a call that is answered was made");
  model::require(apart_call::left_behind_approx() == before, "none is left behind for ever");
  if (over) delete begun;
}

// None that a task has left behind is missing in the count, for who sees that the task has gone on.
LEVITY_SCENARIO(a_call_that_is_left_behind_is_counted) {
  task_record task;
  int made = 0;
  auto* const begun = new call(made);
  begun->task = &task;
  const unsigned before = apart_call::left_behind_approx();
  levity::atomic<bool> gone_on{false};
  model::require(begun->abandon(), "nobody has made it yet");
  model::together([&] { gone_on.store(true, std::memory_order_release); },
                  [&] {
                    if (!gone_on.load(std::memory_order_acquire)) return;
                    model::require(apart_call::left_behind_approx() == before + 1, "it is counted");
                    static_cast<void>(begun->carry_out());
                    model::require(apart_call::left_behind_approx() == before, "it is gone");
                  });
  if (apart_call::left_behind_approx() != before) static_cast<void>(begun->carry_out());
}

}  // namespace
