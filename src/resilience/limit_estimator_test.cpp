// Against a simulated server with a known number of places: the limit finds it, from below and from above, follows when it changes,
// and is neither starved by a server that is slow for everybody nor inflated by calls that are few.
#include "levity/resilience/limit_estimator.hpp"
#include "tests/support/moments.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <queue>
#include <string>
#include <vector>


namespace lv = levity;
using namespace std::chrono_literals;
using lv::test::at;

namespace {

// M/G/c in virtual time: calls come at random, those over the limit are turned away, the server has `places` and a queue without
// end.
class world {
public:
  enum class work : std::uint8_t { even, exponential };

  world(std::uint64_t seed, lv::limit_estimator_options options) : random_(seed), limit(options) {
    events_.push({0ns, {}, false});
  }

  // What may be changed between two runs.
  unsigned places = 20;
  lv::duration service = 10ms;
  work kind = work::exponential;
  double calls_per_second = 3000;
  double failing = 0;         // share of calls that fail whatever the load
  unsigned failing_over = 0;  // calls beyond so many inside fail, at once; 0: none do
  bool observed = false;      // nobody keeps to the limit

  struct seen {
    std::uint64_t done = 0;
    std::uint64_t refused = 0;
    double took_mean_ms = 0;
    double limit_mean = 0;
    double limit_least = 1e9;
    double limit_most = 0;
  };

  seen run(lv::duration span) {
    seen what;
    double took_ns = 0;
    double weighted = 0;
    const lv::duration until = now_ + span;
    while (events_.top().at < until) {
      const event next = events_.top();
      events_.pop();
      const auto now_limit = static_cast<double>(limit.limit());
      weighted += now_limit * static_cast<double>((next.at - now_).count());
      what.limit_least = std::min(what.limit_least, now_limit);
      what.limit_most = std::max(what.limit_most, now_limit);
      now_ = next.at;
      if (!next.ends) {
        arrive(what);
        events_.push({now_ + lv::test::exponential(random_, lv::duration{static_cast<std::int64_t>(1e9 / calls_per_second)}), {},
                      false});
        continue;
      }
      if (busy_ > 0) busy_--;
      inside_--;
      what.done++;
      took_ns += static_cast<double>((at(now_) - next.call.at).count());
      limit.end(next.call, draws(failing) ? lv::verdict::failure : lv::verdict::success, at(now_));
      begin();
    }
    now_ = until;
    what.took_mean_ms = what.done == 0 ? 0 : took_ns / 1e6 / static_cast<double>(what.done);
    what.limit_mean = weighted / static_cast<double>(span.count());
    return what;
  }

  /// What the server can do, in calls.
  [[nodiscard]] double capacity(lv::duration span) const {
    return places * static_cast<double>(span.count()) / static_cast<double>(service.count());
  }

private:
  struct event {
    lv::duration at;
    lv::limit_estimator::begun call;
    bool ends;
    bool operator<(const event& other) const { return at > other.at; }
  };

  bool draws(double share) { return share > 0 && static_cast<double>(random_() >> 11) * 0x1.0p-53 < share; }

  void arrive(seen& what) {
    if (inside_ >= limit.limit() && !observed) {
      what.refused++;
      return;
    }
    inside_++;
    const auto call = limit.begin(at(now_), inside_);
    if (failing_over != 0 && inside_ > failing_over) {
      limit.end(call, lv::verdict::failure, at(now_ + 1ms));
      inside_--;
      return;
    }
    waiting_.push_back(call);
    begin();
  }
  void begin() {
    while (busy_ < places && !waiting_.empty()) {
      const lv::limit_estimator::begun next = waiting_.front();
      waiting_.pop_front();
      busy_++;
      const lv::duration takes = kind == work::even ? service : lv::test::exponential(random_, service);
      events_.push({now_ + takes, next, true});
    }
  }

  lv::rng random_;
  lv::duration now_{};
  unsigned inside_ = 0;
  unsigned busy_ = 0;
  std::deque<lv::limit_estimator::begun> waiting_;
  std::priority_queue<event> events_;

public:
  lv::limit_estimator limit;
};

constexpr std::uint64_t seeds = 2;

// At half as much again as the server can do: nearly all of its capacity is used, and a call takes at most twice as long as alone.
TEST(limit_estimator, finds_the_capacity_of_a_server) {
  struct server {
    unsigned places;
    lv::duration service;
    world::work kind;
    double used;      // of the capacity, at least
    double most;      // mean limit, by places
  };
  const server servers[] = {
      {20, 10ms, world::work::exponential, 0.92, 2.0}, {20, 10ms, world::work::even, 0.95, 1.4},
      {100, 20ms, world::work::exponential, 0.92, 1.8}, {100, 20ms, world::work::even, 0.92, 1.4},
      {8, 50ms, world::work::exponential, 0.7, 2.4},
  };
  for (const server& each : servers) {
    for (std::uint64_t seed = 1; seed <= seeds; seed++) {
      SCOPED_TRACE(std::to_string(each.places) + " places, seed " + std::to_string(seed));
      world all{seed, {}};
      all.places = each.places;
      all.service = each.service;
      all.kind = each.kind;
      all.calls_per_second = 1.5 * each.places / (static_cast<double>(each.service.count()) / 1e9);
      all.run(8s);
      const auto seen = all.run(25s);
      EXPECT_GE(static_cast<double>(seen.done), each.used * all.capacity(25s));
      EXPECT_LE(seen.limit_mean, each.most * each.places);
      EXPECT_LE(seen.took_mean_ms, 2.2 * static_cast<double>(each.service.count()) / 1e6);
    }
  }
}

// Of long calls those that end first are the quick ones. The window of one that takes a second lasts some; the limit comes as far.
TEST(limit_estimator, finds_the_capacity_of_a_server_whose_calls_are_long) {
  struct server {
    unsigned places;
    lv::duration service;
    world::work kind;
  };
  const server servers[] = {{100, 500ms, world::work::exponential}, {100, 1s, world::work::exponential},
                            {100, 1s, world::work::even}, {20, 1s, world::work::exponential},
                            {100, 30s, world::work::exponential}};
  for (const server& each : servers) {
    for (std::uint64_t seed = 1; seed <= seeds; seed++) {
      SCOPED_TRACE(std::to_string(each.places) + " places, " + std::to_string(each.service / 1ms) + " ms, seed " +
                   std::to_string(seed));
      world all{seed, {}};
      all.places = each.places;
      all.service = each.service;
      all.kind = each.kind;
      all.calls_per_second = 1.5 * each.places / (static_cast<double>(each.service.count()) / 1e9);
      all.run(320 * each.service);
      const lv::duration span = 200 * each.service;
      const auto seen = all.run(span);
      EXPECT_GE(static_cast<double>(seen.done), 0.75 * all.capacity(span));
      EXPECT_LE(seen.limit_mean, 2.4 * each.places);
      EXPECT_LE(seen.took_mean_ms, 2.4 * static_cast<double>(each.service.count()) / 1e6);
    }
  }
}

// Calls of an hour begin, and the ones of a moment after them tell at once, as those of a service do that hangs for some.
TEST(limit_estimator, does_not_wait_for_ever_for_calls_that_do_not_come_back) {
  lv::limit_estimator limit{{.initial = 10}};
  for (int i = 0; i < 1000; i++) limit.end(limit.begin(at(i * 10ms), 3), lv::verdict::success, at(i * 10ms + 5ms));
  const auto windows = limit.look().windows;
  EXPECT_GE(windows, 4U);
  std::vector<lv::limit_estimator::begun> hang;
  for (int i = 1000; i < 1100; i++) hang.push_back(limit.begin(at(i * 10ms), 3));
  for (int i = 1100; i < 1200; i++) limit.end(limit.begin(at(i * 10ms), 3), lv::verdict::success, at(i * 10ms + 5ms));
  EXPECT_GT(limit.look().windows, windows);
  EXPECT_GT(limit.recent(), 20ms) << "they have been under way for longer than that";
}

// Nobody keeps to the limit. It falls to the places all the same when they are too few, and not when all calls take longer.
TEST(limit_estimator, that_observes_finds_the_capacity_without_holding_anybody_back) {
  for (const auto& [places, service] : {std::pair{20U, lv::duration{10ms}}, {100U, lv::duration{20ms}}, {8U, lv::duration{50ms}}}) {
    for (std::uint64_t seed = 1; seed <= seeds; seed++) {
      SCOPED_TRACE(std::to_string(places) + " places, seed " + std::to_string(seed));
      world all{seed, {.observes = true}};
      all.observed = true;
      all.places = places;
      all.service = service;
      const double able = places / (static_cast<double>(service.count()) / 1e9);
      all.calls_per_second = 0.6 * able;
      all.run(10s);
      EXPECT_GE(all.limit.limit(), places);
      all.calls_per_second = 1.2 * able;
      all.run(10s);
      const auto full = all.run(5s);
      EXPECT_EQ(full.refused, 0U);
      EXPECT_GE(full.limit_least, 0.9 * places);
      EXPECT_LE(full.limit_most, 1.5 * places);
      EXPECT_GT(full.took_mean_ms, 10 * static_cast<double>(service.count()) / 1e6) << "nobody is held back";
      all.calls_per_second = 0.15 * able;
      all.run(20s);
      all.service = 4 * service;
      all.run(20s);
      EXPECT_GE(all.run(10s).limit_least, 0.6 * places) << "it is not our doing that calls take longer";
    }
  }
}

TEST(limit_estimator, that_observes_falls_when_too_many_at_once_fail) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    world all{seed, {.observes = true}};
    all.observed = true;
    all.places = 1000;
    all.failing_over = 15;
    all.run(5s);
    EXPECT_LE(all.run(10s).limit_mean, 15);
  }
}

TEST(limit_estimator, falls_within_two_seconds_when_the_server_loses_places_and_comes_back) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    world all{seed, {}};
    all.run(10s);
    all.places = 5;  // of 20
    all.run(2s);
    EXPECT_LE(all.run(3s).limit_mean, 20);
    const auto small = all.run(15s);
    EXPECT_LE(small.limit_mean, 14);
    EXPECT_GE(static_cast<double>(small.done), 0.75 * all.capacity(15s));
    EXPECT_LE(small.took_mean_ms, 30);
    all.places = 20;
    all.run(8s);
    const auto large = all.run(10s);
    EXPECT_GE(large.limit_mean, 17);
    EXPECT_GE(static_cast<double>(large.done), 0.85 * all.capacity(10s));
  }
}

// Calls take four times as long for a reason of their own: who lowers the limit until they are as quick as before starves.
TEST(limit_estimator, is_not_starved_by_a_server_that_is_slower_for_everybody) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    world all{seed, {}};
    all.run(10s);
    all.service = 40ms;
    all.run(5s);
    const auto slow = all.run(25s);
    EXPECT_GE(static_cast<double>(slow.done), 0.75 * all.capacity(25s));
    EXPECT_GE(slow.limit_mean, 14);
    all.service = 10ms;
    all.run(20s);
    const auto quick = all.run(10s);
    EXPECT_GE(static_cast<double>(quick.done), 0.85 * all.capacity(10s));
    EXPECT_LE(quick.limit_mean, 70);
  }
}

TEST(limit_estimator, does_not_grow_while_it_is_not_in_use) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    world all{seed, {}};
    all.calls_per_second = 300;  // three inside
    const auto seen = all.run(60s);
    EXPECT_EQ(seen.refused, 0U);
    EXPECT_LE(seen.limit_most, 25);
    EXPECT_GE(seen.limit_least, 20);
  }
}

TEST(limit_estimator, comes_down_from_far_too_much) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    world all{seed, {.initial = 800}};
    all.run(15s);
    const auto seen = all.run(20s);
    EXPECT_LE(seen.limit_mean, 40);
    EXPECT_GE(static_cast<double>(seen.done), 0.9 * all.capacity(20s));
  }
}

// The server turns away what is more than 15: fewer calls fail less.
TEST(limit_estimator, falls_when_too_many_at_once_fail) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    world all{seed, {}};
    all.places = 1000;
    all.failing_over = 15;
    all.run(10s);
    EXPECT_LE(all.run(30s).limit_mean, 20);
  }
}

// A third of all calls fails whatever the load: that is for a breaker, and no reason to ask less.
TEST(limit_estimator, is_not_starved_by_failures_that_do_not_depend_on_it) {
  for (std::uint64_t seed = 1; seed <= seeds; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    world all{seed, {}};
    all.run(10s);
    all.failing = 0.33;
    all.run(5s);
    const auto seen = all.run(25s);
    EXPECT_GE(static_cast<double>(seen.done), 0.9 * all.capacity(25s));
  }
}

TEST(limit_estimator, stays_within_its_bounds_whatever_it_is_told) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    lv::rng random{seed};
    const auto least = static_cast<unsigned>(1 + random.below(10));
    const auto most = static_cast<unsigned>(least + random.below(50));
    lv::limit_estimator limit{{.initial = static_cast<unsigned>(random.below(200)), .limit_min = least, .limit_max = most}};
    lv::duration now{};
    std::vector<lv::limit_estimator::begun> under_way;
    for (int i = 0; i < 10'000; i++) {
      now += lv::test::exponential(random, 1ms);
      const lv::duration took = random.below(10) == 0 ? lv::duration{static_cast<std::int64_t>(random.below(1'000'000'000'000))}
                                                      : lv::test::exponential(random, 5ms);
      const auto said = static_cast<lv::verdict>(random.below(3));
      const unsigned before = limit.limit();
      // Some end before they began, as threads disagree about the time, and one in ten never does.
      under_way.push_back(limit.begin(at(now), static_cast<unsigned>(random.below(100))));
      const auto call = under_way[random.below(under_way.size())];
      std::erase_if(under_way, [&](const auto& each) { return each.at == call.at; });
      if (random.below(10) == 0) continue;
      const bool moved = limit.end(call, said, random.below(50) == 0 ? call.at - took : call.at + took);
      EXPECT_EQ(moved, limit.limit() != before);
      ASSERT_GE(limit.limit(), least);
      ASSERT_LE(limit.limit(), most);
    }
  }
}

TEST(limit_estimator, bounds_what_it_is_given) {
  lv::limit_estimator odd{{.initial = 5, .limit_min = 0, .limit_max = 0, .quantile = std::nan(""), .window_min = -1s}};
  EXPECT_EQ(odd.limit(), 1U);
  EXPECT_EQ(odd.baseline(), lv::duration::zero());
  EXPECT_FALSE(odd.end(odd.begin(at(0s), 1), lv::verdict::neutral, at(1s)));
}

}  // namespace
