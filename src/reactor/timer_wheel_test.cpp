// The timer wheel against a plain multimap, and its promises one by one.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "levity/base/rng.hpp"
#include "reactor/timer_wheel.hpp"
#include "tests/support/run_tasks.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::int64_t tick_ns = std::int64_t{1} << timer_wheel::tick_shift;
constexpr std::int64_t top_ns = tick_ns << 36;  // beyond the top level

std::uint64_t tick_of(std::int64_t due_ns) { return (static_cast<std::uint64_t>(due_ns) + tick_ns - 1) / tick_ns; }

struct probe : timer_node {
  std::vector<probe*>* fired = nullptr;
  bool armed = false;
};

std::int64_t note(timer_node& node) noexcept {
  auto& self = static_cast<probe&>(node);
  self.armed = false;
  self.fired->push_back(&self);
  return timer_node::done;
}

struct sleeper {
  task_record record;
  sleep_waiter waits{reason, 0};
  bool asleep = false;
  static const wait_reason reason;
};

const wait_reason sleeper::reason{"test sleep", nullptr, nullptr, nullptr};

// A wait until any point in time, most of them near, some beyond the wheel's horizon.
std::int64_t random_span_ns(rng& random) {
  const auto bits = static_cast<int>(random.below(random.below(64) == 0 ? 55 : 34));
  return static_cast<std::int64_t>(random() >> (63 - bits)) + static_cast<std::int64_t>(random.below(3)) - 1;
}

// One long random life of a wheel with nodes and sleepers.
void live(std::uint64_t seed, int steps) {
  rng random(seed);
  std::int64_t now_ns = static_cast<std::int64_t>(random() >> (8 + random.below(50)));
  timer_wheel wheel(now_ns);
  auto expired_tick = static_cast<std::uint64_t>(now_ns) / tick_ns;
  auto batch = std::make_unique<ready_batch>();
  std::vector<probe*> fired;
  std::vector<probe> probes(400);
  std::vector<sleeper> sleepers(400);
  std::multimap<std::uint64_t, probe*> expected;        // by tick
  std::multimap<std::uint64_t, sleeper*> expected_sleepers;
  const auto forget = [](auto& from, auto* what) {
    const auto found = std::find_if(from.begin(), from.end(), [&](const auto& each) { return each.second == what; });
    ASSERT_NE(found, from.end());
    from.erase(found);
  };
  for (probe& each : probes) {
    each.fired = &fired;
    each.fire = &note;
  }
  for (int step = 0; step < steps; step++) {
    const std::uint64_t what = random.below(10);
    if (what < 3) {
      probe& node = probes[random.below(probes.size())];
      if (!node.armed) {
        node.due_ns = std::max<std::int64_t>(now_ns + random_span_ns(random), 0);
        node.armed = true;
        ASSERT_FALSE(wheel.arm(node)) << "nobody waits";
        expected.emplace(tick_of(node.due_ns), &node);
      }
    } else if (what < 5) {
      sleeper& task = sleepers[random.below(sleepers.size())];
      if (!task.asleep) {
        task.waits.due_ns = std::max<std::int64_t>(now_ns + random_span_ns(random), 0);
        task.record.word.store(task_record::parked, std::memory_order_relaxed);
        task.record.waits_on = &task.waits;
        task.asleep = true;
        ASSERT_FALSE(wheel.sleep(task.record, task.waits));
        expected_sleepers.emplace(tick_of(task.waits.due_ns), &task);
      }
    } else if (what < 6) {
      probe& node = probes[random.below(probes.size())];
      wheel.disarm(node);  // of one that is not armed: harmless
      if (node.armed) forget(expected, &node);
      node.armed = false;
    } else if (what < 7) {
      sleeper& task = sleepers[random.below(sleepers.size())];
      ASSERT_EQ(wheel.unsleep(task.record), task.asleep);
      if (task.asleep) forget(expected_sleepers, &task);
      task.asleep = false;
    } else {
      if (what == 9 && random.below(4) == 0) {
        // What a waiter would do: sleep exactly until the wheel asks for it.
        const std::int64_t due_ns = wheel.begin_wait();
        wheel.end_wait();
        std::uint64_t first = UINT64_MAX;
        if (!expected.empty()) first = expected.begin()->first;
        if (!expected_sleepers.empty()) first = std::min(first, expected_sleepers.begin()->first);
        if (first == UINT64_MAX) {
          ASSERT_EQ(due_ns, timer_wheel::never_ns);
        } else {
          ASSERT_LE(due_ns, std::max<std::int64_t>(static_cast<std::int64_t>(first) * tick_ns, 1)) << "it would oversleep";
          now_ns = std::max(now_ns, due_ns);
        }
      } else {
        now_ns += static_cast<std::int64_t>(random() >> (40 + random.below(24)));
        if (random.below(1000) == 0) now_ns += static_cast<std::int64_t>(random() >> 12);
      }
      fired.clear();
      batch->count = random.below(8) == 0 ? ready_batch::capacity - 1 - random.below(4) : 0;
      const std::size_t before = batch->count;
      std::vector<task_record*> woken;
      bool more = true;
      std::size_t from = before;
      while (more) {
        more = wheel.expire(now_ns, *batch);
        woken.insert(woken.end(), batch->records.begin() + static_cast<std::ptrdiff_t>(from),
                     batch->records.begin() + static_cast<std::ptrdiff_t>(batch->count));
        if (more) {
          ASSERT_EQ(batch->room(), 0u) << "it stops early only when there is no room";
        }
        batch->count = 0;
        from = 0;
      }
      const std::uint64_t now_tick = static_cast<std::uint64_t>(now_ns) / tick_ns;
      const std::uint64_t tick_when_armed = expired_tick;
      expired_tick = now_tick;
      std::uint64_t last = 0;
      for (probe* each : fired) {
        ASSERT_GE(now_ns, each->due_ns) << "early";
        const std::uint64_t tick = tick_of(each->due_ns);
        // What was due already when it was armed comes first, in the order of arming.
        ASSERT_TRUE(tick >= last || last <= tick_when_armed) << "out of order";
        last = std::max(last, tick);
        forget(expected, each);
      }
      for (task_record* each : woken) {
        auto* task = reinterpret_cast<sleeper*>(each);
        ASSERT_GE(now_ns, task->waits.due_ns) << "early";
        ASSERT_TRUE(task->asleep) << "woken twice";
        task->asleep = false;
        forget(expected_sleepers, task);
      }
      ASSERT_TRUE(expected.empty() || expected.begin()->first > now_tick) << "late";
      ASSERT_TRUE(expected_sleepers.empty() || expected_sleepers.begin()->first > now_tick) << "late";
      if (testing::Test::HasFatalFailure()) return;
    }
    if (random.below(256) == 0) wheel.check_invariants();
    ASSERT_EQ(wheel.entries_approx(), expected.size() + expected_sleepers.size());
  }
  for (probe& each : probes) wheel.disarm(each);
  for (sleeper& each : sleepers) wheel.unsleep(each.record);
  wheel.check_invariants();
  EXPECT_EQ(wheel.entries_approx(), 0u);
}

}  // namespace

TEST(timer_wheel, agrees_with_a_multimap_over_a_million_random_steps) {
  const int lives = 20;
  for (std::uint64_t seed = 1; seed <= lives; seed++) {
    SCOPED_TRACE(seed);
    live(seed, 1'000'000 / lives / test::slow_build_factor);
    if (HasFatalFailure()) return;
  }
}

TEST(timer_wheel, fires_in_the_order_of_ticks) {
  rng random(5);
  for (int round = 0; round < 20; round++) {
    const std::int64_t start_ns = static_cast<std::int64_t>(random() >> 16);
    timer_wheel wheel(start_ns);
    std::vector<probe*> fired;
    std::vector<probe> probes(2000);
    for (probe& each : probes) {
      each.fired = &fired;
      each.fire = &note;
      each.due_ns = start_ns + 2 * tick_ns + std::max<std::int64_t>(random_span_ns(random), 0);
      (void)wheel.arm(each);
    }
    auto batch = std::make_unique<ready_batch>();
    EXPECT_FALSE(wheel.expire(start_ns + 16 * top_ns, *batch));
    ASSERT_EQ(fired.size(), probes.size());
    EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end(),
                               [](probe* a, probe* b) { return tick_of(a->due_ns) < tick_of(b->due_ns); }));
  }
}

TEST(timer_wheel, an_entry_beyond_the_horizon_waits_its_whole_time) {
  for (const std::int64_t start_ns : {std::int64_t{0}, top_ns - 1, top_ns - tick_ns, top_ns, 5 * top_ns - 3 * tick_ns}) {
    for (const std::int64_t span_ns : {top_ns - tick_ns, top_ns, top_ns + tick_ns, 3 * top_ns + 17}) {
      timer_wheel wheel(start_ns);
      std::vector<probe*> fired;
      probe node;
      node.fired = &fired;
      node.fire = &note;
      node.due_ns = start_ns + span_ns;
      (void)wheel.arm(node);
      auto batch = std::make_unique<ready_batch>();
      int waits = 0;
      std::int64_t now_ns = start_ns;
      while (fired.empty() && waits < 100) {
        now_ns = std::max(now_ns, wheel.begin_wait());
        wheel.end_wait();
        wheel.expire(now_ns, *batch);
        waits++;
      }
      ASSERT_EQ(fired.size(), 1u);
      EXPECT_GE(now_ns, node.due_ns);
      EXPECT_LT(now_ns, node.due_ns + tick_ns);
      EXPECT_LE(waits, 16);
    }
  }
}

TEST(timer_wheel, tells_to_ring_a_waiter_only_for_what_it_would_oversleep) {
  timer_wheel wheel(0);
  std::vector<probe*> fired;
  probe late, early, later;
  for (probe* each : {&late, &early, &later}) {
    each->fired = &fired;
    each->fire = &note;
  }
  late.due_ns = 40 * tick_ns;
  early.due_ns = 10 * tick_ns;
  later.due_ns = 50 * tick_ns;
  EXPECT_FALSE(wheel.arm(late)) << "nobody waits";
  EXPECT_EQ(wheel.begin_wait(), 40 * tick_ns);
  EXPECT_FALSE(wheel.arm(later));
  EXPECT_TRUE(wheel.arm(early));
  wheel.end_wait();
  EXPECT_EQ(wheel.begin_wait(), 10 * tick_ns);
  wheel.end_wait();
  for (probe* each : {&late, &early, &later}) wheel.disarm(*each);
  EXPECT_EQ(wheel.begin_wait(), timer_wheel::never_ns);
  wheel.end_wait();
  wheel.check_invariants();
}

TEST(timer_wheel, disarm_waits_for_a_callback_that_is_running) {
  const int rounds = 2000 / test::slow_build_factor;
  for (int round = 0; round < rounds; round++) {
    timer_wheel wheel(0);
    struct slow : timer_node {
      int written = 0;  // plain: the wheel orders it
    };
    auto node = std::make_unique<slow>();
    node->due_ns = tick_ns;
    node->fire = [](timer_node& self) noexcept {
      for (int i = 0; i < 50; i++) static_cast<slow&>(self).written++;
      return timer_node::done;
    };
    (void)wheel.arm(*node);
    std::thread poller([&wheel] {
      auto batch = std::make_unique<ready_batch>();
      wheel.expire(2 * tick_ns, *batch);
    });
    wheel.disarm(*node);
    EXPECT_TRUE(node->written == 0 || node->written == 50) << node->written;
    node.reset();  // a callback that still ran would write to freed memory
    poller.join();
    EXPECT_EQ(wheel.entries_approx(), 0u);
  }
}

TEST(timer_wheel, a_callback_that_wants_to_come_again_is_disarmed_all_the_same) {
  const int rounds = 2000 / test::slow_build_factor;
  for (int round = 0; round < rounds; round++) {
    timer_wheel wheel(0);
    struct again : timer_node {
      int fired = 0;
    };
    auto node = std::make_unique<again>();
    node->due_ns = tick_ns;
    node->fire = [](timer_node& self) noexcept {
      static_cast<again&>(self).fired++;
      return self.due_ns + tick_ns;
    };
    (void)wheel.arm(*node);
    std::thread poller([&wheel] {
      auto batch = std::make_unique<ready_batch>();
      for (int tick = 1; tick < 20; tick++) wheel.expire(tick * tick_ns, *batch);
    });
    if (round % 2 == 0) std::this_thread::yield();
    wheel.disarm(*node);
    node.reset();
    poller.join();
    EXPECT_EQ(wheel.entries_approx(), 0u);
    wheel.check_invariants();
  }
  timer_wheel wheel(0);
  struct counted : timer_node {
    int fired = 0;
  } node;
  node.due_ns = tick_ns;
  node.fire = [](timer_node& self) noexcept {
    return ++static_cast<counted&>(self).fired < 3 ? self.due_ns + 2 * tick_ns : timer_node::done;
  };
  (void)wheel.arm(node);
  auto batch = std::make_unique<ready_batch>();
  for (int tick = 1; tick <= 10; tick++) wheel.expire(tick * tick_ns, *batch);
  EXPECT_EQ(node.fired, 3);
  EXPECT_EQ(wheel.entries_approx(), 0u);
}

TEST(timer_wheel, a_callback_may_arm_and_disarm_others) {
  timer_wheel wheel(0);
  struct chain : timer_node {
    timer_wheel* wheel_of = nullptr;
    timer_node* to_disarm = nullptr;
    timer_node* to_arm = nullptr;
    int fired = 0;
  };
  chain first, second, third;
  for (chain* each : {&first, &second, &third}) {
    each->wheel_of = &wheel;
    each->due_ns = tick_ns;
    each->fire = [](timer_node& node) noexcept {
      auto& self = static_cast<chain&>(node);
      self.fired++;
      if (self.to_disarm != nullptr) self.wheel_of->disarm(*self.to_disarm);
      if (self.to_arm != nullptr) (void)self.wheel_of->arm(*self.to_arm);
      return timer_node::done;
    };
  }
  first.to_disarm = &second;
  first.to_arm = &third;
  (void)wheel.arm(first);
  (void)wheel.arm(second);
  auto batch = std::make_unique<ready_batch>();
  wheel.expire(tick_ns, *batch);
  EXPECT_EQ(first.fired, 1);
  EXPECT_EQ(second.fired, 0) << "it was due in the same turn, but disarmed before it fired";
  wheel.expire(2 * tick_ns, *batch);
  EXPECT_EQ(third.fired, 1);
  wheel.check_invariants();
}

}  // namespace levity::detail
