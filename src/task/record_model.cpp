#include "levity/task/detail/record.hpp"

#include <array>

#include "levity/task/shield.hpp"
#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::cancel_reason;
using levity::task;
using levity::explored::crew;
using levity::explored::job;
using namespace levity::detail;

// Something to wait for that has no order of its own: who wakes and who waits meet in the record alone. `state` says, as a lock of
// a primitive would, which of wake-up and cancellation comes first.
class bell : public waiter {
public:
  explicit bell() noexcept : waiter{&reason_of_bell} {}
  bell(const bell&) = delete;
  bell& operator=(const bell&) = delete;

  bool await_ready() const noexcept { return false; }
  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    task_record& self = running_task();
    prepare_wait(self, frame, *this);
    note.set(1);
    return commit_wait(self);
  }
  void await_resume() noexcept { note.set(2); }

  model::cell<int> note{0};  // for who holds the record
  levity::atomic<int>* state = nullptr;
  model::cell<int>* taken_back = nullptr;

  static bool take_back(waiter& self, task_record& record) noexcept {
    auto& of = static_cast<bell&>(self);
    static_cast<void>(of.note.get());
    if (of.state == nullptr) return false;
    int expected = 0;
    if (!of.state->compare_exchange_strong(expected, 2, std::memory_order_relaxed, std::memory_order_relaxed)) return false;
    of.taken_back->set(static_cast<int>(effective_cancel(record)));
    return true;
  }

  static const levity::wait_reason reason_of_bell;
};

const levity::wait_reason bell::reason_of_bell{"bell", &bell::take_back, nullptr, nullptr};

// A wake-up of a wait that somebody may take back: once, and not both.
void ring(job& waits, levity::atomic<int>& state) {
  int expected = 0;
  if (state.compare_exchange_strong(expected, 1, std::memory_order_relaxed, std::memory_order_relaxed)) wake(waits);
}

// A look at a task that waits, as a dump takes it.
void inspect(job& one) {
  if (!try_hold(one)) return;
  model::require(static_cast<bell*>(one.waits_on)->note.get() == 1, "who is held stands still");
  release_hold(one);
}

// E2 both ways, and E3: it goes on in its own thread, or in that of its waker.
LEVITY_SCENARIO(a_task_that_is_woken_sees_its_waker_and_itself) {
  crew all;
  model::cell<int> written{0};
  job& waits = all.make([](model::cell<int>& data) -> task<> {
    model::cell<int> own{1};
    bell one;
    own.set(2);
    co_await one;
    model::require(own.get() == 2 && data.get() == 1, "all of it is there");
    own.set(3);
  }(written));
  model::together(all.runs(waits), all.does([&] {
    written.set(1);
    wake(waits);
  }));
  all.check();
}

// Twice: the phase of the first wait is left behind.
LEVITY_SCENARIO(a_wake_up_is_of_one_wait) {
  crew all;
  model::cell<int> written{0};
  levity::atomic<int> turn{0};
  job& waits = all.make([](model::cell<int>& data, levity::atomic<int>& turns) -> task<> {
    {
      bell first;
      co_await first;
    }
    model::require(data.get() == 1, "the first");
    turns.store(1, std::memory_order_release);
    {
      bell second;
      co_await second;
    }
    model::require(data.get() == 2, "the second");
  }(written, turn));
  model::together(all.runs(waits),
                  all.does([&] {
                    written.set(1);
                    wake(waits);
                  }),
                  all.does([&] {
                    while (turn.load(std::memory_order_acquire) == 0) levity::spin_hint();
                    written.set(2);
                    wake(waits);
                  }));
  all.check();
}

// E3, E4: a hold, and the wake-up that comes before, meanwhile, or after.
LEVITY_SCENARIO(a_task_that_is_held_stands_still) {
  crew all;
  job& waits = all.make([]() -> task<> {
    bell one;
    co_await one;
  }());
  model::together(all.runs(waits), all.does([&] { wake(waits); }), all.does([&] { inspect(waits); }));
  all.check();
}

// E4 from hold to hold.
LEVITY_SCENARIO(one_at_a_time_holds_a_task) {
  crew all;
  model::cell<int> seen{0};
  job& waits = all.make([]() -> task<> {
    bell one;
    co_await one;
  }());
  all.runs(waits)();
  const auto looks = [&] {
    if (!try_hold(waits)) return;
    seen.set(seen.get() + 1);
    release_hold(waits);
  };
  model::together(all.does(looks), all.does(looks));
  model::require(seen.get() >= 1, "somebody held it");
  wake(waits);
  all.run_ready();
  all.check();
}

// A cancellation, and the wake-up that it races with: one of them ends the wait.
LEVITY_SCENARIO(a_wait_ends_by_its_wake_up_or_by_a_cancellation) {
  crew all;
  levity::atomic<int> state{0};
  model::cell<int> why{0};
  job& waits = all.make([](levity::atomic<int>& shared, model::cell<int>& reason) -> task<> {
    bell one;
    one.state = &shared;
    one.taken_back = &reason;
    co_await one;
    if (shared.load(std::memory_order_relaxed) == 2) {
      model::require(reason.get() == static_cast<int>(cancel_reason::requested), "the reason is there");
    }
  }(state, why));
  model::together(all.runs(waits), all.does([&] { ring(waits, state); }), all.does([&] { cancel(waits); }));
  all.check();
  model::require(state.load(std::memory_order_relaxed) != 0, "it was ended");
}

// Nobody wakes it: a cancellation is not lost, whenever it comes.
LEVITY_SCENARIO(a_cancellation_ends_a_wait_that_nobody_ends) {
  crew all;
  levity::atomic<int> state{0};
  model::cell<int> why{0};
  job& waits = all.make([](levity::atomic<int>& shared, model::cell<int>& reason) -> task<> {
    bell one;
    one.state = &shared;
    one.taken_back = &reason;
    co_await one;
  }(state, why));
  model::together(all.runs(waits), all.does([&] { cancel(waits); }));
  all.check();
}

// The same beside somebody who holds it to look: the holder takes it back for the canceller (recheck).
LEVITY_SCENARIO(a_cancellation_is_carried_out_by_who_holds_the_task) {
  crew all;
  levity::atomic<int> state{0};
  model::cell<int> why{0};
  job& waits = all.make([](levity::atomic<int>& shared, model::cell<int>& reason) -> task<> {
    bell one;
    one.state = &shared;
    one.taken_back = &reason;
    co_await one;
  }(state, why));
  model::together(all.runs(waits), all.does([&] { cancel(waits); }), all.does([&] { inspect(waits); }));
  all.check();
}

// Two causes at once: the first that counts is the one that is told.
LEVITY_SCENARIO(two_cancellations_end_a_wait_once) {
  crew all;
  levity::atomic<int> state{0};
  model::cell<int> why{0};
  job& waits = all.make([](levity::atomic<int>& shared, model::cell<int>& reason) -> task<> {
    bell one;
    one.state = &shared;
    one.taken_back = &reason;
    co_await one;
  }(state, why));
  model::together(all.runs(waits), all.does([&] { cancel(waits, cancel_reason::requested); }),
                  all.does([&] { cancel(waits, cancel_reason::shutdown); }));
  all.check();
}

// E5: a task that goes on without a wait.
LEVITY_SCENARIO(who_finds_itself_cancelled_sees_what_was_written_before) {
  crew all;
  model::cell<int> written{0};
  job& looks = all.make([](model::cell<int>& data) -> task<> {
    if (pending_cancel(running_task()) == cancel_reason::requested) model::require(data.get() == 1, "it is there");
    co_return;
  }(written));
  model::together(all.runs(looks), all.does([&] {
    written.set(1);
    cancel(looks);
  }));
  all.check();
}

// E5: the bit and the mark are two words.
LEVITY_SCENARIO(who_sees_the_cancel_bit_finds_the_deadline_that_it_is_for) {
  crew all;
  context deadline{context::kind::deadline};
  job& looks = all.make([](context& around) -> task<> {
    task_record& self = running_task();
    push_context(self, around);
    const bool told = (self.word.load(std::memory_order_relaxed) & task_record::cancel_bit) != 0;
    model::require(!told || pending_cancel(self) == cancel_reason::deadline, "the reason is there");
    pop_context(self, around);
    co_return;
  }(deadline));
  model::together(all.runs(looks), all.does([&] {
    deadline.fired.store(true, std::memory_order_relaxed);
    raise_cause(looks);
  }));
  all.check();
}

// E5: a deadline's mark lies beside the word.
LEVITY_SCENARIO(a_deadline_that_passes_ends_a_wait) {
  crew all;
  context deadline{context::kind::deadline};
  levity::atomic<int> state{0};
  model::cell<int> why{0};
  job& waits = all.make([](context& around, levity::atomic<int>& shared, model::cell<int>& reason) -> task<> {
    push_context(running_task(), around);
    {
      bell one;
      one.state = &shared;
      one.taken_back = &reason;
      co_await one;
    }
    pop_context(running_task(), around);
    model::require(reason.get() == static_cast<int>(cancel_reason::deadline), "the reason is there");
  }(deadline, state, why));
  model::together(all.runs(waits), all.does([&] {
    deadline.fired.store(true, std::memory_order_relaxed);
    raise_cause(waits);
  }));
  all.check();
}

// E5 with the recheck bit: the holder, who only looks, takes the task back for the deadline.
LEVITY_SCENARIO(a_deadline_passes_while_somebody_looks) {
  crew all;
  context deadline{context::kind::deadline};
  levity::atomic<int> state{0};
  model::cell<int> why{0};
  job& waits = all.make([](context& around, levity::atomic<int>& shared, model::cell<int>& reason) -> task<> {
    push_context(running_task(), around);
    {
      bell one;
      one.state = &shared;
      one.taken_back = &reason;
      co_await one;
    }
    pop_context(running_task(), around);
  }(deadline, state, why));
  all.runs(waits)();
  model::together(all.does([&] {
                    deadline.fired.store(true, std::memory_order_relaxed);
                    raise_cause(waits);
                  }),
                  all.does([&] { inspect(waits); }));
  all.check();
}

// E5 in settle_causes(): who leaves a deadline that has passed does not forget one around it, be there one wait or two.
LEVITY_SCENARIO(a_deadline_outlasts_another_that_is_left) {
  crew all;
  context outer{context::kind::deadline};
  context inner{context::kind::deadline};
  std::array<levity::atomic<int>, 2> states{};
  model::cell<int> why{0};
  job& waits = all.make([](context& around, context& within, std::array<levity::atomic<int>, 2>& shared,
                           model::cell<int>& reason) -> task<> {
    push_context(running_task(), around);
    push_context(running_task(), within);
    pop_context(running_task(), within);
    settle_causes(running_task());
    for (levity::atomic<int>& each : shared) {
      bell one;
      one.state = &each;
      one.taken_back = &reason;
      co_await one;
    }
    pop_context(running_task(), around);
  }(outer, inner, states, why));
  inner.fired.store(true, std::memory_order_relaxed);
  raise_cause(waits);
  model::together(all.runs(waits), all.does([&] {
    outer.fired.store(true, std::memory_order_relaxed);
    raise_cause(waits);
  }));
  all.check();
}

// A deadline and a cancellation from outside.
LEVITY_SCENARIO(a_deadline_and_a_cancellation_end_a_wait_once) {
  crew all;
  context deadline{context::kind::deadline};
  levity::atomic<int> state{0};
  model::cell<int> why{0};
  job& waits = all.make([](context& around, levity::atomic<int>& shared, model::cell<int>& reason) -> task<> {
    push_context(running_task(), around);
    {
      bell one;
      one.state = &shared;
      one.taken_back = &reason;
      co_await one;
    }
    pop_context(running_task(), around);
    model::require(reason.get() != static_cast<int>(cancel_reason::none), "there is a reason");
  }(deadline, state, why));
  model::together(all.runs(waits),
                  all.does([&] {
                    deadline.fired.store(true, std::memory_order_relaxed);
                    raise_cause(waits);
                  }),
                  all.does([&] { cancel(waits); }));
  all.check();
}

// Behind a shield a cause is kept, and counts when the shield is gone.
LEVITY_SCENARIO(a_cause_outlasts_the_shield_that_hides_it) {
  crew all;
  levity::atomic<int> state{0};
  model::cell<int> why{0};
  job& waits = all.make([](levity::atomic<int>& shared, model::cell<int>& reason) -> task<> {
    context shield{context::kind::shield};
    push_context(running_task(), shield);
    settle_causes(running_task());
    pop_context(running_task(), shield);
    bell one;
    one.state = &shared;
    one.taken_back = &reason;
    co_await one;
  }(state, why));
  model::together(all.runs(waits), all.does([&] { cancel(waits); }));
  all.check();
}

}  // namespace
