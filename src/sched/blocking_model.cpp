#include "levity/sched/blocking.hpp"

#include <cerrno>
#include <exception>
#include <memory>
#include <system_error>
#include <utility>

#include "levity/model/scenario.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "reactor/still_reactor.hpp"
#include "sched/blocking.hpp"
#include "sched/explored_watchdog.hpp"
#include "sched/scheduler.hpp"
#include "sched/worker.hpp"
#include "tests/support/explored_kernel.hpp"

namespace {

namespace model = levity::model;
using levity::task;
using namespace levity::detail;

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

scheduler_options with_one_reactor() {
  scheduler_options made;
  made.reactors.push_back(std::make_unique<still_reactor>());
  made.stuck_threads_max = 2;
  return made;
}

// Tasks as users write them, a worker with the only slot, and a spare that may get it.
struct office {
  scheduler all{with_one_reactor()};
  worker& holder{all.first()};
  const std::unique_ptr<worker> spare{std::make_unique<worker>(all, 1, worker::slot{}, 7)};
  explored_watchdog dog{all.guard};

  office() { dog.prepare(*spare); }

  // `main` is the only child of the root scope: everything ends with it.
  template <class... Others>
  void run(task<> main, Others... others) {
    auto frame = std::move(main).release_frame();
    all.root().adopt(frame, frame.promise(), "main", std::source_location::current());
    model::together(
        [this] {
          holder.run();
          spare->unpark();  // the scheduler does not know of it
          dog.stop();
        },
        [this] { spare->run(); }, others...);
    model::require(all.root().failure == nullptr, "nothing is thrown");
  }

  // As soon as a call is seen.
  auto takes() {
    return [this] {
      const std::uint64_t call = holder.call_seen();
      if (worker::is_call(call)) static_cast<void>(dog.take_from_call(holder, call));
    };
  }
};

// E182, E360: blocking() itself. Its thread is detached from the slot, or not; the task goes on once, with what the call brought.
LEVITY_SCENARIO(a_task_goes_on_once_after_its_call, {.executions_max = 8'000}) {
  office all;
  model::cell<int> made{0};
  int went_on = 0;
  all.run([](model::cell<int>& calls, int& times) -> task<> {
    const auto call = [](model::cell<int>* count) {
      count->set(count->get() + 1);
      return count->get();
    };
    for (int turn = 1; turn <= 2; turn++) {
      const int got = co_await levity::blocking(call, &calls);
      model::require(got == turn && calls.get() == turn, "what the call wrote and returned is there");
      times++;
    }
  }(made, went_on), all.takes());
  model::require(went_on == 2, "each call is made once, and its task goes on once");
}

// The slot is taken in any case: the task is queued for whoever has it now, while its thread is on its way out of the call. By
// chance, which comes by there at once; in order, that is after the many ways in which the workers fall asleep afterwards.
LEVITY_SCENARIO(a_task_whose_call_lasts_goes_on_once, {.how = model::options::mode::random, .executions_max = 8'000}) {
  office all;
  model::cell<int> made{0};
  levity::atomic<bool> is_taken{false};
  int went_on = 0;
  const auto takes = [&] {
    std::uint64_t call = all.holder.call_seen();
    while (!worker::is_call(call) || !all.dog.take_from_call(all.holder, call)) {
      levity::spin_hint();
      call = all.holder.call_seen();
    }
    is_taken.store(true, std::memory_order_relaxed);
  };
  all.run([](model::cell<int>& calls, levity::atomic<bool>& taken, int& times) -> task<> {
    const auto call = [](model::cell<int>* count, levity::atomic<bool>* until) {
      while (!until->load(std::memory_order_relaxed)) levity::spin_hint();
      count->set(1);
      return 7;
    };
    const int got = co_await levity::blocking(call, &calls, &taken);
    model::require(got == 7 && calls.get() == 1, "what the call wrote and returned is there");
    times++;
  }(made, is_taken, went_on), takes);
  model::require(went_on == 1, "the task goes on once");
}

// It says whether it was answered.
task<> calls_until_it_is_cancelled(int& went_on, bool& answered) {
  auto kept = std::make_unique<model::cell<int>>(1);
  const auto call = [](const std::unique_ptr<model::cell<int>>& of) {
    of->set(of->get() + 1);
    return of->get();
  };
  try {
    const int got = co_await levity::blocking({.abandon_on_cancel = true}, call, std::move(kept));
    model::require(got == 2, "what the call returned is there");
    answered = true;
  } catch (const levity::cancelled& why) {
    model::require(why.reason() == levity::cancel_reason::requested, "the reason is told");
  }
  went_on++;
}

// E380: the task is cancelled while its thread makes the call, and perhaps loses the slot. What the call uses goes with it.
LEVITY_SCENARIO(a_task_that_leaves_its_call_behind_goes_on_once, {.executions_max = 8'000}) {
  office all;
  int went_on = 0;
  bool answered = false;
  const unsigned before = apart_call::left_behind_approx();
  all.run(calls_until_it_is_cancelled(went_on, answered), all.takes(),
          [&] { all.all.root().cancel(levity::cancel_reason::requested); });
  model::require(went_on == 1, "the task goes on once");
  model::require(apart_call::left_behind_approx() == before, "none is left behind for ever");
}

// It is cancelled before it waits: the call is not made, and none is left behind.
LEVITY_SCENARIO(a_call_of_a_task_that_is_cancelled_before_is_not_counted, {.executions_max = 100}) {
  office all;
  int went_on = 0;
  bool answered = false;
  const unsigned before = apart_call::left_behind_approx();
  all.all.root().cancel(levity::cancel_reason::requested);
  all.run(calls_until_it_is_cancelled(went_on, answered));
  model::require(went_on == 1 && !answered, "it is cancelled");
  model::require(apart_call::left_behind_approx() == before, "none is left behind for ever");
}

// A job of a pool, whose thread tells who it is by a word of its own.
struct told_job final : blocking_job {
  told_job() : blocking_job{} {
    run = [](blocking_job& self) noexcept {
      auto& job = static_cast<told_job&>(self);
      model::require(submits == nullptr || submits == &job, "who submits makes no job of others");
      job.times.set(job.times.get() + 1);
      job.is_made.store(true, std::memory_order_release);
    };
  }
  // With submits: whose job it is that this thread submits.
  template <class Submit>
  void submitted_by(Submit submit) {
    submits = this;
    submit();
    submits = nullptr;
  }

  static inline constinit thread_local told_job* submits = nullptr;

  model::cell<int> times{0};
  levity::atomic<bool> is_made{false};
};

[[maybe_unused]] const bool who_submits_is_known = [] {
  model::per_thread(told_job::submits);
  return true;
}();

// Two are submitted at once; threads begin, wait for more, and go.
LEVITY_SCENARIO(each_job_of_a_pool_is_made_once_before_that_ends, {.executions_max = 8'000, .timeouts = true}) {
  told_job one;
  told_job other;
  {
    blocking_pool pool;
    model::together([&] { pool.submit(one); }, [&] { pool.submit(other); });
  }
  model::require(one.times.get() == 1 && other.times.get() == 1, "each job is made once");
}

// One that need not wait, beside one that must be made; the kernel has no thread for either.
LEVITY_SCENARIO(whose_thread_is_refused_makes_its_own_job_alone, {.executions_max = 8'000}) {
  struct : levity::explored::kernel {
    const std::exception_ptr why = std::make_exception_ptr(std::system_error(EAGAIN, std::generic_category()));
    std::exception_ptr refuses_thread() noexcept override { return why; }
  } answers;
  told_job one;
  told_job other;
  blocking_pool pool;
  bool accepted = false;
  model::together([&] { one.submitted_by([&] { pool.submit(one); }); },
                  [&] { other.submitted_by([&] { accepted = pool.submit_at_once(other); }); });
  model::require(one.times.get() == 1, "who may wait makes his job himself");
  model::require(!accepted && other.times.get() == 0, "the other is told that nobody makes it");
  model::require(pool.threads_approx() == 0, "no thread is counted that there is none of");
}

}  // namespace
