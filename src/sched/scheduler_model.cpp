#include "sched/scheduler.hpp"

#include <memory>

#include "levity/model/scenario.hpp"
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

script counts(scheduler& all, levity::atomic<int>& left, int& times) {
  times++;
  if (left.fetch_sub(1, std::memory_order_relaxed) == 1) all.root_empty();
  co_return;
}

// Its worker is one too many from here on, and finds that before it runs another task.
script sends_to_rest(scheduler& all, levity::atomic<int>& left, int& times) {
  times++;
  all.want(1);
  this_worker->take_fair_turn();
  if (left.fetch_sub(1, std::memory_order_relaxed) == 1) all.root_empty();
  co_return;
}

// E366: who empties the deques of a worker that has gone to rest does not find there what that has run.
LEVITY_SCENARIO(what_a_worker_has_run_before_it_rests_is_not_run_again, {.executions_max = 8'000}) {
  scheduler all(with_slots(2, 2));
  explored_watchdog dog{all.guard};
  dog.prepare();
  levity::atomic<int> left{2};
  int stayed = 0;
  int sent = 0;
  scripted_task stays(counts(all, left, stayed));
  scripted_task sends(sends_to_rest(all, left, sent));
  all.holder(1)->push_woken(stays.record);
  all.holder(1)->push_woken(sends.record);
  worker* const rests = all.holder(1);
  model::together([rests] { rests->run(); },
                  [&, rests] {
                    while (!rests->without_slot_approx()) levity::spin_hint();
                    dog.look();
                    all.holder(0)->run();
                  });
  model::require(stayed == 1 && sent == 1, "each task is run once");
}

}  // namespace
