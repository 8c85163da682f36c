#include "sched/parking.hpp"

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::idle_set;
using levity::detail::parker;

constexpr std::int64_t long_ns = 1'000'000'000'000;

// E15, and that no wake-up is lost: it may come before the announcement, between it and the sleep, or after.
LEVITY_SCENARIO(a_parker_sees_what_its_waker_wrote) {
  parker sleeper;
  model::cell<int> written{0};
  model::together(
      [&] {
        if (sleeper.prepare(false)) sleeper.wait_for(long_ns);
        sleeper.finish();
        model::require(written.get() == 1, "the waker's work is there");
      },
      [&] {
        written.set(1);
        model::require(!sleeper.unpark(), "nobody sleeps in a reactor");
      });
}

// E365.
LEVITY_SCENARIO(a_waker_finds_the_reactor_in_which_somebody_sleeps) {
  parker sleeper;
  model::cell<int> reactor{0};
  model::together(
      [&] {
        reactor.set(7);
        static_cast<void>(sleeper.prepare(true));
      },
      [&] {
        if (sleeper.unpark()) model::require(reactor.get() == 7, "the reactor is named");
      });
}

// The protocol of the preface: a task is made visible, and its submitter wakes an idle worker or has reason not to.
struct crew {
  idle_set idle;
  parker parkers[2];
  levity::atomic<int> ready{0};

  crew() { idle.size_for(2); }

  void submit() {
    ready.fetch_add(1, std::memory_order_relaxed);
    levity::full_fence();
    if (!idle.wanting_approx()) return;
    const int who = idle.claim(idle_set::all_slots);
    if (who != idle_set::nobody) static_cast<void>(parkers[who].unpark());
  }

  bool take() {
    int seen = ready.load(std::memory_order_relaxed);
    while (seen > 0) {
      if (ready.compare_exchange_strong(seen, seen - 1, std::memory_order_relaxed, std::memory_order_relaxed)) return true;
    }
    return false;
  }

  // Until it has taken so many tasks: sleeps where it finds none, until it is woken; then it must find one.
  void work(unsigned self, int tasks) {
    bool searching = false;
    while (tasks > 0) {
      if (take()) {
        tasks--;
        continue;
      }
      idle.enter(self, searching);
      if (ready.load(std::memory_order_relaxed) == 0) {
        if (parkers[self].prepare(false)) parkers[self].wait_for(long_ns);
        parkers[self].finish();
      }
      searching = !idle.leave(self);  // who claimed it gave it a search token
    }
    if (searching) idle.end_search();
  }
};

// E14: a task that is lost is a worker that sleeps for ever.
LEVITY_SCENARIO(no_task_is_left_while_a_worker_sleeps) {
  crew all;
  model::together([&] { all.work(0, 1); }, [&] { all.submit(); });
}

// E14 in claim(): one submitter finds nobody to wake, while another one trusts in it.
LEVITY_SCENARIO(a_claimer_that_found_nobody_looks_again) {
  crew all;
  model::together([&] { all.work(0, 2); }, [&] { all.submit(); }, [&] { all.submit(); });
}

// E250: whoever claims a sleeper knows who sleeps there.
LEVITY_SCENARIO(a_claimer_knows_who_sleeps) {
  idle_set idle;
  idle.size_for(2);
  model::cell<int> holder{0};
  model::together(
      [&] {
        holder.set(5);
        idle.enter(1, false);
      },
      [&] {
        if (idle.claim(idle_set::all_slots) == 1) model::require(holder.get() == 5, "the holder is named");
      });
}

}  // namespace
