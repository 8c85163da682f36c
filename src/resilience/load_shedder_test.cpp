// The rules of shed_queue among tasks: who waits, is shed, cancelled or late, and a whole server of coroutines at twice its
// capacity.
#include "levity/resilience/load_shedder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "levity/resilience/admission.hpp"
#include "tests/support/moments.hpp"
#include "tests/support/run_simulated.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using lv::test::at;
using lv::test::run_simulated;
using lv::test::run_tasks;

static_assert(lv::admission_policy<lv::load_shedder>);

namespace {

struct tally {
  std::array<std::uint64_t, lv::call_class::priorities> asked{};
  std::array<std::uint64_t, lv::call_class::priorities> refused{};
  std::vector<lv::duration> took;
  std::vector<int> order;
  std::uint64_t done = 0;
  std::uint64_t too_late = 0;
  std::uint64_t cancelled = 0;
  lv::time_point last_refusal{};

  [[nodiscard]] lv::duration took_at(double quantile) {
    std::sort(took.begin(), took.end());
    return took[static_cast<std::size_t>(quantile * static_cast<double>(took.size() - 1))];
  }
};

lv::task<> call(lv::load_shedder* door, lv::call_class what, lv::duration takes, tally* seen, int number) {
  const lv::time_point asked = lv::clock::now();
  seen->asked[what.priority]++;
  try {
    auto place = co_await door->admit(what);
    if (!place) {
      seen->refused[what.priority]++;
      seen->last_refusal = lv::clock::now();
      if (place.error().cause == lv::rejection_cause::too_late) seen->too_late++;
      co_return;
    }
    seen->order.push_back(number);
    co_await lv::sleep(takes);
    const lv::time_point now = lv::clock::now();
    seen->done++;
    seen->took.push_back(now - asked);
    place->record(lv::verdict::success, now);
  } catch (const lv::cancelled&) {
    seen->cancelled++;
    throw;
  }
}

TEST(load_shedder, gives_a_place_that_is_free_at_once_and_back_when_the_permit_goes) {
  lv::load_shedder door{{.concurrent_max = 2}};
  auto first = door.try_admit(at(0s));
  auto second = door.try_admit({.priority = 0}, at(0s));
  ASSERT_TRUE(first && second);
  const auto third = door.try_admit({.priority = 0}, at(0s));
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error(), (lv::rejection{lv::rejection_cause::overloaded, 100ms}));
  first->record(lv::verdict::success, at(10ms));
  first->record(lv::verdict::success, at(10ms));
  EXPECT_EQ(door.look().inside, 1U);
  EXPECT_EQ(door.look().service, 10ms);
  { const auto dropped = door.try_admit(at(11ms)); }
  EXPECT_EQ(door.look().inside, 1U);
  second = door.try_admit(at(12ms));
  EXPECT_EQ(door.look().inside, 1U);
  const auto fills = door.try_admit({.deadline = at(20ms)}, at(12ms));
  EXPECT_TRUE(fills) << "a place is free: it may be quicker than others were";
  const auto hurried = door.try_admit({.deadline = at(20ms)}, at(12ms));
  ASSERT_FALSE(hurried);
  EXPECT_EQ(hurried.error(), lv::rejection{lv::rejection_cause::too_late});
}

TEST(load_shedder, that_was_slow_once_is_used_again) {
  lv::load_shedder door{{.concurrent_max = 64}};
  door.try_admit(at(0s))->record(lv::verdict::success, at(2s));
  int admitted = 0;
  for (int i = 0; i < 1000; i++) {
    const lv::time_point now = at(2s + i * 10ms);
    auto place = door.try_admit({.deadline = now + 1s}, now);
    if (!place) continue;
    admitted++;
    place->record(lv::verdict::success, now + 10ms);
  }
  EXPECT_EQ(admitted, 1000);
}

TEST(load_shedder, serves_the_important_first_and_each_priority_in_its_order) {
  const int code = run_simulated(1, []() -> lv::task<> {
    lv::load_shedder door{{.concurrent_max = 1, .interval = 10s}};
    tally seen;
    lv::scope all;
    all.spawn(call, &door, lv::call_class{}, 1s, &seen, 0);
    co_await lv::sleep(10ms);
    for (int i = 1; i <= 6; i++) {
      all.spawn(call, &door, lv::call_class{.priority = static_cast<std::uint8_t>(i % 3)}, 1s, &seen, i);
      co_await lv::sleep(10ms);
    }
    EXPECT_EQ(door.look().waiting, 6U);
    co_await all.join();
    const std::vector<int> wanted{0, 3, 6, 1, 4, 2, 5};
    EXPECT_EQ(seen.order, wanted);
    EXPECT_EQ(door.look().inside, 0U);
  });
  EXPECT_EQ(code, 0);
}

TEST(load_shedder, who_waits_hears_no_after_the_interval_even_if_nothing_happens) {
  const int code = run_simulated(1, []() -> lv::task<> {
    lv::load_shedder door{{.concurrent_max = 1}};
    tally seen;
    auto inside = door.try_admit(lv::clock::now());
    const lv::time_point began = lv::clock::now();
    lv::scope all;
    all.spawn(call, &door, lv::call_class{}, 1s, &seen, 0);
    all.spawn(call, &door, lv::call_class{.deadline = began + 30ms}, 1s, &seen, 0);
    co_await all.join();
    EXPECT_EQ(seen.refused[3], 2U);
    EXPECT_EQ(seen.too_late, 1U);
    EXPECT_GE(lv::clock::now() - began, 100ms);
    EXPECT_LT(lv::clock::now() - began, 105ms);
    EXPECT_EQ(door.look().waiting, 0U);
  });
  EXPECT_EQ(code, 0);
}

TEST(load_shedder, who_is_cancelled_while_it_waits_leaves_no_trace) {
  const int code = run_simulated(1, []() -> lv::task<> {
    lv::load_shedder door{{.concurrent_max = 1, .interval = 10s}};
    tally seen;
    auto inside = door.try_admit(lv::clock::now());
    lv::scope called_off;
    called_off.spawn(call, &door, lv::call_class{.priority = 0}, 1s, &seen, 0);
    lv::scope stays;
    stays.spawn(call, &door, lv::call_class{.priority = 5}, 1s, &seen, 1);
    co_await lv::sleep(10ms);
    called_off.cancel();
    co_await called_off.join();
    EXPECT_EQ(seen.cancelled, 1U);
    EXPECT_EQ(door.look().left, 1U);
    EXPECT_EQ(door.look().waiting, 1U);
    inside->record(lv::verdict::neutral, lv::clock::now());
    co_await stays.join();
    EXPECT_EQ(seen.order, std::vector<int>{1});
    EXPECT_EQ(door.look().inside, 0U);
  });
  EXPECT_EQ(code, 0);
}

TEST(load_shedder, a_larger_size_lets_in_who_waits) {
  const int code = run_simulated(1, []() -> lv::task<> {
    lv::load_shedder door{{.concurrent_max = 1, .interval = 10s}};
    tally seen;
    lv::scope all;
    for (int i = 0; i < 5; i++) all.spawn(call, &door, lv::call_class{}, 1s, &seen, i);
    co_await lv::sleep(10ms);
    EXPECT_EQ(door.look().waiting, 4U);
    door.set_concurrent_max(5, lv::clock::now());
    co_await lv::sleep(10ms);
    EXPECT_EQ(door.look().inside, 5U);
    co_await all.join();
    EXPECT_EQ(seen.done, 5U);
  });
  EXPECT_EQ(code, 0);
}

// Calls of all priorities at random, at `load` times what `places` calls at once can do.
lv::task<> traffic(lv::load_shedder* door, std::uint64_t seed, unsigned places, lv::duration service, double load,
                   lv::duration span, tally* seen) {
  lv::rng random{seed};
  const lv::duration gap{static_cast<std::int64_t>(static_cast<double>(service.count()) / places / load)};
  const lv::time_point until = lv::clock::now() + span;
  lv::time_point next = lv::clock::now();
  lv::scope calls;
  for (;;) {
    next += lv::test::exponential(random, gap);
    if (next >= until) break;
    co_await lv::sleep_until(next);
    const lv::call_class what{.priority = static_cast<std::uint8_t>(random.below(lv::call_class::priorities)),
                              .cohort = static_cast<std::uint8_t>(random.below(lv::call_class::cohorts))};
    calls.spawn(call, door, what, lv::test::exponential(random, service), seen, 0);
  }
  co_await calls.join();
}

lv::task<> overload(std::uint64_t seed) {
  constexpr unsigned places = 16;
  constexpr lv::duration service = 10ms;
  lv::load_shedder door{{.concurrent_max = places}};
  tally before;
  co_await traffic(&door, seed, places, service, 0.5, 15s, &before);
  EXPECT_EQ(before.refused[0], 0U);
  tally during;
  co_await traffic(&door, seed + 100, places, service, 2, 15s, &during);
  const lv::time_point ended = lv::clock::now();
  tally after;
  co_await traffic(&door, seed + 200, places, service, 0.5, 5s, &after);
  EXPECT_GE(static_cast<double>(during.done), 0.9 * places * 1500) << "goodput";
  EXPECT_LE(during.took_at(0.99), 2 * before.took_at(0.99)) << "how late";
  EXPECT_LT(static_cast<double>(during.refused[0]), 0.001 * static_cast<double>(during.asked[0]));
  EXPECT_GT(static_cast<double>(during.refused[5]), 0.9 * static_cast<double>(during.asked[5]));
  EXPECT_LE(after.last_refusal - ended, 2s) << "recovery";
  EXPECT_LE(after.took_at(0.99), 3 * before.took_at(0.99) / 2);
  const auto looked = door.look();
  EXPECT_EQ(looked.inside, 0U);
  EXPECT_EQ(looked.waiting, 0U);
  EXPECT_FALSE(looked.overloaded);
  EXPECT_EQ(looked.admitted, before.done + during.done + after.done);
}

TEST(load_shedder, at_twice_the_capacity_a_server_of_coroutines_serves_at_capacity_and_in_time) {
  for (std::uint64_t seed = 1; seed <= 3; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const int code = run_simulated(seed, overload, seed);
    EXPECT_EQ(code, 0);
  }
}

struct census {
  lv::atomic<int> inside{0};
  lv::atomic<int> inside_max{0};
  lv::atomic<std::uint64_t> fates{0};
};

lv::task<> once(lv::load_shedder* door, lv::call_class what, lv::duration stay, bool tells, census* seen) {
  struct counted {
    census* in;
    explicit counted(census* to) : in(to) {
      const int now = in->inside.fetch_add(1, std::memory_order_relaxed) + 1;
      int most = in->inside_max.load(std::memory_order_relaxed);
      while (now > most && !in->inside_max.compare_exchange_weak(most, now, std::memory_order_relaxed, std::memory_order_relaxed)) {
      }
    }
    ~counted() { in->inside.fetch_sub(1, std::memory_order_relaxed); }
  };
  auto place = co_await door->admit(what);
  if (!place) co_return;
  {
    const counted here{seen};
    if (stay > 0us) co_await lv::sleep(stay);
  }
  if (tells) place->record(lv::verdict::success, lv::clock::now());
}

lv::task<> many(lv::load_shedder* door, std::uint64_t seed, int rounds, census* seen) {
  lv::rng random{seed};
  for (int i = 0; i < rounds; i++) {
    lv::call_class what{.priority = static_cast<std::uint8_t>(random.below(6)),
                        .cohort = static_cast<std::uint8_t>(random.below(128))};
    if (random.below(3) == 0) what.deadline = lv::clock::now() + std::chrono::microseconds(random.below(1000));
    const lv::duration stay = std::chrono::microseconds(random.below(2) == 0 ? 0 : random.below(200));
    const lv::duration within = std::chrono::microseconds(50 + random.below(1000));
    try {
      co_await lv::with_deadline(within, once(door, what, stay, random.below(2) == 0, seen));
    } catch (const lv::cancelled& why) {
      if (why.reason() != lv::cancel_reason::deadline) throw;
    }
    seen->fates.fetch_add(1, std::memory_order_relaxed);
  }
}

lv::task<> hammer(unsigned tasks, std::uint64_t seed, int rounds) {
  lv::load_shedder door{{.concurrent_max = 3, .waiting_max = 10, .target = 50us, .interval = 500us}};
  census seen;
  lv::scope all;
  for (unsigned i = 0; i < tasks; i++) all.spawn(many, &door, seed * 1000 + i, rounds, &seen);
  co_await all.join();
  EXPECT_EQ(seen.fates.load(std::memory_order_relaxed), std::uint64_t{tasks} * static_cast<std::uint64_t>(rounds));
  EXPECT_LE(seen.inside_max.load(std::memory_order_relaxed), 3);
  const auto looked = door.look();
  EXPECT_EQ(looked.inside, 0U);
  EXPECT_EQ(looked.waiting, 0U);
}

TEST(load_shedder, loses_no_place_whoever_is_cancelled_or_shed_when) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const int code = run_simulated(seed, hammer, 24U, seed, 40);
    EXPECT_EQ(code, 0);
  }
}

TEST(load_shedder, loses_no_place_among_threads) {
  run_tasks(4, hammer, 24U, std::uint64_t{1}, 4000 / lv::test::slow_build_factor);
}

TEST(load_shedder, observes_without_refusing) {
  lv::load_shedder door{{.concurrent_max = 1, .mode = lv::policy_mode::observe}};
  std::vector<lv::load_shedder::permit> inside;
  for (int i = 0; i < 10; i++) inside.push_back(*door.try_admit(at(0s)));
  EXPECT_EQ(door.look().admitted, 10U);
  EXPECT_EQ(door.look().inside, 10U);
}

}  // namespace
