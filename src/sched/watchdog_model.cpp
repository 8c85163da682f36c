#include "sched/watchdog.hpp"

#include <bit>
#include <memory>
#include <vector>

#include "levity/model/scenario.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"
#include "reactor/still_reactor.hpp"
#include "sched/explored_watchdog.hpp"
#include "sched/scheduler.hpp"
#include "sched/scripted_task.hpp"
#include "sched/worker.hpp"

namespace {

namespace model = levity::model;
using namespace levity::detail;

// What the thread of a worker has for itself; of all scenarios of this program.
[[maybe_unused]] const bool workers_have_their_own_words = [] {
  model::per_thread(this_run);
  model::per_thread(this_worker);
  return true;
}();

scheduler_options with_reactors(unsigned count) {
  scheduler_options made;
  for (unsigned i = 0; i < count; i++) made.reactors.push_back(std::make_unique<still_reactor>());
  made.stuck_threads_max = 2;
  return made;
}

// Touched by who holds the slot and by nobody else, outside of tasks: two holders at a time are a race, and so is one that has not
// heard of the one before.
struct slots_own final : poll_guest {
  mutable model::cell<int> looks{0};
  int waiting = 0;  // operations that may block

  void collect(ready_batch&) noexcept override {}
  bool has_more() const noexcept override { return false; }
  bool has_waiting() const noexcept override {
    looks.set(looks.get() + 1);
    return waiting != 0;
  }
  void prepare() noexcept override { waiting--; }
  void enter() noexcept override {}
  void hand_over() noexcept override { waiting--; }
};

// A worker with the only slot, a spare, and tasks of which the first one may be stuck.
struct house {
  scheduler all{with_reactors(1)};
  slots_own guest;
  worker& holder{all.first()};
  const std::unique_ptr<worker> spare{std::make_unique<worker>(all, 1, worker::slot{}, 7)};
  std::vector<std::unique_ptr<scripted_task>> tasks;
  std::vector<int> ran;
  levity::atomic<int> left{0};
  explored_watchdog dog{all.guard};

  house() {
    all.reactor_at(0).guest = &guest;
    dog.prepare(*spare);
  }
  ~house() { all.reactor_at(0).guest = nullptr; }

  // Number `n` of them, in the order of the calls.
  void add(script plays) {
    tasks.push_back(std::make_unique<scripted_task>(plays));
    expect();
  }
  // The same for one that another of them spawns.
  void expect() {
    ran.push_back(0);
    left.store(left.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  task_record& task(std::size_t number) { return tasks[number]->record; }

  // Of a task: it is over. The last one ends everything.
  void over(std::size_t number) {
    ran[number]++;
    if (left.fetch_sub(1, std::memory_order_relaxed) != 1) return;
    all.root_empty();
    spare->unpark();
    dog.stop();
  }

  // What the watchdog does when it has found that a task, or a call, lasts; here as soon as it sees one. True: it has the slot.
  bool take_once() {
    const std::uint64_t call = holder.call_seen();
    if (worker::is_call(call)) return dog.take_from_call(holder, call);
    return holder.in_task_approx() && dog.take_from_task(holder);
  }

  template <class... Others>
  void run(Others... others) {
    model::together([this] { holder.run(); }, [this] { spare->run(); }, others...);
    for (const int times : ran) model::require(times == 1, "each task is run once");
  }
};

script plain(house& in, std::size_t number) {
  in.over(number);
  co_return;
}

script pushes(house& in, std::size_t number, std::size_t other) {
  this_worker->push_woken(in.task(other));
  in.over(number);
  co_return;
}

// It is stuck until another task, which lies below it in the deque, has run.
script waits_for(house& in, std::size_t number, std::size_t other, levity::atomic<bool>& is_over) {
  this_worker->push_woken(in.task(other));
  while (!is_over.load(std::memory_order_relaxed)) levity::spin_hint();
  in.over(number);
  co_return;
}

script tells(house& in, std::size_t number, levity::atomic<bool>& is_over) {
  is_over.store(true, std::memory_order_relaxed);
  in.over(number);
  co_return;
}

script calls(house& in, std::size_t number) {
  auto nothing = [] {};
  co_await scripted_call{nothing};
  in.over(number);
}

// The call lasts until the other task has run.
script calls_and_waits_for(house& in, std::size_t number, std::size_t other, levity::atomic<bool>& is_over) {
  this_worker->push_woken(in.task(other));
  auto lasts = [&is_over] {
    while (!is_over.load(std::memory_order_relaxed)) levity::spin_hint();
  };
  co_await scripted_call{lasts};
  in.over(number);
}

// E360, E361, E183: a task that may be found to last, or may not. What it has pushed is run by somebody, once. It comes from
// outside, so the worker has looked at what is the slot's own before.
LEVITY_SCENARIO(a_slot_is_taken_from_under_a_task, {.executions_max = 8'000}) {
  house all;
  all.add(pushes(all, 0, 1));
  all.add(plain(all, 1));
  all.all.schedule(all.task(0));
  all.run([&] {
    if (all.take_once()) all.dog.look();
  });
}

// The next boundary is one where its worker looks whether its slot is in doubt.
script pushes_and_has_a_look_taken(house& in, std::size_t number, std::size_t other) {
  this_worker->push_woken(in.task(other));
  this_worker->take_fair_turn();
  in.over(number);
  co_return;
}

script pushes_two(house& in, std::size_t number) {
  this_worker->push_woken(in.task(number + 1));
  this_worker->push_woken(in.task(number + 2));
  in.over(number);
  co_return;
}

// E360: a worker whose slot is doubted when it has just looked, and which enters one task after the other without another look.
LEVITY_SCENARIO(a_slot_is_taken_from_who_has_looked_before, {.executions_max = 8'000}) {
  house all;
  all.add(pushes_and_has_a_look_taken(all, 0, 1));
  all.add(pushes_two(all, 1));
  all.add(plain(all, 2));
  all.add(plain(all, 3));
  all.holder.push_woken(all.task(0));
  all.run([&] { all.take_once(); });
}

// It spawns a task, of the root scope, which its worker runs next.
script spawns(house& in, std::size_t number, std::size_t other) {
  auto fresh = [](house* all, std::size_t which) -> levity::task<> {
    all->over(which);
    co_return;
  }(&in, other).release_frame();
  in.all.root().adopt(fresh, fresh.promise(), "fresh", std::source_location::current());
  in.over(number);
  co_return;
}

// E361 where the task has never run before.
LEVITY_SCENARIO(a_slot_is_taken_from_under_a_fresh_task, {.executions_max = 8'000}) {
  house all;
  all.all.root().outstanding.fetch_add(1, std::memory_order_relaxed);  // over() says when all is over
  all.add(spawns(all, 0, 1));
  all.expect();
  all.all.schedule(all.task(0));
  all.run([&] {
    if (all.take_once()) all.dog.look();
  });
}

// It looks after the guest, as one that hands an operation over to an idle reactor does, and goes on.
script stays_at_home(house& in, std::size_t number) {
  if (this_worker->stay_at_idle_home()) {
    static_cast<void>(in.guest.has_waiting());
    this_worker->leave_home();
  }
  in.over(number);
  co_return;
}

// E360, E361: what a task does for the slot it does while it has it.
LEVITY_SCENARIO(a_slot_is_taken_from_under_a_task_that_stays_at_home, {.executions_max = 8'000}) {
  house all;
  all.add(stays_at_home(all, 0));
  all.holder.push_woken(all.task(0));
  all.run([&] { all.take_once(); });
}

// E183: whoever is given a slot knows what was done with it before.
LEVITY_SCENARIO(a_spare_takes_over_what_it_is_granted, {.executions_max = 8'000}) {
  house all;
  all.add(plain(all, 0));
  model::together([&] { all.spare->run(); },
                  [&] {
                    static_cast<void>(all.guest.has_waiting());
                    all.all.move_slot(all.holder, *all.spare);
                    all.all.schedule(all.task(0));
                  });
}

// E363, and the look after the drain: it pushes while its deque is drained.
LEVITY_SCENARIO(what_a_stuck_task_pushes_is_not_lost, {.executions_max = 8'000}) {
  house all;
  levity::atomic<bool> is_over{false};
  all.add(waits_for(all, 0, 1, is_over));
  all.add(tells(all, 1, is_over));
  all.holder.push_woken(all.task(0));
  all.run([&] {
    while (!all.take_once()) levity::spin_hint();
    while (!is_over.load(std::memory_order_relaxed)) {
      all.dog.look();
      levity::spin_hint();
    }
  });
}

// The look after the drain: it pushes when it has lost its slot, whether its deque has been drained yet or not.
script pushes_when_it_is_late(house& in, std::size_t number, std::size_t other, levity::atomic<bool>& is_late,
                              levity::atomic<bool>& is_over) {
  while (!is_late.load(std::memory_order_relaxed)) levity::spin_hint();
  this_worker->push_woken(in.task(other));
  while (!is_over.load(std::memory_order_relaxed)) levity::spin_hint();
  in.over(number);
  co_return;
}

LEVITY_SCENARIO(what_is_pushed_after_the_slot_was_lost_is_not_lost, {.executions_max = 8'000}) {
  house all;
  levity::atomic<bool> is_late{false};
  levity::atomic<bool> is_over{false};
  all.add(pushes_when_it_is_late(all, 0, 1, is_late, is_over));
  all.add(tells(all, 1, is_over));
  all.holder.push_woken(all.task(0));
  all.run([&] {
    while (!all.take_once()) levity::spin_hint();
    is_late.store(true, std::memory_order_relaxed);
    while (!is_over.load(std::memory_order_relaxed)) {
      all.dog.look();
      levity::spin_hint();
    }
  });
}

// Two that are stuck, one after the other, and two more. The first lasts until the second runs, which has pushed the others.
script lets_another_begin(house& in, std::size_t other, levity::atomic<bool>& has_begun) {
  this_worker->push_woken(in.task(other));
  while (!has_begun.load(std::memory_order_acquire)) levity::spin_hint();
  in.over(0);
  co_return;
}

script begins_and_waits_for(house& in, levity::atomic<bool>& has_begun, levity::atomic<bool>& is_over) {
  this_worker->push_woken(in.task(2));
  this_worker->push_woken(in.task(3));
  has_begun.store(true, std::memory_order_release);
  while (!is_over.load(std::memory_order_relaxed)) levity::spin_hint();
  in.over(1);
  co_return;
}

// E363: a worker gets its slot back, and pops from its deques again, while somebody is about to empty them.
LEVITY_SCENARIO(a_worker_that_has_its_slot_again_has_its_deques_for_itself, {.executions_max = 8'000}) {
  house all;
  levity::atomic<bool> has_begun{false};
  levity::atomic<bool> is_over{false};
  all.add(lets_another_begin(all, 1, has_begun));
  all.add(begins_and_waits_for(all, has_begun, is_over));
  all.add(tells(all, 2, is_over));
  all.add(plain(all, 3));
  all.holder.push_woken(all.task(0));
  all.run([&] {
    while (!all.take_once()) levity::spin_hint();
    while (!all.dog.has_spare() || !all.dog.take_from_task(*all.spare)) {
      all.dog.look();
      levity::spin_hint();
    }
    all.dog.look();
  });
}

// It is over when those that it spawns are. The second of them to be run is popped without a fence, and is stuck until the third
// has run.
levity::task<> spawns_three(house* in, levity::atomic<bool>* is_stuck, levity::atomic<bool>* is_over) {
  levity::scope children;
  for (std::size_t which = 0; which < 3; which++) {
    children.spawn([](int* times, std::size_t number, levity::atomic<bool>* begins,
                      levity::atomic<bool>* ends) -> levity::task<> {
      ++*times;
      if (number == 0) ends->store(true, std::memory_order_relaxed);
      if (number == 1) {
        begins->store(true, std::memory_order_relaxed);
        while (!ends->load(std::memory_order_relaxed)) levity::spin_hint();
      }
      co_return;
    }, &in->ran[which], which, is_stuck, is_over);
  }
  co_await children.join();
  in->over(3);
}

// E362: a spare that had a slot of the same worker before is late in emptying its deques.
LEVITY_SCENARIO(who_is_late_in_emptying_deques_leaves_what_is_popped, {.executions_max = 8'000}) {
  house all;
  levity::atomic<bool> is_stuck{false};
  levity::atomic<bool> is_over{false};
  for (int i = 0; i < 4; i++) all.ran.push_back(0);
  all.left.store(1, std::memory_order_relaxed);
  auto main = spawns_three(&all, &is_stuck, &is_over).release_frame();
  all.all.root().outstanding.store(2, std::memory_order_relaxed);  // over() says when all is over
  mark_fresh(main.promise(), all.all.root(), "main", std::bit_cast<const void*>(std::source_location::current()));
  all.holder.push_fresh(main);
  all.run([&] {
            while (!is_stuck.load(std::memory_order_relaxed) || !all.dog.take_from_task(all.holder)) levity::spin_hint();
          },
          [&] {
            while (!all.holder.without_slot_approx()) levity::spin_hint();
            if (all.holder.surrender()) all.all.wake_one(all.holder.queues());
          });
}

// E182, E360: quick calls, one of which is taken for one that lasts.
LEVITY_SCENARIO(a_slot_is_taken_from_under_a_call, {.executions_max = 8'000}) {
  house all;
  all.add(calls(all, 0));
  all.add(calls(all, 1));
  all.all.schedule(all.task(0));
  all.all.schedule(all.task(1));
  all.run([&] { all.take_once(); });
}

// E360: who has lost the slot under a call for the guest leaves that alone.
LEVITY_SCENARIO(a_slot_is_taken_from_under_a_call_for_the_guest, {.executions_max = 8'000}) {
  house all;
  all.guest.waiting = 1;
  all.add(plain(all, 0));
  all.run([&] {
    all.take_once();
    all.all.schedule(all.task(0));
  });
}

LEVITY_SCENARIO(a_call_that_lasts_keeps_nobody_waiting, {.executions_max = 8'000}) {
  house all;
  levity::atomic<bool> is_over{false};
  all.add(calls_and_waits_for(all, 0, 1, is_over));
  all.add(tells(all, 1, is_over));
  all.holder.push_woken(all.task(0));
  all.run([&] {
    while (!worker::is_call(all.holder.call_seen()) || !all.take_once()) levity::spin_hint();
  });
}

// E381: what is told of a task that runs is of one task.
// The last one has the number of the first: whoever reads that of the first, and the rest of the second, finds it once more.
LEVITY_SCENARIO(a_task_is_told_of_by_its_own_name, {.executions_max = 8'000}) {
  static constexpr const char* names[] = {"0", "1"};
  static constexpr std::source_location sites[] = {
    std::source_location::current(),
    std::source_location::current(),
  };
  house all;
  for (std::size_t number : {0, 1, 2}) {
    all.add(plain(all, number));
    all.task(number).id = static_cast<std::uint32_t>(number % 2 + 1);
    all.task(number).name = names[number % 2];
    all.task(number).site = sites[number % 2];
    all.holder.push_woken(all.task(number));
  }
  all.run([&] {
    const auto seen = all.holder.runs_approx();
    if (!seen) return;
    model::require(seen->name == names[seen->id - 1], "the name is the task's whose number is told");
    model::require(seen->site.line() == sites[seen->id - 1].line(), "the site, too");
  });
}

// E184: a spare and its thread are added while others look at all workers.
LEVITY_SCENARIO(a_spare_is_added_while_others_look_at_all_workers, {.executions_max = 8'000}) {
  scheduler all(with_reactors(1));
  explored_watchdog dog{all.guard};
  dog.prepare();
  model::together([&] { model::require(dog.add_spare() != nullptr, "a thread is to be had"); },
                  [&] { static_cast<void>(all.nodes_approx()); });
  dog.forget();
  all.root_empty();
  all.join();
}

// E364: a spare's thread has nothing to do for so long that it ends; the next thread goes on with what it has left.
LEVITY_SCENARIO(a_spare_whose_thread_has_ended_gets_another_one, {.executions_max = 8'000, .timeouts = true}) {
  scheduler all(with_reactors(1));
  explored_watchdog dog{all.guard};
  dog.prepare();
  worker* const spare = dog.add_spare();
  while (all.threads_approx().threads != 0) levity::spin_hint();
  while (spare->thread_approx().id != 0) levity::spin_hint();
  model::require(dog.add_spare() != nullptr, "a thread is to be had");
  dog.forget();
  all.root_empty();
  all.join();
}

// They last until the watchdog is awake.
script is_watched(house& in, std::size_t number) {
  while (in.dog.rests_approx()) levity::spin_hint();
  in.over(number);
  co_return;
}

script calls_and_is_watched(house& in, std::size_t number) {
  auto lasts = [&in] {
    while (in.dog.rests_approx()) levity::spin_hint();
  };
  co_await scripted_call{lasts};
  in.over(number);
}

// E180: a call that begins while the watchdog falls into a doze.
LEVITY_SCENARIO(a_call_wakes_a_watchdog_that_dozes, {.executions_max = 8'000}) {
  house all;
  all.add(calls_and_is_watched(all, 0));
  all.holder.push_woken(all.task(0));
  all.run([&] { all.dog.doze(); });
}

// E180: a worker leaves its sleep while the watchdog falls asleep.
LEVITY_SCENARIO(a_worker_wakes_a_watchdog_that_sleeps, {.executions_max = 8'000}) {
  house all;
  all.add(is_watched(all, 0));
  all.run([&] { all.dog.fall_asleep(); }, [&] { all.all.schedule(all.task(0)); });
}

}  // namespace
