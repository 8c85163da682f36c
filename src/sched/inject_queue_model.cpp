#include "sched/inject_queue.hpp"

#include <array>
#include <cstddef>

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::inject_queue;
using levity::detail::task_record;

struct task {
  task_record record;
  model::cell<int> work{0};
};

template <std::size_t count>
struct crowd {
  std::array<task, count> tasks;
  std::array<int, count> taken{};
  inject_queue queue;

  void push(std::size_t which) {
    tasks[which].work.set(1);
    queue.push(tasks[which].record);
  }

  std::size_t take(std::size_t most) {
    std::array<task_record*, count> into{};
    const std::size_t got = queue.take(into.data(), most);
    for (std::size_t i = 0; i < got; i++) {
      for (std::size_t which = 0; which < count; which++) {
        if (into[i] != &tasks[which].record) continue;
        model::require(tasks[which].work.get() == 1, "what its pusher wrote is there");
        taken[which]++;
      }
    }
    return got;
  }

  // When all pushes are over.
  void check() {
    while (take(count) != 0) {
    }
    for (const int times : taken) model::require(times == 1, "each task is taken once");
  }
};

// E13, with two pushers.
LEVITY_SCENARIO(what_is_pushed_is_taken_once_with_what_its_pusher_wrote) {
  crowd<2> all;
  model::together([&] { all.push(0); }, [&] { all.push(1); }, [&] { all.take(2); });
  all.check();
}

// E1 by way of its lock: two takers.
LEVITY_SCENARIO(two_takers_share) {
  crowd<2> all;
  all.push(0);
  model::together([&] { all.push(1); }, [&] { all.take(1); }, [&] { all.take(1); });
  all.check();
}

// A worker looks again and again for a task that counts already, and gives way to whoever is about to push it. By chance: there the
// pusher may be the one that is never let on.
LEVITY_SCENARIO(a_task_on_its_way_is_waited_for, {.how = model::options::mode::random, .executions_max = 20'000}) {
  crowd<1> all;
  model::together([&] { all.push(0); },
                  [&] {
                    while (all.take(1) == 0) continue;
                  });
  all.check();
}

LEVITY_SCENARIO(a_chain_is_taken_in_its_order) {
  crowd<3> all;
  model::together(
      [&] {
        std::array<task_record*, 2> chain{&all.tasks[0].record, &all.tasks[1].record};
        all.tasks[0].work.set(1);
        all.tasks[1].work.set(1);
        all.queue.push_all(chain.data(), 2);
      },
      [&] { all.push(2); },
      [&] {
        if (all.take(1) == 1 && all.taken[1] == 1) model::require(false, "the second of a chain comes after the first");
      });
  all.check();
}

}  // namespace
