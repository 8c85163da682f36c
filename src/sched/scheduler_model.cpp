#include "sched/scheduler.hpp"

#include <array>
#include <bit>
#include <functional>
#include <memory>
#include <utility>

#include "levity/model/scenario.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task_local.hpp"
#include "reactor/still_reactor.hpp"
#include "sched/explored_watchdog.hpp"
#include "sched/scripted_task.hpp"
#include "sched/worker.hpp"

namespace {

namespace model = levity::model;
using namespace levity::detail;

// `slots`, of which `first` are in service.
scheduler_options with_slots(unsigned first, unsigned slots) {
  scheduler_options made;
  for (unsigned i = 0; i < first; i++) made.reactors.push_back(std::make_unique<still_reactor>());
  made.slots = slots;
  made.make_reactor = [] { return std::make_unique<still_reactor>(); };
  made.stuck_threads_max = 2;
  return made;
}

script ends_all(scheduler& all, levity::atomic<int>& left) {
  if (left.fetch_sub(1, std::memory_order_relaxed) == 1) all.root_empty();
  co_return;
}

// E17, E18: what happened before the root scope was empty, told by a thread of others, which may be on its way out when the last
// worker has ended.
LEVITY_SCENARIO(a_thread_of_others_ends_the_scheduler) {
  auto all = std::make_unique<scheduler>(with_slots(1, 1));
  model::cell<int> written{0};
  model::thread other([&] {
    written.set(1);
    all->root_empty();
  });
  all->first().run();
  model::require(written.get() == 1, "what happened before the end is there");
  all.reset();
}

// E14, E18: a task that is woken from outside while the only worker falls asleep.
LEVITY_SCENARIO(a_task_from_outside_wakes_the_only_worker) {
  auto all = std::make_unique<scheduler>(with_slots(1, 1));
  levity::atomic<int> left{1};
  scripted_task task(ends_all(*all, left));
  model::thread other([&] { all->schedule(task.record); });
  all->first().run();
  all.reset();
}

// E14: two workers and two tasks.
void run_two_by_two() {
  scheduler all(with_slots(2, 2));
  levity::atomic<int> left{2};
  scripted_task first(ends_all(all, left));
  scripted_task second(ends_all(all, left));
  model::together([&] { all.holder(0)->run(); }, [&] { all.holder(1)->run(); },
                  [&] {
                    all.schedule(first.record);
                    all.schedule(second.record);
                  });
}

LEVITY_SCENARIO(no_task_is_left_where_two_workers_fall_asleep, {.executions_max = 8'000}) { run_two_by_two(); }

// By chance one of them is held up while it has the search token and a task in its deque, and the other one, which may not steal,
// while it sees that, waits for it.
LEVITY_SCENARIO(who_sees_a_task_that_it_may_not_take_gives_way,
                {.how = model::options::mode::random, .executions_max = 8'000, .seed = 6}) {
  run_two_by_two();
}

// It keeps its worker until another task has run.
script waits_and_ends(scheduler& all, levity::atomic<int>& left, levity::atomic<bool>& is_over) {
  while (!is_over.load(std::memory_order_relaxed)) levity::spin_hint();
  if (left.fetch_sub(1, std::memory_order_relaxed) == 1) all.root_empty();
  co_return;
}

script tells_and_ends(scheduler& all, levity::atomic<int>& left, levity::atomic<bool>& is_over) {
  is_over.store(true, std::memory_order_relaxed);
  if (left.fetch_sub(1, std::memory_order_relaxed) == 1) all.root_empty();
  co_return;
}

// E14 at the end of a search: who submits the second task may trust in the worker that has just found the first one, and that keeps
// it.
LEVITY_SCENARIO(the_last_searcher_passes_the_search_on, {.executions_max = 8'000}) {
  scheduler all(with_slots(2, 2));
  levity::atomic<int> left{2};
  levity::atomic<bool> is_over{false};
  scripted_task waits(waits_and_ends(all, left, is_over));
  scripted_task tells(tells_and_ends(all, left, is_over));
  model::together([&] { all.holder(0)->run(); }, [&] { all.holder(1)->run(); },
                  [&] {
                    all.schedule(waits.record);
                    all.schedule(tells.record);
                  });
}

script pushes_before_a_fair_turn(scheduler& all, levity::atomic<int>& left, task_record& woken) {
  this_worker->push_woken(woken);
  this_worker->take_fair_turn();
  if (left.fetch_sub(1, std::memory_order_relaxed) == 1) all.root_empty();
  co_return;
}

// E14 in a fair turn: what its worker has just pushed it leaves in its deque, for it takes an injected task, which keeps it. The
// other worker falls asleep meanwhile.
LEVITY_SCENARIO(what_a_fair_turn_passes_over_is_not_left, {.executions_max = 8'000}) {
  scheduler all(with_slots(2, 2));
  levity::atomic<int> left{3};
  levity::atomic<bool> is_over{false};
  scripted_task waits(waits_and_ends(all, left, is_over));
  scripted_task tells(tells_and_ends(all, left, is_over));
  scripted_task pushes(pushes_before_a_fair_turn(all, left, tells.record));
  all.holder(0)->push_woken(pushes.record);
  all.holder(0)->take_fair_turn();
  all.schedule(waits.record);
  model::together([&] { all.holder(0)->run(); }, [&] { all.holder(1)->run(); });
}

// Queues a task when it goes.
struct last_word {
  task_record* woken = nullptr;  // null: it was moved from
  scheduler* by = nullptr;

  last_word(task_record& task, scheduler& runs) noexcept : woken(&task), by(&runs) {}
  last_word(last_word&& other) noexcept : woken(std::exchange(other.woken, nullptr)), by(other.by) {}
  ~last_word() {
    if (woken != nullptr) by->schedule(*woken);
  }
};

const levity::task_local<last_word> inherited{"inherited"};

levity::task<> does_nothing() { co_return; }

// It ends with the child that it leaves behind, and then what it has inherited goes.
levity::task<> leaves_a_child_behind(levity::atomic<bool>& begins) {
  while (!begins.load(std::memory_order_relaxed)) levity::spin_hint();
  levity::scope left;
  left.spawn(does_nothing);
  co_return;
}

levity::task<> joins_and_waits(scheduler& all, task_record& woken, levity::atomic<bool>& is_over) {
  levity::atomic<bool> begins{false};
  levity::scope children;
  {
    const auto bound = inherited.bind(last_word(woken, all));
    children.spawn(leaves_a_child_behind, std::ref(begins));
  }
  begins.store(true, std::memory_order_relaxed);
  co_await children.join();
  while (!is_over.load(std::memory_order_relaxed)) levity::spin_hint();
}

script tells(levity::atomic<bool>& is_over) {
  is_over.store(true, std::memory_order_relaxed);
  co_return;
}

// E14 where an end that was put off wakes two: who joins is run at once, and keeps the worker until the other one, which the end of
// an inherited value has woken, was run elsewhere.
LEVITY_SCENARIO(whom_an_inherited_value_wakes_is_not_left_behind_who_joins, {.executions_max = 8'000}) {
  scheduler all(with_slots(2, 2));
  levity::atomic<bool> is_over{false};
  scripted_task woken(tells(is_over));
  auto main = joins_and_waits(all, woken.record, is_over).release_frame();
  all.root().adopt(main, main.promise(), "main", std::source_location::current());
  model::together([&] { all.holder(0)->run(); }, [&] { all.holder(1)->run(); });
  model::require(is_over.load(std::memory_order_relaxed), "both were run");
}

// As cancel() leaves a scope of whose children it has told as many as it may at once.
void leave_to_the_executor(scope_state& cancelled, levity::atomic<bool>& is_pinned) {
  cancelled.lock.lock();
  cancelled.cancelled.store(levity::cancel_reason::requested, std::memory_order_release);
  cancelled.pins++;
  cancelled.was_pinned = true;
  cancelled.children.push_front(cancelled.cursors[0]);
  cancelled.lock.unlock();
  is_pinned.store(true, std::memory_order_release);  // who cancels has the owner wait, or is a child
  cancelled.exec->cancel_later(cancelled);
}

levity::task<> leaves_a_scope_that_is_cancelled(levity::atomic<scope_state*>& opened, levity::atomic<bool>& is_pinned) {
  levity::scope children;
  children.spawn([](levity::atomic<scope_state*>& tells, levity::atomic<bool>& told) -> levity::task<> {
    tells.store(running_task().scope, std::memory_order_release);
    while (!told.load(std::memory_order_acquire)) levity::spin_hint();
    co_return;
  }, std::ref(opened), std::ref(is_pinned));
  co_await children.join();
}

// E18: its owner ends, and with that everything, when a worker has gone on with what another thread leaves to it.
LEVITY_SCENARIO(who_leaves_a_cancellation_to_the_scheduler_is_waited_for, {.executions_max = 8'000}) {
  auto all = std::make_unique<scheduler>(with_slots(1, 1));
  levity::atomic<scope_state*> opened{nullptr};
  levity::atomic<bool> is_pinned{false};
  auto main = leaves_a_scope_that_is_cancelled(opened, is_pinned).release_frame();
  all->root().adopt(main, main.promise(), "main", std::source_location::current());
  model::thread other([&] {
    scope_state* scope = nullptr;
    while ((scope = opened.load(std::memory_order_acquire)) == nullptr) levity::spin_hint();
    leave_to_the_executor(*scope, is_pinned);
  });
  all->first().run();
  all.reset();
}

// E181: who looks up who holds a slot finds a worker that is whole.
LEVITY_SCENARIO(a_slot_changes_hands_to_a_new_worker) {
  scheduler all(with_slots(1, 1));
  std::unique_ptr<worker> spare;
  model::together(
      [&] {
        spare = std::make_unique<worker>(all, 1, worker::slot{}, 7);
        all.move_slot(all.first(), *spare);
      },
      [&] { static_cast<void>(all.work_visible()); });
}

LEVITY_SCENARIO(a_slot_is_put_in_service_by_a_new_worker) {
  scheduler all(with_slots(1, 2));
  std::unique_ptr<worker> spare;
  model::together(
      [&] {
        all.want(2);
        model::require(all.prepare_service(1).has_value(), "there is a reactor");
        spare = std::make_unique<worker>(all, 1, worker::slot{}, 7);
        all.serve(1, *spare);
      },
      [&] { static_cast<void>(all.work_visible()); });
}

// E185.
LEVITY_SCENARIO(a_slot_that_counts_has_its_reactor) {
  scheduler all(with_slots(1, 2));
  worker spare(all, 1, worker::slot{}, 7);
  model::together(
      [&] {
        all.want(2);
        model::require(all.prepare_service(1).has_value(), "there is a reactor");
        all.serve(1, spare);
      },
      [&] {
        for (int i = 0; i < 2; i++) static_cast<void>(all.next_reactor().lease.free_approx());
      },
      [&] { all.each_resting([](reactor& each) { static_cast<void>(each.lease.free_approx()); }); });
}

// E372: a slot goes to rest while it is wanted again. Its worker finds that, or the watchdog finds it at rest.
LEVITY_SCENARIO(a_slot_that_is_wanted_again_does_not_rest_for_ever, {.executions_max = 8'000}) {
  scheduler all(with_slots(1, 2));
  worker serving(all, 1, worker::slot{}, 7);
  worker spare(all, 2, worker::slot{}, 8);
  explored_watchdog dog{all.guard};
  dog.prepare(spare);
  all.want(2);
  model::require(all.prepare_service(1).has_value(), "there is a reactor");
  all.serve(1, serving);
  dog.doze_already();
  bool found = false;
  model::together([&] { serving.run(); },
                  [&] {
                    all.want(1);
                    all.want(2);
                    found = all.lacked_slot() == 1;
                    all.root_empty();
                    serving.unpark();
                  });
  model::require(all.holder(1) != nullptr || found || !dog.rests_approx(), "somebody knows that a slot is lacking");
}

// E180, E372: the same while the watchdog falls into a doze. It looks after that, or has been woken.
LEVITY_SCENARIO(a_watchdog_that_dozes_knows_of_each_slot_that_is_lacking, {.executions_max = 8'000, .timeouts = true}) {
  scheduler all(with_slots(1, 2));
  worker serving(all, 1, worker::slot{}, 7);
  worker spare(all, 2, worker::slot{}, 8);
  explored_watchdog dog{all.guard};
  dog.prepare(spare);
  all.want(2);
  model::require(all.prepare_service(1).has_value(), "there is a reactor");
  all.serve(1, serving);
  model::together([&] { serving.run(); },
                  [&] {
                    all.want(1);
                    all.want(2);
                    dog.doze_off();
                    all.root_empty();
                    serving.unpark();
                  });
  model::require(all.holder(1) != nullptr || !dog.rests_approx(), "the watchdog knows that a slot is lacking");
}

// What tells a worker that its slot is one too many may come with that slot.
LEVITY_SCENARIO(a_slot_that_is_one_too_many_when_it_is_granted_goes_to_rest, {.executions_max = 8'000}) {
  scheduler all(with_slots(1, 2));
  worker spare(all, 1, worker::slot{}, 7);
  explored_watchdog dog{all.guard};
  dog.prepare();
  all.want(2);
  model::require(all.prepare_service(1).has_value(), "there is a reactor");
  model::together([&] { spare.run(); },
                  [&] {
                    all.serve(1, spare);
                    all.want(1);
                    while (all.holder(1) != nullptr) levity::spin_hint();
                    all.root_empty();
                    spare.unpark();
                  });
}

// It has operations to hand over until it has handed one over.
struct told_guest final : poll_guest {
  mutable model::cell<int> waiting{1};

  void collect(ready_batch&) noexcept override {}
  bool has_more() const noexcept override { return waiting.get() != 0; }
  bool has_waiting() const noexcept override { return waiting.get() != 0; }
  void prepare() noexcept override { waiting.set(0); }
  void enter() noexcept override {}
  void hand_over() noexcept override { waiting.set(0); }
};

// E181 where a slot goes to rest: who finds it without a holder goes on to its reactor, and what that has beside it.
LEVITY_SCENARIO(who_attends_to_a_slot_at_rest_finds_it_as_its_worker_left_it, {.executions_max = 8'000}) {
  scheduler all(with_slots(2, 2));
  explored_watchdog dog{all.guard};
  dog.prepare();
  told_guest guest;
  all.reactor_at(1).guest = &guest;
  worker* const rests = all.holder(1);
  all.want(1);
  model::together([rests] { rests->run(); },
                  [&] {
                    while (!all.attends()) levity::spin_hint();
                    all.reactor_at(0).news.put(1);  // as its poll does, when that finds something
                    static_cast<void>(all.first().turn(0));
                    all.root_empty();
                  });
  all.reactor_at(1).guest = nullptr;
}

script asks_for_a_fair_turn() {
  this_worker->take_fair_turn();
  co_return;
}

// A doubt that is raised while the slot goes to rest: it rests, or it is taken and goes to rest in other hands.
LEVITY_SCENARIO(a_slot_in_doubt_rests_or_is_taken, {.executions_max = 8'000}) {
  scheduler all(with_slots(2, 2));
  worker spare(all, 2, worker::slot{}, 7);
  explored_watchdog dog{all.guard};
  dog.prepare(spare);
  told_guest guest;
  all.reactor_at(1).guest = &guest;
  worker& holder = *all.holder(1);
  scripted_task asks(asks_for_a_fair_turn());
  holder.push_woken(asks.record);
  all.want(1);
  model::together([&] { holder.run(); }, [&] { spare.run(); },
                  [&] {
                    if (holder.in_task_approx()) static_cast<void>(dog.take_from_task(holder));
                    while (all.holder(1) != nullptr) levity::spin_hint();
                    all.root_empty();
                    spare.unpark();
                  });
  model::require(all.serving_approx() == 1, "it has gone to rest once");
  all.reactor_at(1).guest = nullptr;
}

// What spawns it is over when they all are. The second one to be run has a look taken at its worker's slot, which is one too many.
levity::task<> spawns_three(std::array<int, 3>& ran) {
  levity::scope children;
  for (std::size_t which = 0; which < ran.size(); which++) {
    children.spawn([](int* times, bool asks) -> levity::task<> {
      ++*times;
      if (asks) this_worker->take_fair_turn();
      co_return;
    }, &ran[which], which == 1);
  }
  co_await children.join();
}

// E366: who empties the deques of a worker that has gone to rest does not find there what that has run. It has popped the last one
// without a fence, for that was set aside.
LEVITY_SCENARIO(what_a_worker_has_run_before_it_rests_is_not_run_again, {.executions_max = 8'000}) {
  scheduler all(with_slots(2, 2));
  explored_watchdog dog{all.guard};
  dog.prepare();
  std::array<int, 3> ran{};
  worker* const rests = all.holder(1);
  auto main = spawns_three(ran).release_frame();
  mark_fresh(main.promise(), all.root(), "main", std::bit_cast<const void*>(std::source_location::current()));
  all.root().outstanding.store(1, std::memory_order_relaxed);
  rests->push_fresh(main);
  all.want(1);
  model::together([rests] { rests->run(); },
                  [&, rests] {
                    while (!rests->without_slot_approx()) levity::spin_hint();
                    dog.look();
                    all.holder(0)->run();
                  });
  model::require(ran == std::array{1, 1, 1}, "each task is run once");
}

}  // namespace
