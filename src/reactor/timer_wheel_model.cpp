#include "reactor/timer_wheel.hpp"

#include "levity/sync/channel.hpp"
#include "levity/sync/event.hpp"
#include "levity/sync/select.hpp"
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

// Once, whoever of two pollers finds it due; and the second look at it is the second firing.
LEVITY_SCENARIO(a_node_fires_once_whoever_polls) {
  timed_crew all;
  noted_node node;
  node.fire = &noted_node::fires;
  node.due_ns = soon_ns;
  node.again_ns = later_ns;
  all.arm(node);
  model::together(all.polls(soon_ns), all.polls(soon_ns));
  model::require(node.note.get() == 1, "it has fired once");
  all.polls(later_ns)();
  model::require(node.note.get() == 2 && all.wheel.entries_approx() == 0, "and once more, when it was due again");
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

// What a deadline is around ends while that passes: the result is told, late or not, and what follows is not cut short.
LEVITY_SCENARIO(a_deadline_passes_while_its_task_ends, {.executions_max = 300'000}) {
  timed_crew all;
  levity::event happened;
  levity::event happens_later;
  model::cell<int> written{0};
  happens_later.set();
  bool went_on = false;
  job& works = all.make([](levity::event& first, levity::event& second, model::cell<int>& data, bool& over) -> task<> {
    const auto inner = [](levity::event& on, bool& cut) -> task<> {
      try {
        co_await on.wait();
      } catch (const levity::cancelled& why) {
        model::require(why.reason() == cancel_reason::deadline, "the reason is told");
        cut = true;
      }
    };
    bool cut = false;
    co_await levity::with_deadline(at(soon_ns), inner(first, cut));
    model::require(cut || data.get() == 1, "it was cut short, or what was written before set() is there");
    co_await second.wait();
    over = true;
  }(happened, happens_later, written, went_on));
  model::together(all.runs(works), all.polls(soon_ns), all.does([&] {
    written.set(1);
    happened.set();
  }));
  all.check();
  model::require(went_on, "nobody is late for what comes after it");
  model::require(all.wheel.entries_approx() == 0, "it is in the wheel no more");
}

using parcel = model::cell<int>*;

// Receives, or finds that it is late.
task<> receive_in_time(levity::channel<parcel>& from, int& sum, bool& late) {
  const auto won = co_await levity::select(levity::receive_from(from), levity::at(at(soon_ns)));
  if (!won) co_return;  // cancelled
  late = won->index() == 1;
  if (late) co_return;
  const auto& got = std::get<0>(*won);
  if (got) sum += (*got)->get();
}

// E7: a value and the moment at once; the timer goes with the frame of the select.
LEVITY_SCENARIO(a_select_is_decided_by_a_value_or_by_its_timer, {.executions_max = 300'000}) {
  timed_crew all;
  levity::channel<parcel> line(1);
  model::cell<int> data{0};
  int sum = 0;
  bool late = false;
  job& selects = all.make(receive_in_time(line, sum, late));
  model::together(all.runs(selects), all.polls(soon_ns), all.does([&] {
    data.set(1);
    static_cast<void>(line.try_send(&data));
  }));
  all.check();
  const bool left = line.try_receive().has_value();
  model::require(sum + (left ? 1 : 0) == 1 && left == late, "the value has come once, or is left when the moment was first");
  model::require(all.wheel.entries_approx() == 0, "it is in the wheel no more");
}

LEVITY_SCENARIO(a_select_with_a_timer_is_cancelled_while_that_is_due, {.executions_max = 300'000}) {
  timed_crew all;
  levity::channel<parcel> line(0);
  int sum = 0;
  bool late = false;
  job& selects = all.make(receive_in_time(line, sum, late));
  model::together(all.runs(selects), all.polls(soon_ns), all.does([&] { cancel(selects); }));
  all.check();
  model::require(all.wheel.entries_approx() == 0, "it is in the wheel no more");
}

}  // namespace
