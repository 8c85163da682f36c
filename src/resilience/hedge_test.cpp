// Second attempts in virtual time: when they begin, whose answer counts, and that nothing of the loser is left.

#include "levity/resilience/hedge.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "levity/resilience/retry.hpp"
#include "tests/support/run_simulated.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

template <class F, class... Args>
void simulate(F f, Args... args) {
  EXPECT_EQ(levity::test::run_simulated(42, std::move(f), std::move(args)...), 0);
}

using outcome = std::expected<int, std::string>;

// What the n-th attempt does.
struct script {
  struct step {
    lv::duration takes;
    bool fails = false;
    bool throws = false;
  };
  std::vector<step> steps;
  int begun = 0;
  int under_way = 0;
  int cut_short = 0;
  std::vector<std::optional<lv::duration>> left;

  lv::task<outcome> next() {
    const int number = ++begun;
    return run(this, number, steps[static_cast<std::size_t>(number - 1)]);
  }

  static lv::task<outcome> run(script* of, int number, step does) {
    struct presence {
      script* at;
      bool whole = false;
      explicit presence(script* here) : at(here) { at->under_way++; }
      ~presence() {
        at->under_way--;
        at->cut_short += whole ? 0 : 1;
      }
    };
    presence here(of);
    of->left.push_back(lv::deadline_left());
    co_await lv::sleep(does.takes);
    here.whole = true;
    if (does.throws) throw std::runtime_error("attempt " + std::to_string(number));
    if (does.fails) co_return std::unexpected("attempt " + std::to_string(number));
    co_return number;
  }
};

// A route whose calls take 10 ms: a second attempt begins after a little more.
void make_known(lv::hedged_route& route, lv::duration took = 10ms) {
  for (int i = 0; i < 1000; i++) (void)route.begin_call(lv::clock::now());
  for (int i = 0; i < 1000; i++) route.record(took, lv::clock::now());
}

// Past the 67 ms for which a delay is kept.
lv::task<> let_it_be_known() { co_await lv::sleep(70ms); }

TEST(hedge, a_call_of_an_unknown_route_is_made_once) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    script of{.steps = {{10s}}, .left = {}};
    const auto got = co_await lv::hedge(route, [&] { return of.next(); });
    EXPECT_EQ(got, 1);
    EXPECT_EQ(of.begun, 1);
    EXPECT_EQ(route.latency().samples(lv::clock::now()), 1u);
  });
}

TEST(hedge, a_quick_call_is_made_once) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    make_known(route);
    co_await let_it_be_known();
    script of{.steps = {{9ms}}, .left = {}};
    const lv::time_point began = lv::clock::now();
    const auto got = co_await lv::hedge(route, [&] { return of.next(); });
    EXPECT_EQ(got, 1);
    EXPECT_EQ(of.begun, 1);
    EXPECT_LT(lv::clock::now() - began, 10ms) << "nobody waits for the second attempt's moment";
    EXPECT_EQ(route.counted().hedged, 0u);
  });
}

TEST(hedge, a_slow_call_is_made_twice_and_the_first_good_answer_counts) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    make_known(route);
    co_await let_it_be_known();
    script of{.steps = {{1h}, {5ms}}, .left = {}};
    const lv::time_point began = lv::clock::now();
    const auto got = co_await lv::hedge(route, [&] { return of.next(); });
    EXPECT_EQ(got, 2);
    EXPECT_GE(lv::clock::now() - began, 15ms);
    EXPECT_LE(lv::clock::now() - began, 18ms);
    EXPECT_EQ(of.under_way, 0) << "the loser has ended";
    EXPECT_EQ(of.cut_short, 1);
    EXPECT_EQ(route.counted().hedged, 1u);
    EXPECT_EQ(route.counted().won, 1u);
  });
}

TEST(hedge, the_first_attempt_may_still_be_first) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    make_known(route);
    co_await let_it_be_known();
    script of{.steps = {{14ms}, {1h}}, .left = {}};
    const auto got = co_await lv::hedge(route, [&] { return of.next(); });
    EXPECT_EQ(got, 1);
    EXPECT_EQ(of.begun, 2);
    EXPECT_EQ(of.under_way, 0);
    EXPECT_EQ(route.counted().won, 0u);
  });
}

TEST(hedge, an_attempt_that_fails_before_the_second_begins_is_the_answer) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    make_known(route);
    co_await let_it_be_known();
    script of{.steps = {{2ms, true}}, .left = {}};
    const lv::time_point began = lv::clock::now();
    const auto got = co_await lv::hedge(route, [&] { return of.next(); });
    EXPECT_EQ(got, outcome(std::unexpect, "attempt 1"));
    EXPECT_EQ(of.begun, 1);
    EXPECT_LT(lv::clock::now() - began, 3ms);
  });
}

TEST(hedge, an_attempt_that_fails_leaves_the_other_to_decide) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    make_known(route);
    co_await let_it_be_known();
    script first_fails{.steps = {{13ms, true}, {10ms}}, .left = {}};
    const auto second = co_await lv::hedge(route, [&] { return first_fails.next(); });
    EXPECT_EQ(second, 2);
    script second_fails{.steps = {{30ms}, {5ms, true}}, .left = {}};
    const auto first = co_await lv::hedge(route, [&] { return second_fails.next(); });
    EXPECT_EQ(first, 1);
    script both_fail{.steps = {{30ms, true}, {5ms, true}}, .left = {}};
    const auto last = co_await lv::hedge(route, [&] { return both_fail.next(); });
    EXPECT_EQ(last, outcome(std::unexpect, "attempt 1"));
  });
}

TEST(hedge, what_the_deciding_attempt_throws_is_thrown) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    make_known(route);
    co_await let_it_be_known();
    script of{.steps = {{2ms, false, true}}, .left = {}};
    std::string what;
    try {
      (void)co_await lv::hedge(route, [&] { return of.next(); });
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "attempt 1");
    script loses{.steps = {{13ms, false, true}, {9ms}}, .left = {}};
    const auto got = co_await lv::hedge(route, [&] { return loses.next(); });
    EXPECT_EQ(got, 2) << "an exception is a failure that leaves the other to decide";
  });
}

// What makes the second attempt, and not the attempt, throws: that is no word on the first, which runs.
TEST(hedge, work_that_cannot_begin_a_second_time_leaves_the_first_to_decide) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    make_known(route);
    co_await let_it_be_known();
    script of{.steps = {{20ms}}, .left = {}};
    const auto got = co_await lv::hedge(route, [&] {
      if (of.begun == 1) throw std::runtime_error("no more");
      return of.next();
    });
    EXPECT_EQ(got, 1);
    EXPECT_EQ(of.under_way, 0);
  });
}

TEST(hedge, a_second_attempt_that_does_not_begin_costs_no_budget) {
  simulate([]() -> lv::task<> {
    lv::retry_budget shared;
    lv::hedged_route route(shared);
    make_known(route);
    co_await let_it_be_known();
    script of{.steps = {{20ms}}, .left = {}};
    try {
      (void)co_await lv::hedge(route, [&] {
        if (of.begun == 1) throw std::runtime_error("no more");
        return of.next();
      });
    } catch (const std::runtime_error&) {
    }
    EXPECT_EQ(of.begun, 1);
    EXPECT_EQ(shared.counts_at(lv::clock::now()).spent, 0u);
    EXPECT_EQ(route.counted().hedged, 0u);
  });
}

TEST(hedge, both_attempts_see_the_deadline_around_and_end_with_it) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    make_known(route);
    co_await let_it_be_known();
    script of{.steps = {{1h}, {1h}}, .left = {}};
    struct probe {
      static lv::task<outcome> calls(lv::hedged_route& through, script& at) {
        co_return co_await lv::hedge(through, [&at] { return at.next(); });
      }
    };
    const lv::time_point began = lv::clock::now();
    const auto got = co_await lv::with_timeout(100ms, probe::calls(route, of));
    EXPECT_FALSE(got.has_value());
    EXPECT_LT(lv::clock::now() - began, 101ms);
    EXPECT_EQ(of.under_way, 0);
    EXPECT_EQ(of.left.size(), 2u);
    for (const auto& each : of.left) EXPECT_TRUE(each && *each <= 100ms && *each > 80ms);
  });
}

// A quantile that forgot the slow ones would fall, and hedge more and more.
TEST(hedge, a_first_attempt_that_lost_counts_as_slow) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    make_known(route);
    co_await let_it_be_known();
    const std::uint64_t before = route.latency().samples(lv::clock::now());
    script of{.steps = {{1h}, {1ms}}, .left = {}};
    const auto got = co_await lv::hedge(route, [&] { return of.next(); });
    EXPECT_EQ(got, 2);
    EXPECT_EQ(route.latency().samples(lv::clock::now()), before + 2);
    script first_wins{.steps = {{12ms}, {1h}}, .left = {}};
    const auto first = co_await lv::hedge(route, [&] { return first_wins.next(); });
    EXPECT_EQ(first, 1);
    EXPECT_EQ(route.latency().samples(lv::clock::now()), before + 3)
        << "of the second it is not known how long it would have taken";
  });
}

// Ten thousand calls of a route of which every fiftieth is slow, and then all are.
TEST(hedge, at_most_a_twentieth_of_the_calls_are_made_twice) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    lv::rng random{7};
    std::uint64_t attempts = 0;
    const auto calls = [](lv::hedged_route* through, std::uint64_t* count, lv::duration takes) -> lv::task<> {
      const auto work = [](std::uint64_t* asked, lv::duration time) -> lv::task<outcome> {
        ++*asked;
        co_await lv::sleep(time);
        co_return 1;
      };
      const auto got = co_await lv::hedge(*through, [=] { return work(count, takes); });
      EXPECT_TRUE(got.has_value());
    };
    constexpr std::uint64_t requests = 20'000;
    lv::scope callers;
    for (std::uint64_t i = 0; i < requests; i++) {
      const bool is_slow = i > requests / 2 || random.below(50) == 0;
      callers.spawn(calls, &route, &attempts, is_slow ? lv::duration{300ms} : lv::duration{10ms});
      co_await lv::sleep(2ms);
    }
    co_await callers.join();
    EXPECT_LE(static_cast<double>(attempts), 1.05 * requests);
    EXPECT_EQ(attempts, requests + route.counted().hedged);
    EXPECT_GT(route.counted().hedged, requests / 200);
    EXPECT_GT(route.counted().refused, 0u);
  });
}

TEST(hedge, draws_from_the_budget_that_it_shares) {
  simulate([]() -> lv::task<> {
    lv::retry_budget::options none;
    none.share_max = 0;
    none.per_second_min = 0;
    lv::retry_budget shared(none);
    lv::hedged_route route(shared);
    make_known(route);
    co_await let_it_be_known();
    script of{.steps = {{1s}}, .left = {}};
    const auto got = co_await lv::hedge(route, [&] { return of.next(); });
    EXPECT_EQ(got, 1);
    EXPECT_EQ(route.counted().refused, 1u);

    lv::retry_budget some;
    lv::hedged_route other(some);
    make_known(other);
    co_await let_it_be_known();
    script twice{.steps = {{1s}, {1ms}}, .left = {}};
    const auto second = co_await lv::hedge(other, [&] { return twice.next(); });
    EXPECT_EQ(second, 2);
    EXPECT_EQ(some.counts_at(lv::clock::now()).spent, 1u);
  });
}

TEST(hedge, keeps_the_work_for_as_long_as_it_runs_and_no_longer) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    make_known(route);
    co_await let_it_be_known();
    script of{.steps = {{1h}, {5ms}}, .left = {}};
    const auto owned = std::make_shared<script*>(&of);
    const auto starts = [&] {
      const auto calls = [owned] { return (*owned)->next(); };
      return lv::hedge(route, calls);
    };
    const auto got = co_await starts();
    EXPECT_EQ(got, 2);
    EXPECT_EQ(owned.use_count(), 1);
  });
}

TEST(hedge, nothing_is_left_behind_whenever_it_is_cancelled) {
  simulate([]() -> lv::task<> {
    lv::hedged_route route;
    for (int after_us = 0; after_us < 40'000; after_us += 200) {
      if (after_us % 8000 == 0) make_known(route);
      co_await let_it_be_known();
      script of{.steps = {{25ms}, {after_us % 400 == 0 ? lv::duration{15ms} : lv::duration{5ms}}}, .left = {}};
      const auto calls = [](lv::hedged_route* through, script* at) -> lv::task<> {
        (void)co_await lv::hedge(*through, [=] { return at->next(); });
      };
      lv::scope one;
      one.spawn(calls, &route, &of);
      co_await lv::sleep(after_us * 1us);
      const lv::time_point told = lv::clock::now();
      one.cancel();
      co_await one.join();
      EXPECT_LT(lv::clock::now() - told, 1ms);
      EXPECT_EQ(of.under_way, 0);
    }
  });
}

}  // namespace
