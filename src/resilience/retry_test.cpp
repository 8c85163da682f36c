// Calls that are made again, in virtual time: when, how often, and never beyond what time, budget and policy give.

#include "levity/resilience/retry.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "levity/resilience/call_error.hpp"
#include "tests/support/run_simulated.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

template <class F, class... Args>
void simulate(F f, Args... args) {
  EXPECT_EQ(levity::test::run_simulated(42, std::move(f), std::move(args)...), 0);
}

using outcome = std::expected<int, std::string>;

lv::retry_policy::options seeded(int repetitions = 2) {
  lv::retry_policy::options how;
  how.repetitions_max = repetitions;
  how.seed = 42;
  return how;
}

// A service that fails so often before it answers, and notes when it was asked.
struct service {
  int failures = 0;
  lv::duration takes{};
  std::vector<lv::time_point> asked;

  lv::task<outcome> ask() {
    asked.push_back(lv::clock::now());
    const auto number = static_cast<int>(asked.size());
    if (takes > 0ns) co_await lv::sleep(takes);
    if (number <= failures) co_return std::unexpected("failure " + std::to_string(number));
    co_return number;
  }
};

TEST(retry, a_call_that_succeeds_is_made_once) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget;
    service of;
    const auto got = co_await lv::retry(policy, budget, [&] { return of.ask(); });
    EXPECT_EQ(got, 1);
    EXPECT_EQ(of.asked.size(), 1u);
    EXPECT_EQ(budget.counts_at(lv::clock::now()).requests_in_window, 1u);
  });
}

TEST(retry, a_call_that_fails_is_made_again_after_a_while) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget;
    service of{.failures = 2, .takes = {}, .asked = {}};
    const auto got = co_await lv::retry(policy, budget, [&] { return of.ask(); });
    EXPECT_EQ(got, 3);
    EXPECT_EQ(of.asked.size(), 3u);
    EXPECT_LE(of.asked[1] - of.asked[0], 25ms + 1ms);
    EXPECT_LE(of.asked[2] - of.asked[1], 50ms + 1ms);
    EXPECT_GT(of.asked[2] - of.asked[0], 0ms);
    EXPECT_EQ(budget.counts_at(lv::clock::now()).requests_in_window, 1u) << "repetitions are no requests";
    EXPECT_EQ(budget.counts_at(lv::clock::now()).spent, 2u);
  });
}

TEST(retry, the_last_failure_is_the_outcome) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget;
    service of{.failures = 9, .takes = {}, .asked = {}};
    const auto got = co_await lv::retry(policy, budget, [&] { return of.ask(); });
    EXPECT_EQ(got, outcome(std::unexpect, "failure 3"));
  });
}

TEST(retry, nothing_begins_when_nobody_waits_any_more) {
  simulate([]() -> lv::task<> {
    lv::retry_budget budget;
    for (int limit_ms = 1; limit_ms < 120; limit_ms += 7) {
      auto how = seeded(50);
      how.seed = static_cast<std::uint64_t>(limit_ms);
      lv::retry_policy policy(how);
      service of{.failures = 99, .takes = 3ms, .asked = {}};
      const lv::time_point due = lv::clock::now() + limit_ms * 1ms;
      struct probe {
        static lv::task<outcome> calls(lv::retry_policy& with, lv::retry_budget& from, service& at) {
          co_return co_await lv::retry(with, from, [&at] { return at.ask(); });
        }
      };
      std::string error;
      try {
        const auto got = co_await lv::with_deadline(due, probe::calls(policy, budget, of));
        error = got ? "answered" : got.error();
      } catch (const lv::cancelled& why) {
        error = to_string(why.reason());  // its own sleep, in an attempt
      }
      EXPECT_NE(error, "answered");
      for (const lv::time_point each : of.asked) EXPECT_LT(each, due);
      co_await lv::sleep(20s);
    }
  });
}

TEST(retry, who_asks_to_be_left_alone_is) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget;
    service of{.failures = 1, .takes = {}, .asked = {}};
    const auto judge = [](const outcome& of_call) -> lv::judgement {
      if (of_call) return {};
      return {lv::verdict::failure, true, 3s};
    };
    const auto got = co_await lv::retry(policy, budget, [&] { return of.ask(); }, judge);
    EXPECT_EQ(got, 2);
    EXPECT_GE(of.asked[1] - of.asked[0], 3s);
    EXPECT_LE(of.asked[1] - of.asked[0], 3s + 26ms);
  });
}

TEST(retry, what_is_final_is_not_repeated) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget;
    service of{.failures = 1, .takes = {}, .asked = {}};
    const auto judge = [](const outcome& of_call) {
      return lv::judgement{of_call ? lv::verdict::success : lv::verdict::neutral, false, {}};
    };
    const auto got = co_await lv::retry(policy, budget, [&] { return of.ask(); }, judge);
    EXPECT_EQ(got, outcome(std::unexpect, "failure 1"));
    EXPECT_EQ(of.asked.size(), 1u);
  });
}

// A value may be judged a failure, as an HTTP answer 503 is; the last one is returned.
TEST(retry, a_value_may_be_worth_another_attempt) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget;
    service of;
    const auto judge = [](const outcome& of_call) {
      return lv::judgement{lv::verdict::failure, of_call.has_value() && *of_call < 3, {}};
    };
    const auto got = co_await lv::retry(policy, budget, [&] { return of.ask(); }, judge);
    EXPECT_EQ(got, 3);
  });
}

TEST(retry, what_the_work_throws_passes_through_and_is_not_repeated) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget;
    int calls = 0;
    const auto throws = [](int* count) -> lv::task<outcome> {
      ++*count;
      co_await lv::yield();
      throw std::runtime_error("its own");
    };
    std::string what;
    try {
      (void)co_await lv::retry(policy, budget, [&] { return throws(&calls); });
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "its own");
    EXPECT_EQ(calls, 1);
  });
}

TEST(retry, errors_say_themselves_what_they_mean) {
  const lv::default_judge judge;
  EXPECT_EQ(judge(outcome(1)), lv::judgement{});
  EXPECT_EQ(judge(outcome(std::unexpect, "no")), (lv::judgement{lv::verdict::failure, true, {}}));
  using io = std::expected<int, lv::io_error>;
  EXPECT_EQ(judge(io(std::unexpect, lv::io_failure::cancelled)), (lv::judgement{lv::verdict::neutral, false, {}}));
  EXPECT_EQ(judge(io(std::unexpect, lv::io_failure::timed_out)), (lv::judgement{lv::verdict::failure, true, {}}));
  using refused = std::expected<int, lv::rejection>;
  EXPECT_EQ(judge(refused(std::unexpect, lv::rejection{lv::rejection_cause::breaker_open, 5s})),
            (lv::judgement{lv::verdict::neutral, false, 5s}));
  using call = std::expected<int, lv::call_error<lv::io_error>>;
  EXPECT_EQ(judge(call(std::unexpect, lv::rejection{lv::rejection_cause::breaker_open, 5s})),
            (lv::judgement{lv::verdict::neutral, false, 5s}));
  EXPECT_EQ(judge(call(std::unexpect, lv::call_timeout::total)), (lv::judgement{lv::verdict::failure, true, {}}));
  EXPECT_EQ(judge(call(std::unexpect, std::in_place, lv::io_failure::cancelled)), (lv::judgement{lv::verdict::neutral, false, {}}));
}

// A thousand callers a second against a service that is down, for two minutes.
TEST(retry, a_dead_service_gets_at_most_a_tenth_more_load) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget;
    std::uint64_t attempts = 0;
    const auto calls = [](lv::retry_policy* with, lv::retry_budget* from, std::uint64_t* count) -> lv::task<> {
      const auto dead = [](std::uint64_t* asked) -> lv::task<outcome> {
        ++*asked;
        co_await lv::sleep(5ms);
        co_return std::unexpected("down");
      };
      const auto got = co_await lv::retry(*with, *from, [&] { return dead(count); });
      EXPECT_FALSE(got.has_value());
    };
    constexpr std::uint64_t requests = 120'000;
    lv::scope callers;
    for (std::uint64_t i = 0; i < requests; i++) {
      callers.spawn(calls, &policy, &budget, &attempts);
      co_await lv::sleep(1ms);
    }
    co_await callers.join();
    EXPECT_LE(static_cast<double>(attempts), 1.10 * requests);
    EXPECT_GE(static_cast<double>(attempts), 1.05 * requests) << "and what may be repeated is";
  });
}

// Cut short at every moment of a call that takes part in a hundred waits.
TEST(retry, ends_when_it_is_cancelled_wherever_it_is) {
  simulate([]() -> lv::task<> {
    int ended_early = 0;
    for (int after_us = 0; after_us < 40'000; after_us += 250) {
      lv::retry_policy policy(seeded(20));
      lv::retry_budget::options all;
      all.share_max = 1;
      all.per_second_min = 1000;
      lv::retry_budget budget(all);
      service of{.failures = 15, .takes = 1ms, .asked = {}};
      bool done = false;
      const auto calls = [](lv::retry_policy* with, lv::retry_budget* from, service* at, bool* over) -> lv::task<> {
        const auto got = co_await lv::retry(*with, *from, [&] { return at->ask(); });
        *over = got.has_value();
      };
      lv::scope one;
      one.spawn(calls, &policy, &budget, &of, &done);
      co_await lv::sleep(after_us * 1us);
      const std::size_t asked = of.asked.size();
      const lv::time_point told = lv::clock::now();
      one.cancel();
      co_await one.join();
      EXPECT_LT(lv::clock::now() - told, 1ms) << "it ends at once";
      EXPECT_LE(of.asked.size(), asked + (after_us == 0 ? 1 : 0)) << "and asks no more";
      ended_early += done ? 0 : 1;
    }
    EXPECT_GT(ended_early, 100);
  });
}

// An error that is the answer to a cancellation is not repeated.
TEST(retry, a_cancelled_call_that_returns_an_error_is_not_repeated) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget;
    int calls = 0;
    std::string error;
    const auto run = [](lv::retry_policy* with, lv::retry_budget* from, int* count, std::string* seen) -> lv::task<> {
      const auto receives = [](int* asked) -> lv::task<outcome> {
        ++*asked;
        lv::channel<int> nothing(1);
        const auto got = co_await nothing.receive();
        if (got) co_return *got;
        co_return std::unexpected("told to end");
      };
      const auto got = co_await lv::retry(*with, *from, [&] { return receives(count); });
      if (!got) *seen = got.error();
    };
    lv::scope one;
    one.spawn(run, &policy, &budget, &calls, &error);
    co_await lv::sleep(5ms);
    one.cancel();
    co_await one.join();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(error, "told to end");
  });
}

TEST(retry, a_repetition_that_is_cancelled_while_it_waits_costs_no_budget) {
  simulate([]() -> lv::task<> {
    auto slow = seeded();
    slow.base = 1s;
    lv::retry_policy policy(slow);
    lv::retry_budget::options roomy;
    roomy.per_second_min = 1000;
    lv::retry_budget budget(roomy);
    service of{.failures = 999, .takes = {}, .asked = {}};
    const auto calls = [](lv::retry_policy* with, lv::retry_budget* from, service* at) -> lv::task<> {
      (void)co_await lv::retry(*with, *from, [at] { return at->ask(); });
    };
    lv::scope many;
    for (int i = 0; i < 100; i++) many.spawn(calls, &policy, &budget, &of);
    co_await lv::sleep(1us);
    many.cancel();
    co_await many.join();
    EXPECT_GE(of.asked.size(), 100u);
    EXPECT_EQ(budget.counts_at(lv::clock::now()).spent, of.asked.size() - 100);
  });
}

TEST(retry, keeps_the_work_and_the_judge_for_as_long_as_it_runs_and_no_longer) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget;
    const auto owned = std::make_shared<int>(0);
    const auto starts = [&] {
      const auto fails_once = [owned]() -> lv::task<outcome> {
        co_await lv::sleep(1ms);
        if (++*owned == 1) co_return std::unexpected("failure");
        co_return *owned;
      };
      const auto judges = [owned](const outcome& of) { return lv::default_judge{}(of); };
      return lv::retry(policy, budget, fails_once, judges);
    };
    const auto got = co_await starts();
    EXPECT_EQ(got, 2);
    EXPECT_EQ(owned.use_count(), 1);

    auto only_moved = [own = std::make_unique<int>(3)]() -> lv::task<outcome> { co_return *own; };
    const auto by_reference = co_await lv::retry(policy, budget, std::ref(only_moved));
    EXPECT_EQ(by_reference, 3);
  });
}

}  // namespace
