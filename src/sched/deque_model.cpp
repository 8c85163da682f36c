#include "sched/deque.hpp"

#include <array>
#include <cstddef>

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::basic_deque;

struct task {
  model::cell<int> work{0};
  int taken = 0;  // of one execution of the explorer, which is one thread of the system
};

template <std::int64_t size, std::size_t count>
struct worker_and_thieves {
  basic_deque<task, size> deque;
  std::array<task, count> tasks;

  void push(std::size_t which) {
    tasks[which].work.set(static_cast<int>(which) + 1);
    model::require(deque.push(tasks[which]), "there is room");
  }

  bool took(task* one) {
    if (one == nullptr) return false;
    model::require(one->work.get() == one - tasks.data() + 1, "what its pusher wrote is there");
    one->taken++;
    return true;
  }

  bool pop(bool set_aside = false) { return took(deque.pop(set_aside)); }
  bool steal() { return took(deque.steal()); }

  // Everybody has gone; the owner takes what is left of those that were pushed.
  void check(std::size_t pushed) {
    while (pop()) {
    }
    for (std::size_t which = 0; which < pushed; which++) model::require(tasks[which].taken == 1, "each task is taken once");
  }
};

// E10, E12: owner and thief at the last task.
LEVITY_SCENARIO(the_last_task_is_taken_once) {
  worker_and_thieves<4, 1> all;
  model::together(
      [&] {
        all.push(0);
        all.pop();
      },
      [&] { all.steal(); });
  all.check(1);
}

// A place that was left is used again: the thief's exchange must not take the second task there for the first.
LEVITY_SCENARIO(a_deque_that_ran_empty_is_filled_again) {
  worker_and_thieves<4, 2> all;
  model::together(
      [&] {
        all.push(0);
        all.pop();
        all.push(1);
      },
      [&] { all.steal(); });
  all.check(2);
}

LEVITY_SCENARIO(two_tasks_an_owner_and_a_thief) {
  worker_and_thieves<4, 2> all;
  model::together(
      [&] {
        all.push(0);
        all.push(1);
        all.pop();
        all.pop();
      },
      [&] {
        all.steal();
        all.steal();
      });
  all.check(2);
}

LEVITY_SCENARIO(two_tasks_an_owner_and_two_thieves) {
  worker_and_thieves<4, 2> all;
  model::together(
      [&] {
        all.push(0);
        all.push(1);
        all.pop();
        all.pop();
      },
      [&] { all.steal(); }, [&] { all.steal(); });
  all.check(2);
}

// E11: a slot is used again once its thief has read it.
template <class Take>
void use_a_slot_again(Take take) {
  worker_and_thieves<2, 3> all;
  all.push(0);
  all.push(1);
  model::together(
      [&] {
        all.tasks[2].work.set(3);
        if (!all.deque.push(all.tasks[2])) all.tasks[2].taken = 1;  // no room
      },
      [&] { all.took(take(all.deque)); });
  all.check(3);
}

constexpr auto by_stealing = [](auto& from) { return from.steal(); };
constexpr auto by_taking = [](auto& from) { return from.take_from_absent(); };

LEVITY_SCENARIO(a_slot_is_used_again_when_its_thief_has_read_it) { use_a_slot_again(by_stealing); }

// Where loads are buffered: the thief reads the slot after its exchange, or the owner writes it before its look at the top.
constexpr model::options buffered(std::uint64_t executions) {
  return {.how = model::options::mode::random, .executions_max = executions, .depth = 4,
          .load_buffering = model::options::buffering::any};
}

LEVITY_SCENARIO(a_slot_is_used_again_when_its_late_thief_has_read_it, buffered(20'000)) { use_a_slot_again(by_stealing); }

LEVITY_SCENARIO(a_slot_is_used_again_when_who_took_it_has_read_it, buffered(20'000)) { use_a_slot_again(by_taking); }

// E352: a thief opens what another one has closed, before the barrier of that one.
LEVITY_SCENARIO(a_late_thief_opens_nothing_that_another_one_closes, buffered(200'000)) {
  worker_and_thieves<4, 4> all;
  for (std::size_t i = 0; i < 4; i++) all.push(i);
  all.pop(true);
  model::together(
      [&] {
        all.pop(true);
        const model::thread another([&] { all.deque.open(); });
        all.pop(true);
      },
      [&] {
        all.deque.open();
        all.steal();
        all.steal();
      });
  all.check(4);
}

LEVITY_SCENARIO(half_of_a_full_deque_is_taken_out) {
  worker_and_thieves<2, 3> all;
  all.push(0);
  all.push(1);
  model::together(
      [&] {
        std::array<task*, 1> older{};
        if (all.deque.take_half(older) != 0) all.took(older[0]);
        all.push(2);
      },
      [&] { all.steal(); });
  all.check(3);
}

// E350, E12: pops without a fence beside a thief.
LEVITY_SCENARIO(what_is_set_aside_is_out_of_reach) {
  worker_and_thieves<4, 3> all;
  all.push(0);
  all.push(1);
  all.push(2);
  model::together(
      [&] {
        all.pop(true);
        all.pop(true);
        all.pop(true);
      },
      [&] {
        all.steal();
        all.steal();
      });
  all.check(3);
}

// E351, E352: a thief opens what is set aside.
LEVITY_SCENARIO(what_is_set_aside_can_be_opened) {
  worker_and_thieves<4, 3> all;
  all.push(0);
  all.push(1);
  all.push(2);
  all.pop(true);
  model::together(
      [&] {
        all.pop(true);
        all.pop(true);
      },
      [&] {
        all.deque.open();
        all.steal();
        all.steal();
      });
  all.check(3);
}

// A third one sees that the limit is gone, and with it how far the owner has popped without a fence.
LEVITY_SCENARIO(who_sees_the_limit_gone_sees_the_bottom) {
  worker_and_thieves<4, 3> all;
  all.push(0);
  all.push(1);
  all.push(2);
  all.pop(true);
  all.steal();
  model::together([&] { all.pop(true); }, [&] { all.deque.open(); }, [&] { all.steal(); });
  all.check(3);
}

LEVITY_SCENARIO(two_thieves_open) {
  worker_and_thieves<4, 2> all;
  all.push(0);
  all.push(1);
  all.pop(true);
  model::together(
      [&] {
        all.pop(true);
      },
      [&] {
        all.deque.open();
        all.steal();
      },
      [&] {
        all.deque.open();
        all.steal();
      });
  all.check(2);
}

}  // namespace
