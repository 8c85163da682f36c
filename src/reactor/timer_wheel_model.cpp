#include "reactor/timer_wheel.hpp"

#include "levity/time/deadline.hpp"
#include "levity/time/sleep.hpp"
#include "levity/time/timer.hpp"
#include "tests/support/explored_crew.hpp"

namespace {

namespace model = levity::model;
using levity::cancel_reason;
using levity::task;
using levity::time_point;
using levity::explored::crew;
using levity::explored::job;
using namespace levity::detail;

constexpr std::int64_t soon_ns = 100 * (std::int64_t{1} << timer_wheel::tick_shift);
constexpr std::int64_t later_ns = 2 * soon_ns;

time_point at(std::int64_t ns) { return time_point{levity::duration{ns}}; }

class timed_crew : public crew {
public:
  void arm(timer_node& node) noexcept override { static_cast<void>(wheel.arm(node)); }
  void disarm(timer_node& node) noexcept override { wheel.disarm(node); }
  void sleep(task_record& record, sleep_waiter& waiter) noexcept override { static_cast<void>(wheel.sleep(record, waiter)); }
  bool unsleep(task_record& record, sleep_waiter&) noexcept override { return wheel.unsleep(record); }

  /// What a poller does when it is that late.
  auto polls(std::int64_t now_ns) {
    return does([this, now_ns] { poll(now_ns); });
  }
  void poll(std::int64_t now_ns) {
    ready_batch ready;
    while (wheel.expire(now_ns, ready)) {
    }
    for (std::size_t i = 0; i < ready.count; i++) schedule(*ready.records[i]);
  }

  timer_wheel wheel{0};
};

struct noted_node : timer_node {
  model::cell<int> note{0};
  std::int64_t again_ns = timer_node::done;

  static std::int64_t fires(timer_node& node) noexcept {
    auto& self = static_cast<noted_node&>(node);
    self.note.set(self.note.get() + 1);
    return std::exchange(self.again_ns, timer_node::done);
  }
};

// E7: the frame of the node goes when it is disarmed.
LEVITY_SCENARIO(a_node_that_is_disarmed_is_nobodys) {
  timed_crew all;
  noted_node node;
  node.fire = &noted_node::fires;
  node.due_ns = soon_ns;
  all.arm(node);
  model::together(
      [&] {
        all.disarm(node);
        node.note.set(node.note.get() + 1);
        model::retire(&node, sizeof node);
      },
      all.polls(soon_ns));
  model::require(all.wheel.entries_approx() == 0, "it is in the wheel no more");
}

// E7 where the callback comes again.
LEVITY_SCENARIO(a_node_that_comes_again_is_disarmed_for_good) {
  timed_crew all;
  noted_node node;
  node.fire = &noted_node::fires;
  node.due_ns = soon_ns;
  node.again_ns = later_ns;
  all.arm(node);
  model::together(
      [&] {
        all.disarm(node);
        node.note.set(node.note.get() + 1);
        model::retire(&node, sizeof node);
      },
      [&] {
        all.poll(soon_ns);
        all.poll(later_ns);
      });
  model::require(all.wheel.entries_approx() == 0, "it is in the wheel no more");
}

// A sleep ends by the wheel or by a cancellation.
LEVITY_SCENARIO(a_sleep_ends_once) {
  timed_crew all;
  job& sleeps = all.make([]() -> task<> {
    try {
      co_await levity::sleep_until(at(soon_ns));
    } catch (const levity::cancelled& why) {
      model::require(why.reason() == cancel_reason::requested, "the reason is told");
    }
  }());
  all.runs(sleeps)();
  model::together(all.polls(soon_ns), all.does([&] {
    cancel(sleeps);
  }));
  all.check();
}

// E5, E7: a deadline passes while what it is around ends, or waits for it.
LEVITY_SCENARIO(a_deadline_passes_while_its_task_goes_on) {
  timed_crew all;
  job& works = all.make([]() -> task<> {
    bool cut = false;
    const auto inner = [](bool& passed) -> task<> {
      try {
        co_await levity::sleep_until(at(later_ns));
      } catch (const levity::cancelled& why) {
        passed = why.reason() == cancel_reason::deadline;
      }
    };
    co_await levity::with_deadline(at(soon_ns), inner(cut));
    model::require(cut, "it was cut short");
  }());
  model::together(all.runs(works), all.polls(soon_ns));
  all.polls(soon_ns)();  // it was not armed yet
  all.check();
}

// E7: a timer is moved, or goes, while it fires.
LEVITY_SCENARIO(a_timer_is_moved_while_it_fires) {
  timed_crew all;
  auto idle = std::make_unique<levity::timer>();
  job& moves = all.make([](std::unique_ptr<levity::timer>& of) -> task<> {
    of->arm(at(later_ns));
    of->arm(at(soon_ns));
    of.reset();
    co_return;
  }(idle));
  job& arms = all.make([](levity::timer& of) -> task<> {
    of.arm(at(soon_ns));
    co_return;
  }(*idle));
  all.runs(arms)();
  model::together(all.runs(moves), all.polls(soon_ns));
  all.check();
}

// Who waited is woken by the moment or by a cancellation, and the timer goes with its frame.
LEVITY_SCENARIO(a_wait_for_a_timer_ends_once) {
  timed_crew all;
  job& waits = all.make([]() -> task<> {
    levity::timer idle;
    idle.arm(at(soon_ns));
    try {
      co_await idle.wait();
      model::require(idle.has_fired(), "it has fired");
    } catch (const levity::cancelled& why) {
      model::require(why.reason() == cancel_reason::requested, "the reason is told");
    }
  }());
  model::together(all.runs(waits), all.polls(soon_ns), all.does([&] {
    cancel(waits);
  }));
  all.polls(soon_ns)();  // it was not armed yet
  all.check();
}

}  // namespace
