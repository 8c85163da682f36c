// What a pipeline does to a call, and what its parts are told of it. In virtual time.

#include "levity/resilience/pipeline.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "levity/resilience/breaker.hpp"
#include "levity/resilience/keyed_rate_limiter.hpp"
#include "levity/resilience/token_bucket.hpp"
#include "tests/support/run_simulated.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

template <class F, class... Args>
void simulate(F f, Args... args) {
  EXPECT_EQ(levity::test::run_simulated(42, std::move(f), std::move(args)...), 0);
}

using outcome = std::expected<int, std::string>;
using call = lv::call_error<std::string>;

// A policy that admits what it is told to, and notes what it hears.
class door {
public:
  class permit {
  public:
    explicit permit(door* of) noexcept : of_(of) {}
    permit(permit&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    permit& operator=(permit&& other) noexcept {
      std::swap(of_, other.of_);
      return *this;
    }
    ~permit() { record(lv::verdict::neutral, {}); }
    void record(lv::verdict heard, lv::time_point) noexcept {
      if (door* const of = std::exchange(of_, nullptr)) {
        of->under_way--;
        of->said.push_back(heard);
      }
    }

  private:
    door* of_;
  };

  std::expected<permit, lv::rejection> try_admit(lv::time_point now) noexcept {
    asked.push_back(now);
    if (refuses_from >= 0 && static_cast<int>(asked.size()) > refuses_from) {
      return std::unexpected(lv::rejection{lv::rejection_cause::breaker_open, 5s});
    }
    under_way++;
    return permit{this};
  }

  int refuses_from = -1;  // how many it admits before it refuses; negative: all
  int under_way = 0;
  std::vector<lv::time_point> asked;
  std::vector<lv::verdict> said;
};
static_assert(lv::admission_policy<door>);

struct service {
  int failures = 0;
  lv::duration takes{};
  int asked = 0;
  std::vector<std::optional<lv::duration>> left;

  lv::task<outcome> ask() {
    const int number = ++asked;
    left.push_back(lv::deadline_left());
    if (takes > 0ns) co_await lv::sleep(takes);
    if (number <= failures) co_return std::unexpected("failure " + std::to_string(number));
    co_return number;
  }
};

lv::retry_policy::options seeded(int repetitions = 2) {
  lv::retry_policy::options how;
  how.repetitions_max = repetitions;
  how.seed = 42;
  return how;
}

// Has room for all that these tests repeat.
lv::retry_budget::options roomy() {
  lv::retry_budget::options how;
  how.per_second_min = 1000;
  return how;
}

using verdicts = std::vector<lv::verdict>;
constexpr auto success = lv::verdict::success;
constexpr auto failure = lv::verdict::failure;
constexpr auto neutral = lv::verdict::neutral;

TEST(pipeline, a_call_that_succeeds_goes_through_all_parts_once) {
  simulate([]() -> lv::task<> {
    door limit, breaker;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(lv::total_timeout{3s}, limit, lv::retrying{policy, budget}, breaker, lv::attempt_timeout{1s});
    service of{.takes = 2ms, .left = {}};
    const auto got = co_await calls.run(lv::repeatable::yes, [&] { return of.ask(); });
    EXPECT_EQ(got, 1);
    EXPECT_EQ(limit.said, verdicts{success});
    EXPECT_EQ(breaker.said, verdicts{success});
    EXPECT_EQ(limit.under_way + breaker.under_way, 0);
    EXPECT_TRUE(of.left[0] && *of.left[0] <= 1s && *of.left[0] > 990ms) << "the work sees the deadline of its attempt";
    EXPECT_EQ(budget.counts_at(lv::clock::now()).requests_in_window, 1u);
    const auto counted = calls.counted();
    EXPECT_EQ(counted.succeeded, 1u);
    EXPECT_EQ(counted.calls(), 1u);
    EXPECT_GE(counted.latency_sum, 2ms);
    EXPECT_GE(counted.latency_quantile(0.5), 2ms);
    EXPECT_LE(counted.latency_quantile(0.5), 3ms);
  });
}

TEST(pipeline, parts_before_retrying_are_met_once_a_call_and_those_behind_once_an_attempt) {
  simulate([]() -> lv::task<> {
    door limit, breaker;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(lv::total_timeout{3s}, limit, lv::retrying{policy, budget}, breaker, lv::attempt_timeout{1s});
    service of{.failures = 2, .left = {}};
    const auto got = co_await calls.run(lv::repeatable::yes, [&] { return of.ask(); });
    EXPECT_EQ(got, 3);
    EXPECT_EQ(limit.said, verdicts{success});
    EXPECT_EQ(breaker.said, (verdicts{failure, failure, success}));
    EXPECT_EQ(calls.counted().repetitions, 2u);
    EXPECT_EQ(calls.counted().succeeded, 1u);
    EXPECT_EQ(budget.counts_at(lv::clock::now()).spent, 2u);

    service down{.failures = 99, .left = {}};
    const auto error = co_await calls.run(lv::repeatable::yes, [&] { return down.ask(); });
    EXPECT_EQ(error, (std::expected<int, call>(std::unexpect, std::in_place, "failure 3")));
    EXPECT_EQ(limit.said, (verdicts{success, failure}));
    EXPECT_EQ(calls.counted().failed, 1u);
  });
}

TEST(pipeline, what_may_not_be_made_twice_is_not) {
  simulate([]() -> lv::task<> {
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(lv::retrying{policy, budget});
    service of{.failures = 2, .left = {}};
    const auto got = co_await calls.run(lv::repeatable::no, [&] { return of.ask(); });
    EXPECT_FALSE(got.has_value());
    EXPECT_EQ(of.asked, 1);
    EXPECT_EQ(budget.counts_at(lv::clock::now()).spent, 0u);
  });
}

TEST(pipeline, a_refusal_is_told_from_a_failure_and_from_a_timeout) {
  simulate([]() -> lv::task<> {
    door open, closed;
    closed.refuses_from = 0;
    service of{.left = {}};
    auto outer = lv::pipeline(closed, open, lv::total_timeout{1s});
    const auto refused = co_await outer.run([&] { return of.ask(); });
    EXPECT_TRUE(refused.error().rejected() != nullptr &&
                *refused.error().rejected() == (lv::rejection{lv::rejection_cause::breaker_open, 5s}));
    EXPECT_TRUE(open.asked.empty()) << "who stands behind a refusal is not asked";
    auto inner = lv::pipeline(open, closed, lv::total_timeout{1s});
    const auto refused_later = co_await inner.run([&] { return of.ask(); });
    EXPECT_TRUE(refused_later.error().rejected() != nullptr);
    EXPECT_EQ(open.said, verdicts{neutral}) << "who stands before it is given its permit back";
    EXPECT_EQ(of.asked, 0);
    EXPECT_EQ(inner.counted().rejected, 1u);

    service slow{.takes = 1h, .left = {}};
    auto limited = lv::pipeline(lv::total_timeout{1s});
    const auto late = co_await limited.run([&] { return slow.ask(); });
    EXPECT_TRUE(late.error().timed_out() != nullptr && *late.error().timed_out() == lv::call_timeout::total);
    EXPECT_EQ(limited.counted().timed_out, 1u);

    service bad{.failures = 1, .left = {}};
    const auto failed = co_await limited.run([&] { return bad.ask(); });
    EXPECT_TRUE(failed.error().failed() != nullptr && *failed.error().failed() == "failure 1");
    EXPECT_EQ(failed.error().message(), "the call was made, and failed");
  });
}

TEST(pipeline, an_attempt_that_takes_too_long_is_a_failure_and_is_repeated) {
  simulate([]() -> lv::task<> {
    door breaker;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(lv::total_timeout{10s}, lv::retrying{policy, budget}, breaker, lv::attempt_timeout{1s});
    service of{.takes = 1h, .left = {}};
    const lv::time_point began = lv::clock::now();
    const auto got = co_await calls.run(lv::repeatable::yes, [&] { return of.ask(); });
    EXPECT_TRUE(got.error().timed_out() != nullptr && *got.error().timed_out() == lv::call_timeout::attempt);
    EXPECT_EQ(of.asked, 3);
    EXPECT_EQ(breaker.said, (verdicts{failure, failure, failure}));
    EXPECT_LT(lv::clock::now() - began, 3s + 200ms);
  });
}

TEST(pipeline, an_attempt_that_the_total_timeout_cuts_short_says_nothing_about_the_other_side) {
  simulate([]() -> lv::task<> {
    door breaker;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(lv::total_timeout{1500ms}, lv::retrying{policy, budget}, breaker, lv::attempt_timeout{1s});
    service of{.takes = 1h, .left = {}};
    const lv::time_point began = lv::clock::now();
    const auto got = co_await calls.run(lv::repeatable::yes, [&] { return of.ask(); });
    EXPECT_TRUE(got.error().timed_out() != nullptr && *got.error().timed_out() == lv::call_timeout::total);
    EXPECT_EQ(breaker.said, (verdicts{failure, neutral}));
    EXPECT_GE(lv::clock::now() - began, 1500ms);
    EXPECT_LT(lv::clock::now() - began, 1501ms);
    // Where it has all the time that an attempt can have, it does.
    door other;
    auto alone = lv::pipeline(lv::total_timeout{1s}, other);
    const auto late = co_await alone.run([&] { return of.ask(); });
    EXPECT_FALSE(late.has_value());
    EXPECT_EQ(other.said, verdicts{failure});
  });
}

TEST(pipeline, nothing_is_repeated_beyond_the_total_timeout) {
  simulate([]() -> lv::task<> {
    for (int total_ms = 1; total_ms < 200; total_ms += 3) {
      lv::retry_policy policy(seeded(50));
      lv::retry_budget budget(roomy());
      auto calls = lv::pipeline(lv::total_timeout{total_ms * 1ms}, lv::retrying{policy, budget});
      service of{.failures = 99, .takes = 2ms, .left = {}};
      const lv::time_point began = lv::clock::now();
      const auto got = co_await calls.run(lv::repeatable::yes, [&] { return of.ask(); });
      EXPECT_FALSE(got.has_value());
      EXPECT_LE(lv::clock::now() - began, total_ms * 1ms + 200us);
    }
  });
}

TEST(pipeline, a_repetition_that_is_not_admitted_is_not_made_and_costs_no_budget) {
  simulate([]() -> lv::task<> {
    door limit, breaker;
    breaker.refuses_from = 1;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(limit, lv::retrying{policy, budget}, breaker);
    service of{.failures = 99, .left = {}};
    const auto got = co_await calls.run(lv::repeatable::yes, [&] { return of.ask(); });
    EXPECT_TRUE(got.error().failed() != nullptr && *got.error().failed() == "failure 1")
        << "what the attempt before came to stands";
    EXPECT_EQ(limit.said, verdicts{failure});
    EXPECT_EQ(budget.counts_at(lv::clock::now()).spent, 0u);
    EXPECT_EQ(calls.counted().failed, 1u);
    EXPECT_EQ(calls.counted().repetitions, 0u);
  });
}

TEST(pipeline, a_value_that_comes_late_is_returned_and_counts_as_a_failure) {
  simulate([]() -> lv::task<> {
    door breaker;
    auto calls = lv::pipeline(breaker, lv::attempt_timeout{1ms});
    const auto stubborn = []() -> lv::task<outcome> {
      const auto waits = []() -> lv::task<> { co_await lv::sleep(5ms); };
      co_await lv::shield(waits());
      co_return 3;
    };
    const auto got = co_await calls.run(stubborn);
    EXPECT_EQ(got, 3);
    EXPECT_EQ(breaker.said, verdicts{failure});
    co_await lv::sleep(1ms);  // nothing of the deadline is left
  });
}

// A wait that has a value for it, as I/O does.
TEST(pipeline, an_error_that_answers_the_timeout_is_the_timeout) {
  simulate([]() -> lv::task<> {
    door breaker;
    auto calls = lv::pipeline(breaker, lv::attempt_timeout{1ms});
    const auto receives = []() -> lv::task<outcome> {
      lv::channel<int> nothing(1);
      const auto got = co_await nothing.receive();
      if (got) co_return *got;
      co_return std::unexpected("its wait was ended");
    };
    const auto got = co_await calls.run(receives);
    EXPECT_TRUE(got.error().timed_out() != nullptr);
    EXPECT_EQ(breaker.said, verdicts{failure});
  });
}

TEST(pipeline, a_deadline_further_out_says_nothing_about_the_other_side) {
  simulate([]() -> lv::task<> {
    door breaker;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(lv::total_timeout{3s}, lv::retrying{policy, budget}, breaker, lv::attempt_timeout{1s});
    struct probe {
      static lv::task<outcome> receives() {
        lv::channel<int> nothing(1);
        const auto got = co_await nothing.receive();
        if (got) co_return *got;
        co_return std::unexpected("its wait was ended");
      }
      static lv::task<std::expected<int, call>> by_value(decltype(calls)& through) {
        co_return co_await through.run(lv::repeatable::yes, receives);
      }
      static lv::task<std::expected<int, call>> by_exception(decltype(calls)& through, service& of) {
        co_return co_await through.run(lv::repeatable::yes, [&of] { return of.ask(); });
      }
    };
    const auto got = co_await lv::with_deadline(5ms, probe::by_value(calls));
    EXPECT_TRUE(got.error().failed() != nullptr && *got.error().failed() == "its wait was ended");
    service slow{.takes = 1h, .left = {}};
    const auto late = co_await lv::with_timeout(5ms, probe::by_exception(calls, slow));
    EXPECT_FALSE(late.has_value()) << "it is the outer one's to answer";
    EXPECT_EQ(breaker.said, (verdicts{neutral, neutral}));
    EXPECT_EQ(slow.asked, 1);
    EXPECT_EQ(calls.counted().broken_off, 1u);
  });
}

// A deadline that the work set itself, and let out.
TEST(pipeline, a_deadline_inside_the_work_is_a_timeout_of_the_attempt) {
  simulate([]() -> lv::task<> {
    door breaker;
    auto calls = lv::pipeline(breaker, lv::attempt_timeout{1s});
    const auto impatient = []() -> lv::task<outcome> {
      co_await lv::with_deadline(1ms, lv::sleep(1h));
      co_return 1;
    };
    const auto got = co_await calls.run(impatient);
    EXPECT_TRUE(got.error().timed_out() != nullptr && *got.error().timed_out() == lv::call_timeout::attempt);
    EXPECT_EQ(breaker.said, verdicts{failure});
  });
}

TEST(pipeline, what_the_work_throws_passes_through_as_a_failure) {
  simulate([]() -> lv::task<> {
    door limit, breaker;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(limit, lv::retrying{policy, budget}, breaker, lv::attempt_timeout{1s});
    const auto throws = []() -> lv::task<outcome> {
      co_await lv::yield();
      throw std::runtime_error("its own");
    };
    std::string what;
    try {
      (void)co_await calls.run(lv::repeatable::yes, throws);
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "its own");
    EXPECT_EQ(limit.said, verdicts{failure});
    EXPECT_EQ(breaker.said, verdicts{failure});
    EXPECT_EQ(calls.counted().broken_off, 1u);
  });
}

TEST(pipeline, a_judge_of_its_own_decides_what_an_outcome_means) {
  simulate([]() -> lv::task<> {
    door breaker;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    const auto by_number = [](const outcome& of) -> lv::judgement {
      if (!of) return {lv::verdict::neutral, false, {}};
      return {*of < 3 ? lv::verdict::failure : lv::verdict::success, *of < 3, *of == 2 ? lv::duration{2s} : lv::duration{}};
    };
    auto calls = lv::pipeline(lv::judging{by_number}, lv::retrying{policy, budget}, breaker);
    service of{.left = {}};
    const lv::time_point began = lv::clock::now();
    const auto got = co_await calls.run(lv::repeatable::yes, [&] { return of.ask(); });
    EXPECT_EQ(got, 3);
    EXPECT_GE(lv::clock::now() - began, 2s);
    EXPECT_EQ(breaker.said, (verdicts{failure, failure, success}));
    lv::retry_policy once(seeded(1));
    auto fewer = lv::pipeline(lv::judging{by_number}, lv::retrying{once, budget}, breaker);
    service same{.left = {}};
    const auto last = co_await fewer.run(lv::repeatable::yes, [&] { return same.ask(); });
    EXPECT_EQ(last, 2) << "a value that was not good enough is returned when there is no better one";
    EXPECT_EQ(fewer.counted().succeeded, 1u);
  });
}

TEST(pipeline, gives_what_the_work_gives_even_nothing) {
  simulate([]() -> lv::task<> {
    auto calls = lv::pipeline(lv::attempt_timeout{1s});
    const auto nothing = []() -> lv::task<std::expected<void, int>> { co_return std::expected<void, int>{}; };
    const auto fails = []() -> lv::task<std::expected<void, int>> { co_return std::unexpected(5); };
    const auto done = co_await calls.run(nothing);
    EXPECT_TRUE(done.has_value());
    const auto failed = co_await calls.run(fails);
    EXPECT_EQ(*failed.error().failed(), 5);
    const auto only_moved = []() -> lv::task<std::expected<std::unique_ptr<int>, std::unique_ptr<int>>> {
      co_return std::unexpected(std::make_unique<int>(6));
    };
    auto moved = co_await calls.run(only_moved);
    EXPECT_EQ(**moved.error().failed(), 6);
  });
}

// It lives in the call's frame, so a coroutine that captures is safe here.
TEST(pipeline, keeps_the_work_for_as_long_as_it_runs_and_no_longer) {
  simulate([]() -> lv::task<> {
    auto calls = lv::pipeline(lv::attempt_timeout{1s});
    const auto text = std::make_shared<std::string>(100, 'x');
    const auto starts = [&](auto& through) {
      const auto measures = [text]() -> lv::task<std::expected<std::size_t, int>> {
        co_await lv::sleep(1ms);
        co_return text->size();
      };
      return through.run(measures);
    };
    const auto got = co_await starts(calls);
    EXPECT_EQ(got, 100u);
    EXPECT_EQ(text.use_count(), 1);
  });
}

TEST(pipeline, policies_without_a_name_are_kept_and_others_shared) {
  simulate([]() -> lv::task<> {
    door shared;
    auto one = lv::pipeline(shared, lv::attempt_timeout{1s});
    auto two = lv::pipeline(door{}, shared);
    service of{.left = {}};
    (void)co_await one.run([&] { return of.ask(); });
    auto moved = std::move(two);
    (void)co_await moved.run([&] { return of.ask(); });
    EXPECT_EQ(shared.said.size(), 2u);
    EXPECT_EQ(moved.counted().succeeded, 1u);
    auto empty = lv::pipeline();
    const auto got = co_await empty.run([&] { return of.ask(); });
    EXPECT_EQ(got, 3);
  });
}

// Whatever happens whenever: every permit comes back, every call is counted once, and the parts hear as much as there were
// attempts.
TEST(pipeline, loses_no_permit_and_no_count_whatever_happens) {
  for (std::uint64_t seed = 1; seed <= 40; seed++) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    simulate([](std::uint64_t drawn_from) -> lv::task<> {
      lv::rng random{drawn_from};
      door limit, breaker;
      lv::retry_policy policy(seeded(3));
      lv::retry_budget budget(roomy());
      auto calls = lv::pipeline(lv::total_timeout{300ms}, limit, lv::retrying{policy, budget}, breaker, lv::attempt_timeout{100ms});
      std::uint64_t started = 0;
      struct probe {
        static lv::task<outcome> attempt(std::uint64_t chance) {
          lv::rng own{chance};
          if (own.below(3) != 0) co_await lv::sleep(lv::duration{static_cast<std::int64_t>(own.below(160'000'000))});
          const auto dice = own.below(10);
          if (dice == 0) throw std::runtime_error("its own");
          if (dice < 5) co_return std::unexpected("no");
          co_return 1;
        }
        static lv::task<> calls_once(decltype(calls)* through, std::uint64_t chance) {
          lv::rng own{chance};
          try {
            (void)co_await through->run(lv::repeatable{own.below(3) != 0}, [&own] { return attempt(own()); });
          } catch (const std::runtime_error&) {
          }
        }
        static lv::task<> within(decltype(calls)* through, std::uint64_t chance, lv::duration limit) {
          co_await lv::with_deadline(limit, calls_once(through, chance));
        }
      };
      lv::scope all{lv::on_failure::keep_going};
      std::vector<std::unique_ptr<lv::scope>> alone;
      for (int i = 0; i < 300; i++) {
        started++;
        limit.refuses_from = random.below(20) == 0 ? 0 : -1;
        breaker.refuses_from = random.below(20) == 0 ? 0 : -1;
        const std::uint64_t chance = random();
        alone.push_back(std::make_unique<lv::scope>(lv::on_failure::keep_going));
        if (random.below(4) == 0) {
          alone.back()->spawn(probe::within, &calls, chance, lv::duration{static_cast<std::int64_t>(random.below(200'000'000))});
        } else {
          alone.back()->spawn(probe::calls_once, &calls, chance);
        }
        if (random.below(3) == 0) alone[random.below(alone.size())]->cancel();
        co_await lv::sleep(lv::duration{static_cast<std::int64_t>(random.below(5'000'000))});
      }
      for (auto& each : alone) {
        try {
          co_await each->join();
        } catch (const lv::cancelled&) {  // a deadline of its own that a task let out is its failure
        }
      }
      EXPECT_EQ(limit.under_way, 0);
      EXPECT_EQ(breaker.under_way, 0);
      EXPECT_EQ(calls.counted().calls(), started);
      EXPECT_LE(limit.said.size(), started);
    }, seed);
  }
}

// Throws before there is a task.
lv::task<outcome> not_begun() { throw std::runtime_error("no frame to be had"); }

// It threw because it was told to end, or before anybody was asked.
TEST(pipeline, what_the_work_throws_when_it_is_cancelled_or_cannot_begin_says_nothing_about_the_other_side) {
  simulate([]() -> lv::task<> {
    door limit, breaker;
    auto calls = lv::pipeline(limit, lv::attempt_timeout{1h}, breaker);
    const auto runs = [](decltype(calls)* through) -> lv::task<> {
      const auto gives_up = []() -> lv::task<outcome> {
        lv::channel<int> nothing(1);
        (void)co_await nothing.receive();
        throw std::runtime_error("told to end");
      };
      try {
        (void)co_await through->run(gives_up);
      } catch (const std::runtime_error&) {
      }
    };
    lv::scope one;
    one.spawn(runs, &calls);
    co_await lv::sleep(5ms);
    one.cancel();
    co_await one.join();
    EXPECT_EQ(limit.said, verdicts{neutral});
    EXPECT_EQ(breaker.said, verdicts{neutral});
    std::string what;
    try {
      (void)co_await calls.run([]() { return not_begun(); });
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "no frame to be had");
    EXPECT_EQ(limit.said, (verdicts{neutral, neutral}));
    EXPECT_EQ(breaker.said, (verdicts{neutral, neutral}));
    EXPECT_EQ(calls.counted().broken_off, 2u);
  });
}

TEST(pipeline, a_value_that_comes_late_after_less_than_its_full_time_says_nothing_about_the_other_side) {
  simulate([]() -> lv::task<> {
    door breaker;
    lv::retry_policy::options at_once = seeded();
    at_once.base = 0ns;
    lv::retry_policy policy(at_once);
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(lv::total_timeout{15ms}, lv::retrying{policy, budget}, breaker, lv::attempt_timeout{10ms});
    int number = 0;
    const auto stubborn = [&number]() -> lv::task<outcome> {
      if (++number == 1) {
        co_await lv::sleep(8ms);
        co_return std::unexpected("no");
      }
      const auto waits = []() -> lv::task<> { co_await lv::sleep(9ms); };
      co_await lv::shield(waits());
      co_return number;
    };
    const auto got = co_await calls.run(lv::repeatable::yes, stubborn);
    EXPECT_EQ(got, 2);
    EXPECT_EQ(breaker.said, (verdicts{failure, neutral})) << "it had 7 ms of its 10";
  });
}

TEST(pipeline, a_repetition_that_is_cancelled_while_it_waits_costs_no_budget) {
  simulate([]() -> lv::task<> {
    lv::retry_policy::options slow = seeded();
    slow.base = 1s;
    lv::retry_policy policy(slow);
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(lv::retrying{policy, budget});
    service of{.failures = 99, .left = {}};
    const auto runs = [](decltype(calls)* through, service* at) -> lv::task<> {
      (void)co_await through->run(lv::repeatable::yes, [at] { return at->ask(); });
    };
    lv::scope many;
    for (int i = 0; i < 100; i++) many.spawn(runs, &calls, &of);
    co_await lv::sleep(1us);
    many.cancel();
    co_await many.join();
    EXPECT_GE(of.asked, 100);
    EXPECT_EQ(budget.counts_at(lv::clock::now()).spent, static_cast<std::uint64_t>(of.asked - 100));
  });
}

TEST(pipeline, a_call_that_is_refused_before_its_first_attempt_is_no_request) {
  simulate([]() -> lv::task<> {
    door breaker;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    auto calls = lv::pipeline(lv::retrying{policy, budget}, breaker);
    service of{.failures = 1, .left = {}};
    const auto got = co_await calls.run(lv::repeatable::yes, [&] { return of.ask(); });
    EXPECT_EQ(got, 2);
    EXPECT_EQ(budget.counts_at(lv::clock::now()).requests_in_window, 1u);
    breaker.refuses_from = 0;
    const auto refused = co_await calls.run(lv::repeatable::yes, [&] { return of.ask(); });
    EXPECT_TRUE(refused.error().rejected() != nullptr);
    EXPECT_EQ(budget.counts_at(lv::clock::now()).requests_in_window, 1u) << "it was no load, so it earns nothing";
  });
}

TEST(pipeline, a_call_that_a_later_part_refuses_takes_no_token_of_a_bucket_before_it) {
  simulate([]() -> lv::task<> {
    lv::token_bucket bucket({.per_second = 1, .burst = 10});
    lv::keyed_rate_limiter<int> keys({.per_second = 1, .burst = 10});
    door breaker;
    breaker.refuses_from = 0;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    service of{.left = {}};
    auto as_calls = lv::pipeline(bucket, keys.of(7), breaker);
    auto as_attempts = lv::pipeline(bucket, lv::retrying{policy, budget}, keys.of(7), breaker);
    for (int i = 0; i < 50; i++) {
      const auto one = co_await as_calls.run([&] { return of.ask(); });
      EXPECT_TRUE(one.error().rejected() != nullptr && one.error().rejected()->cause == lv::rejection_cause::breaker_open);
      const auto other = co_await as_attempts.run(lv::repeatable::yes, [&] { return of.ask(); });
      EXPECT_TRUE(other.error().rejected() != nullptr && other.error().rejected()->cause == lv::rejection_cause::breaker_open);
    }
    EXPECT_EQ(of.asked, 0);
    EXPECT_EQ(bucket.look(lv::clock::now()).tokens, 10);
    EXPECT_EQ(keys.time_until(7, 10, lv::clock::now()), 0ns);
    breaker.refuses_from = static_cast<int>(breaker.asked.size()) + 1;
    service down{.failures = 99, .left = {}};
    const auto made = co_await as_attempts.run(lv::repeatable::yes, [&] { return down.ask(); });
    EXPECT_TRUE(made.error().failed() != nullptr);
    EXPECT_LT(bucket.look(lv::clock::now()).tokens, 9.5) << "a call that was made has cost its token";
    EXPECT_GT(keys.time_until(7, 10, lv::clock::now()), 0ns) << "as has its attempt,";
    EXPECT_EQ(keys.time_until(7, 9, lv::clock::now()), 0ns) << "and the repetition that was refused has not";
  });
}

TEST(pipeline, an_error_says_how_many_attempts_there_were_and_why_no_more) {
  simulate([]() -> lv::task<> {
    using stop = lv::retry_stop;
    door breaker;
    lv::retry_policy policy(seeded());
    lv::retry_budget budget(roomy());
    lv::retry_budget::options none;
    none.share_max = 0;
    none.per_second_min = 0;
    lv::retry_budget spent(none);
    service of{.failures = 99, .left = {}};
    const auto asks = [&of] { return of.ask(); };
    auto calls = lv::pipeline(lv::total_timeout{1h}, lv::retrying{policy, budget}, breaker);
    const auto is = [](const std::expected<int, call>& got, std::uint32_t attempts, stop why) {
      return !got && got.error().attempts() == attempts && got.error().stopped_by() == why;
    };
    const auto used = co_await calls.run(lv::repeatable::yes, asks);
    EXPECT_TRUE(is(used, 3, stop::repetitions_used));
    EXPECT_EQ(used.error().message(), "the call was made, and failed (3 attempts, no more: repetitions_used)");
    const auto once = co_await calls.run(lv::repeatable::no, asks);
    EXPECT_TRUE(is(once, 1, stop::not_repeatable));
    EXPECT_EQ(once.error().message(), "the call was made, and failed");
    breaker.refuses_from = static_cast<int>(breaker.asked.size()) + 1;
    const auto not_admitted = co_await calls.run(lv::repeatable::yes, asks);
    EXPECT_TRUE(is(not_admitted, 1, stop::refused));
    EXPECT_EQ(not_admitted.error().message(), "the call was made, and failed (1 attempt, no more: refused)");
    const auto refused = co_await calls.run(lv::repeatable::yes, asks);
    EXPECT_TRUE(refused.error().rejected() != nullptr && is(refused, 0, stop::refused));
    auto without = lv::pipeline(lv::retrying{policy, spent});
    const auto poor = co_await without.run(lv::repeatable::yes, asks);
    EXPECT_TRUE(is(poor, 1, stop::budget_spent));
    EXPECT_EQ(poor.error().message(), "the call was made, and failed (1 attempt, no more: budget_spent)");
    auto short_of_time = lv::pipeline(lv::total_timeout{1ns}, lv::retrying{policy, budget});
    const auto late = co_await short_of_time.run(lv::repeatable::yes, asks);
    EXPECT_FALSE(late.has_value());
    EXPECT_TRUE(is(late, 1, stop::past_deadline));
    EXPECT_EQ(late.error().message(), "the call was made, and failed (1 attempt, no more: past_deadline)");
    auto in_a_hurry = lv::pipeline(lv::total_timeout{10ms}, lv::retrying{policy, budget});
    service slow{.takes = 1h, .left = {}};
    const auto no_time = co_await in_a_hurry.run(lv::repeatable::yes, [&slow] { return slow.ask(); });
    EXPECT_TRUE(is(no_time, 1, stop::past_deadline));
    const auto unwanted = co_await in_a_hurry.run(lv::repeatable::no, [&slow] { return slow.ask(); });
    EXPECT_TRUE(is(unwanted, 1, stop::not_repeatable)) << "nobody wanted another";
    EXPECT_EQ(no_time.error().message(), "no answer within the time that the call may take (1 attempt, no more: past_deadline)");
    auto judged = lv::pipeline(lv::judging{[](const outcome&) -> lv::judgement { return {lv::verdict::failure, false, {}}; }},
                               lv::retrying{policy, budget});
    const auto final = co_await judged.run(lv::repeatable::yes, asks);
    EXPECT_TRUE(is(final, 1, stop::final));
    EXPECT_EQ(final.error().message(), "the call was made, and failed (1 attempt, no more: final)");
    auto never_twice = lv::pipeline(lv::judging{[](const outcome&) -> lv::judgement { return {lv::verdict::failure, false, {}}; }});
    const auto plain = co_await never_twice.run(asks);
    EXPECT_TRUE(is(plain, 1, stop::not_repeatable));
    EXPECT_EQ(plain.error().message(), "the call was made, and failed") << "nothing repeats here: that goes without saying";
  });
}

// Whatever it is asked, it hangs from `dead_from` on; before that it answers after 2 ms.
struct dying_service {
  bool dead = false;
  lv::task<outcome> ask() const {
    co_await lv::sleep(dead ? lv::duration{1h} : lv::duration{2ms});
    co_return 1;
  }
};

template <class Calls>
lv::task<> asks_within(lv::duration limit, Calls& through, const dying_service& of) {
  struct probe {
    static lv::task<> once(Calls& calls, const dying_service& at) { (void)co_await calls.run([&at] { return at.ask(); }); }
  };
  try {
    co_await lv::with_deadline(limit, probe::once(through, of));
  } catch (const lv::cancelled&) {
  }
}

TEST(pipeline, callers_with_less_time_than_an_attempt_find_out_that_nobody_answers) {
  simulate([]() -> lv::task<> {
    lv::breaker breaker(lv::breaker_settings::article());
    auto calls = lv::pipeline(breaker, lv::attempt_timeout{1s});
    dying_service of;
    for (int i = 0; i < 20; i++) co_await asks_within(50ms, calls, of);
    for (int i = 0; i < 20; i++) co_await asks_within(1ms, calls, of);
    EXPECT_EQ(breaker.look().window.failures, 0u) << "who has less time than answers take says nothing by giving up";
    of.dead = true;
    for (int i = 0; i < 10; i++) co_await asks_within(50ms, calls, of);
    EXPECT_EQ(breaker.look().state, lv::breaker_state::open);
  });
}

TEST(pipeline, how_long_an_answer_takes_may_be_said_where_none_has_come_yet) {
  simulate([]() -> lv::task<> {
    door learns, told;
    auto learning = lv::pipeline(learns, lv::attempt_timeout{1s});
    auto knowing = lv::pipeline(told, lv::attempt_timeout{1s, 20ms});
    const dying_service of{.dead = true};
    co_await asks_within(50ms, learning, of);
    co_await asks_within(50ms, knowing, of);
    co_await asks_within(10ms, knowing, of);
    EXPECT_EQ(learns.said, verdicts{neutral});
    EXPECT_EQ(told.said, (verdicts{failure, neutral}));
  });
}

// Half of the calls take longer than callers wait. That is their affair: the breaker stays closed.
TEST(pipeline, impatient_callers_do_not_open_a_breaker) {
  simulate([]() -> lv::task<> {
    lv::breaker breaker(lv::breaker_settings::article());
    auto calls = lv::pipeline(breaker, lv::attempt_timeout{1s});
    lv::rng random{7};
    struct probe {
      static lv::task<outcome> takes(lv::duration time) {
        co_await lv::sleep(time);
        co_return 1;
      }
      static lv::task<> once(decltype(calls)& through, lv::duration time) {
        (void)co_await through.run([time] { return takes(time); });
      }
    };
    for (int i = 0; i < 2000; i++) {
      const lv::duration takes{static_cast<std::int64_t>(random.below(20'000'000))};
      try {
        co_await lv::with_deadline(i < 100 ? 1h : lv::duration{10ms}, probe::once(calls, takes));
      } catch (const lv::cancelled&) {
      }
    }
    EXPECT_EQ(breaker.look().transitions, 0u);
  });
}

}  // namespace
