#include "reactor/endpoint.hpp"

#include "levity/model/scenario.hpp"

namespace {

namespace model = levity::model;
using levity::detail::direction;
using levity::detail::task_record;

// A task that wants bytes from a socket, the poller that hears of them, and who cancels the task.
struct reading {
  direction way;
  task_record record;
  levity::atomic<bool> arrived{false};  // the kernel's
  model::cell<int> frame{0};            // the task's
  int resumed = 0;                      // in one execution of the explorer, which is one thread of the system
  bool read = false;

  bool attempt() {
    way.clear();
    read = arrived.load(std::memory_order_relaxed);
    return read;
  }

  // Until it has read, or is parked.
  void run() {
    while (!attempt()) {
      frame.set(1);
      if (way.wait(record)) return;
    }
  }

  void resume() {
    model::require(frame.get() == 1, "what the task wrote before it parked is there");
    resumed++;
  }

  void arrive() {
    arrived.store(true, std::memory_order_relaxed);
    if (task_record* const woken = way.event()) {
      model::require(woken == &record, "the one that waits is woken");
      resume();
      if (!read) run();
    }
  }
};

// E8.
LEVITY_SCENARIO(no_event_is_lost_between_an_attempt_and_a_wait) {
  reading all;
  model::together([&] { all.run(); }, [&] { all.arrive(); });
  model::require(all.read, "the bytes are read");
}

// E8: an event for nothing comes first, as one does for a descriptor that was closed.
LEVITY_SCENARIO(an_event_for_nothing_costs_an_attempt) {
  reading all;
  model::together([&] { all.run(); },
                  [&] {
                    if (all.way.event() != nullptr) {
                      all.resume();
                      all.run();
                    }
                    all.arrive();
                  });
  model::require(all.read, "the bytes are read");
}

LEVITY_SCENARIO(a_task_is_woken_or_taken_back) {
  reading all;
  all.way.clear();
  all.frame.set(1);
  model::require(all.way.wait(all.record), "nothing has come yet");
  bool taken_back = false;
  model::together([&] { taken_back = all.way.take_back(all.record); },
                  [&] {
                    if (all.way.event() != nullptr) all.resumed++;
                  });
  model::require(all.resumed + (taken_back ? 1 : 0) == 1, "one of them has the task");
}

LEVITY_SCENARIO(a_mark_is_no_event) {
  reading all;
  all.way.clear();
  all.frame.set(1);
  model::require(all.way.wait(all.record), "nothing has come yet");
  model::together([&] { all.way.mark_ready(); }, [&] { all.arrive(); });
  model::require(all.read, "whoever waits is not passed over");
}

}  // namespace
