// Checks that fail, and how they say so; and the properties that they listen to.

#include "levity/sim/check.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "levity/levity.hpp"
#include "levity/sim/gtest.hpp"
#include "tests/support/death_style.hpp"

namespace levity::inline v0::sim {
namespace {

/// A variable of the environment, as long as it lives.
class said {
public:
  said(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  said(const said&) = delete;
  said& operator=(const said&) = delete;
  ~said() { ::unsetenv(name_); }

private:
  const char* const name_;
};

int run_for_ever() {
  return levity::run([]() -> task<> {
    for (;;) co_await sleep(1s);
  });
}

// Two hosts, and who looks after one of them.
void watches_orders(check_run& run) {
  host& orders = run.world().add_host("orders", "10.0.0.1");
  run.world().add_host("payment", "10.0.0.2").start(run_for_ever);
  orders.start(run_for_ever);
  run.play(
      [](check_run* of, host* watched) -> task<> {
        while (of->world().age() < 20s) {
          co_await sleep(5ms);
          always(watched->is_running(), "orders runs all the time");
        }
      },
      &run, &orders);
}

// With nothing in it that could be seen.
void sleeps(check_run& run) {
  run.play([]() -> task<> { co_await sleep(1s); });
}

check_options few(unsigned seeds) {
  check_options how;
  how.seeds = seeds;
  how.plan.horizon = 15s;
  how.plan.mean_gap = 500ms;
  how.plan.longest = 1s;
  how.arguments = "--gtest_filter=one.test";
  return how;
}

::testing::AssertionResult says(const check_result& result, std::string_view what) {
  if (result.message.find(what) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "\"" << what << "\" is not in " << result.message;
}

}  // namespace

TEST(check, what_holds_for_all_seeds_holds) {
  std::vector<std::uint64_t> seeds;
  const check_result result = check({.first_seed = 5, .seeds = 3, .twice_every = 0}, [&](check_run& run) {
    seeds.push_back(run.seed());
    EXPECT_EQ(run.world().seed(), run.seed());
    sleeps(run);
  });
  EXPECT_TRUE(result) << result.message;
  EXPECT_EQ(result.seeds_run, 3u);
  EXPECT_EQ(seeds, (std::vector<std::uint64_t>{5, 6, 7}));
  EXPECT_TRUE(says(result, "sim::check: 3 seeds from 5, and nothing was wrong; met no fault; 3.0 s of the worlds' time\n"));
  EXPECT_FALSE(check({.seeds = 0}, sleeps)) << "no seed shows nothing";
}

TEST(check, a_failure_is_told_with_the_least_plan_and_fails_the_same_when_it_is_replayed) {
  const check_result result = check(few(20), watches_orders);
  ASSERT_FALSE(result);
  ASSERT_EQ(result.plan.faults.size(), 1u) << result.message;
  EXPECT_TRUE(result.plan.faults[0].what == fault_kind::kill || result.plan.faults[0].what == fault_kind::power);
  EXPECT_EQ(result.plan.faults[0].host, "orders");
  EXPECT_LE(result.plan.faults[0].lasts, 20ms) << result.message;
  EXPECT_TRUE(says(result, ", the least of "));
  const std::string replay =
      "LEVITY_SIM_SEED=" + std::to_string(result.seed) + " LEVITY_SIM_PLAN='" + result.plan.to_string() + "' ";
  EXPECT_TRUE(says(result, replay));
  EXPECT_TRUE(says(result, "sim_test --gtest_filter=one.test\n"));
  EXPECT_TRUE(says(result, "always \"orders runs all the time\" is false, at "));
  EXPECT_TRUE(says(result, "check_test.cpp:"));
  EXPECT_TRUE(says(result, ", on host scenario"));
  EXPECT_TRUE(says(result, "after " + std::to_string(result.seeds_run) + " seed"));
  EXPECT_TRUE(says(result, "orders    start: starts\n"));

  const said seed("LEVITY_SIM_SEED", std::to_string(result.seed));
  const said plan("LEVITY_SIM_PLAN", result.plan.to_string());
  const check_result again = check(few(20), watches_orders);
  EXPECT_FALSE(again);
  EXPECT_EQ(again.seeds_run, 1u);
  EXPECT_EQ(again.seed, result.seed);
  EXPECT_EQ(again.plan, result.plan);
  EXPECT_EQ(again.trace_hash, result.trace_hash);
  EXPECT_TRUE(says(again, replay));
}

TEST(check, what_has_failed_once_is_tried_before_the_seeds) {
  std::vector<std::uint64_t> seeds;
  const auto scenario = [&](check_run& run) {
    seeds.push_back(run.seed());
    watches_orders(run);
  };
  check_options how = few(2);
  how.plan.mean_gap = 0s;
  how.twice_every = 0;
  how.known = {{.seed = 9, .plan = "1s pause orders 50ms", .what = "a pause was taken for an end"}, {.seed = 8}};
  const check_result holding = check(how, scenario);
  EXPECT_TRUE(holding) << holding.message;
  EXPECT_EQ(holding.seeds_run, 2u);
  EXPECT_EQ(holding.runs, 4u);
  EXPECT_EQ(seeds, (std::vector<std::uint64_t>{9, 8, 1, 2}));
  EXPECT_TRUE(says(holding, "2 known cases and 2 seeds from 1, and nothing was wrong; met 1 fault: 1 pause; "));

  how.known.insert(how.known.begin() + 1, {.seed = 7, .plan = "0s kill orders 5ms", .what = "a crash is seen"});
  const check_result failing = check(how, scenario);
  ASSERT_FALSE(failing);
  EXPECT_EQ(failing.seed, 7u);
  EXPECT_EQ(failing.seeds_run, 0u);
  EXPECT_TRUE(says(failing, "sim::check failed on seed 7, after 0 seeds, a known case: always \"orders runs all the time\""));
  EXPECT_TRUE(says(failing, "\n  before  a crash is seen\n"));
  EXPECT_TRUE(says(failing, "LEVITY_SIM_SEED=7 LEVITY_SIM_PLAN='0s kill orders 5ms' "));

  // Of another seed nothing was known.
  {
    seeds.clear();
    const said seed("LEVITY_SIM_SEED", "5");
    EXPECT_TRUE(check(how, scenario));
    for (const std::uint64_t each : seeds) EXPECT_EQ(each, 5u);
  }
  {
    const said none("LEVITY_SIM_KNOWN", "0");
    const check_result of_seeds = check(how, scenario);
    EXPECT_TRUE(of_seeds) << of_seeds.message;
    EXPECT_EQ(of_seeds.runs, 2u);
  }
  {
    const said wrong("LEVITY_SIM_KNOWN", "no");
    EXPECT_TRUE(says(check(how, scenario), "LEVITY_SIM_KNOWN is \"no\"; write 0"));
  }
  how.known = {{.seed = 3, .plan = "1s kill"}};
  const check_result unreadable = check(how, scenario);
  EXPECT_FALSE(unreadable);
  EXPECT_TRUE(says(unreadable, "sim::check failed: the plan of the known case of seed 3: "));
}

TEST(check, the_plan_of_a_known_case_is_drawn_from_its_seed_where_it_has_none) {
  const check_result found = check(few(20), watches_orders);
  ASSERT_FALSE(found);
  check_options how = few(1);
  how.first_seed = 1000;
  how.known = {{.seed = found.seed}};
  const check_result again = check(how, watches_orders);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.seed, found.seed);
  EXPECT_EQ(again.plan, found.plan);
  EXPECT_EQ(again.trace_hash, found.trace_hash);
}

TEST(check, the_timeline_of_a_failure_is_written_where_it_says) {
  check_options how = few(20);
  how.trace_folder = ::testing::TempDir();
  const check_result result = check(how, watches_orders);
  ASSERT_FALSE(result);
  ASSERT_FALSE(result.trace_file.empty());
  EXPECT_TRUE(says(result, result.trace_file));
  std::ifstream file(result.trace_file);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_NE(nlohmann::json::parse(text.str()).dump().find("orders runs all the time"), std::string::npos);
  std::filesystem::remove(result.trace_file);
  how.trace_folder = "/nowhere at all";
  EXPECT_EQ(check(how, watches_orders).trace_file, "");
}

TEST(check, what_a_host_says_is_told_with_its_name_and_its_time) {
  check_options how = few(3);
  how.plan.mean_gap = 0s;
  const check_result result = check(how, [](check_run& run) {
    run.world().add_host("orders", "10.0.0.1").start([] {
      return levity::run([]() -> task<> {
        co_await sleep(2500ms);
        note("is about to fail");
        always(false, "orders is well");
      });
    });
    run.play([]() -> task<> {
      co_await sleep(10s);
      ADD_FAILURE() << "the run is broken off";
    });
    ADD_FAILURE() << "play does not return";
  });
  ASSERT_FALSE(result);
  EXPECT_TRUE(says(result, "always \"orders is well\" is false"));
  EXPECT_TRUE(says(result, "when    2.5"));
  EXPECT_TRUE(says(result, "on host orders\n"));
  EXPECT_TRUE(says(result, "plan    no fault\n"));
  EXPECT_TRUE(says(result, "note: is about to fail\n"));
}

TEST(check, a_program_that_was_killed_has_no_say) {
  const check_result result = check({.seeds = 1, .twice_every = 0}, [](check_run& run) {
    host& orders = run.world().add_host("orders", "10.0.0.1");
    orders.start([] {
      const int code = levity::run([]() -> task<> {
        struct last_words {
          ~last_words() { always(false, "it lives"); }
        } const said_at_last;
        for (;;) co_await sleep(1s);
      });
      always(code == 0, "it ends well");
      return code;
    });
    run.world().play([](host* of) -> task<> {
      co_await sleep(10s);
      of->kill();
      co_await sleep(10s);
    }, &orders);
  });
  EXPECT_TRUE(result) << result.message;
}

TEST(check, always_that_is_false_outside_of_a_check_ends_the_process) {
  always(true, "this holds");
  sometimes(false, "nobody listens");
  reachable("nobody listens");
  EXPECT_DEATH(always(false, "this does not"), "check_test.cpp:[0-9]+: broken belief: this does not .sim::always");
}

TEST(check, what_is_never_true_in_any_seed_fails_the_check_at_its_end) {
  const auto scenario = [](check_run& run) {
    run.expect_sometimes({"a thing nobody asks for", "a thing that is reached"});
    run.play(
        [](check_run* of) -> task<> {
          sometimes(of->seed() == 2, "the seed is 2");
          sometimes(of->seed() == 9, "the seed is 9");
          if (of->seed() == 3) reachable("a thing that is reached");
          co_await sleep(1ms);
        },
        &run);
  };
  check_options how = few(3);
  const check_result result = check(how, scenario);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.seeds_run, 3u);
  EXPECT_TRUE(says(result, "in 3 seeds this was never true\n"
                           "  sometimes \"a thing nobody asks for\"\n"
                           "  sometimes \"the seed is 9\"\n"));
  EXPECT_EQ(result.message.find("the seed is 2"), std::string::npos) << result.message;
  EXPECT_EQ(result.message.find("a thing that is reached"), std::string::npos) << result.message;

  const said seeds("LEVITY_SIM_SEEDS", "2");
  EXPECT_TRUE(check(how, scenario)) << "fewer seeds than it takes need not show everything";
}

TEST(check, a_run_is_ended_by_its_limit_a_standstill_an_exception_an_exit_code_or_fail) {
  check_options how = few(2);
  how.limit = 60s;
  how.plan.mean_gap = 0s;
  const auto result_of = [&](task<int> (*scenario)(check_run*)) {
    const check_result result = check(how, [&](check_run& run) { run.play(scenario, &run); });
    EXPECT_FALSE(result);
    EXPECT_EQ(result.seeds_run, 1u);
    return result;
  };
  EXPECT_TRUE(says(result_of([](check_run*) -> task<int> {
    for (;;) co_await sleep(1s);
  }), "the scenario has not ended after 60 s of the world's time"));
  EXPECT_TRUE(says(result_of([](check_run*) -> task<int> {
    event never;
    co_await never.wait();
    co_return 0;
  }), "the world stands still"));
  EXPECT_TRUE(says(result_of([](check_run*) -> task<int> {
    co_await sleep(1s);
    throw std::runtime_error("no change left");
  }), "the scenario has thrown an exception: no change left"));
  EXPECT_TRUE(says(result_of([](check_run*) -> task<int> {
    co_await sleep(1s);
    co_return 3;
  }), "the scenario has ended with exit code 3"));
  EXPECT_TRUE(says(result_of([](check_run* of) -> task<int> {
    co_await sleep(1s);
    of->fail("3 orders are lost");
    EXPECT_TRUE(of->has_failed());
    for (;;) co_await sleep(1s);
  }), "3 orders are lost, at "));
  const check_result thrown = check(how, [](check_run&) { throw std::logic_error("outside of play"); });
  EXPECT_FALSE(thrown);
  EXPECT_TRUE(says(thrown, "the scenario has thrown an exception: outside of play"));
}

TEST(check, the_scenario_may_wait_until_everything_is_healed) {
  const check_result result = check(few(3), [](check_run& run) {
    host& orders = run.world().add_host("orders", "10.0.0.1");
    orders.start(run_for_ever);
    run.play(
        [](check_run* of, host* watched) -> task<> {
          co_await of->healed();
          EXPECT_GE(of->world().age(), of->plan().end());
          EXPECT_TRUE(watched->is_running());
          sometimes(!of->plan().faults.empty(), "something goes wrong");
        },
        &run, &orders);
  });
  EXPECT_TRUE(result) << result.message;
}

TEST(check, what_holds_says_how_much_was_tried_and_which_faults_were_met) {
  check_options how = few(4);
  how.twice_every = 2;
  how.plan.horizon = 10s;
  std::uint64_t planned = 0;
  std::uint64_t runs = 0;
  const auto scenario = [&](check_run& run) {
    run.world().add_host("orders", "10.0.0.1");
    runs++;
    run.play(
        [](check_run* of) -> task<> {
          co_await of->healed();
          co_await sleep_until(clock::now() + 10s - of->world().age());
        },
        &run);
    if (runs != 2 && runs != 5) planned += run.plan().faults.size();  // the second ones of seeds 1 and 3
  };
  const check_result result = check(how, scenario);
  ASSERT_TRUE(result) << result.message;
  ASSERT_EQ(runs, 6u);
  EXPECT_TRUE(says(result, "sim::check: 4 seeds from 1, 2 of them twice, and nothing was wrong; met " + std::to_string(planned) +
                               " faults: "));
  EXPECT_TRUE(says(result, "; 40.0 s of the worlds' time\n"));
  EXPECT_TRUE(says(result, " kill, ")) << "of every third fault of a single host";

  how.plan = {.from = 9s, .horizon = 10s};
  how.plan.mean_gap = 500ms;
  const check_result early = check(how, [](check_run& run) {
    run.world().add_host("orders", "10.0.0.1");
    sleeps(run);
  });
  EXPECT_TRUE(says(early, "met no fault; 4.0 s")) << "what a plan has, but did not come, was not met";
}

TEST(check, holds_prints_one_line_as_googletest_does) {
  testing::internal::CaptureStdout();
  const bool is_held{holds({.seeds = 2, .twice_every = 0}, sleeps)};
  const std::string printed = testing::internal::GetCapturedStdout();
  EXPECT_TRUE(is_held);
  EXPECT_EQ(printed, "[   SIM    ] 2 seeds from 1, and nothing was wrong; met no fault; 2.0 s of the worlds' time\n");

  testing::internal::CaptureStdout();
  const bool is_also_held{holds({.seeds = 2}, [](check_run& run) { run.fail("never"); })};
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "") << "a failure is the test's to tell";
  EXPECT_FALSE(is_also_held);
}

TEST(check, a_timeline_of_a_failure_has_its_faults_and_as_many_lines_as_are_asked_for) {
  check_options how = few(20);
  const auto scenario = [](check_run& run) {
    host& orders = run.world().add_host("orders", "10.0.0.1");
    orders.start(run_for_ever);
    run.play(
        [](host* watched) -> task<> {
          bool was_down = false;
          for (int i = 0; i < 2000; i++) {
            co_await sleep(10ms);
            note("round " + std::to_string(i));
            was_down = was_down || !watched->is_running();
          }
          always(!was_down, "orders has run all the time");
        },
        &orders);
  };
  const check_result result = check(how, scenario);
  ASSERT_FALSE(result);
  EXPECT_TRUE(says(result, "  what happened, 200"));
  EXPECT_TRUE(says(result, " events, the last of them in 40 lines; LEVITY_SIM_LINES=400 shows more\n"));
  EXPECT_TRUE(says(result, "plan: " + result.plan.to_string() + "\n"));
  EXPECT_TRUE(says(result, "note: round 1999\n"));
  EXPECT_EQ(result.message.find("note: round 1900\n"), std::string::npos);

  const said lines("LEVITY_SIM_LINES", "400");
  EXPECT_TRUE(says(check(how, scenario), "note: round 1900\n"));
}

TEST(check, a_scenario_that_keeps_something_from_run_to_run_is_not_deterministic) {
  static int runs;
  runs = 0;
  check_options how = few(2);
  const check_result result = check(how, [](check_run& run) {
    runs++;
    run.play([]() -> task<> {
      for (int i = 0; i < runs; i++) co_await sleep(1ms);
      note("has slept " + std::to_string(runs) + " times");
    });
  });
  ASSERT_FALSE(result);
  EXPECT_TRUE(says(result, "not deterministic: seed 1 was run twice"));
  EXPECT_TRUE(says(result, "has slept 1 times"));
  EXPECT_TRUE(says(result, "has slept 2 times"));
  EXPECT_TRUE(says(result, "static variables"));
}

TEST(check, a_scenario_that_depends_on_an_address_is_not_deterministic) {
  static std::vector<std::unique_ptr<int[]>> kept;
  kept.clear();
  const check_result result = check(few(2), [](check_run& run) {
    run.play([]() -> task<> {
      kept.push_back(std::make_unique<int[]>(1000));
      co_await sleep(1us * static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(kept.back().get()) / 16 % 100'000));
    });
  });
  ASSERT_FALSE(result);
  EXPECT_TRUE(says(result, "not deterministic"));
  EXPECT_TRUE(says(result, "addresses"));
}

TEST(check, a_failure_that_does_not_come_again_is_not_deterministic) {
  static int runs;
  runs = 0;
  check_options how = few(2);
  how.twice_every = 0;
  const check_result result = check(how, [](check_run& run) {
    run.play([]() -> task<> {
      always(++runs > 1, "it is not the first run");
      co_await sleep(1ms);
    });
  });
  ASSERT_FALSE(result);
  EXPECT_TRUE(says(result, "not deterministic"));
  EXPECT_TRUE(says(result, "it is not the first run"));
}

TEST(check, the_environment_has_the_last_word) {
  std::vector<std::uint64_t> seeds;
  std::vector<std::string> plans;
  const auto scenario = [&](check_run& run) {
    run.world().add_host("orders", "10.0.0.1");
    seeds.push_back(run.seed());
    plans.push_back(run.plan().to_string());
  };
  check_options how = few(2);
  how.twice_every = 0;
  {
    const said count("LEVITY_SIM_SEEDS", "4");
    const said plan("LEVITY_SIM_PLAN", "1s kill orders 1s");
    EXPECT_TRUE(check(how, scenario));
    EXPECT_EQ(seeds, (std::vector<std::uint64_t>{1, 2, 3, 4}));
    EXPECT_EQ(plans, std::vector<std::string>(4, "1s kill orders 1s"));
    const said links("LEVITY_SIM_PLAN", "1s part orders scenario 1s");
    EXPECT_TRUE(check(how, scenario)) << "between the scenario and others something may be wrong";
  }
  for (const auto& [name, value, expected] : {std::tuple("LEVITY_SIM_LINES", "all", "write how many lines"),
                                          std::tuple("LEVITY_SIM_SEEDS", "many", "write how many seeds"),
                                          std::tuple("LEVITY_SIM_SEEDS", "0", "1 at least"),
                                          std::tuple("LEVITY_SIM_SEED", "-1", "write the number of a seed"),
                                          std::tuple("LEVITY_SIM_PLAN", "1s burn orders 1s", "is no kind of fault"),
                                          std::tuple("LEVITY_SIM_PLAN", "1s kill scenario 1s", "names a host \"scenario\""),
                                          std::tuple("LEVITY_SIM_PLAN", "1s kill nobody 1s", "names a host \"nobody\"")}) {
    const said wrong(name, value);
    const check_result result = check(how, scenario);
    EXPECT_FALSE(result);
    EXPECT_TRUE(says(result, expected));
  }
}

TEST(check, a_process_that_is_aborted_tells_the_seed_and_how_to_meet_it_again) {
  testing::FLAGS_gtest_death_test_style = test::death_style();
  EXPECT_DEATH(
      {
        (void)check(few(2), [](check_run& run) {
          run.world().add_host("orders", "10.0.0.1").start(run_for_ever);
          run.play([]() -> task<> {
            co_await sleep(1ms);
            std::abort();
          });
        });
      },
      "levity: this happened in a check, at seed 1, [0-9]+[.][0-9]{6} s after the world's beginning, on host scenario\n"
      "levity: to meet it again: LEVITY_SIM_SEED=1 LEVITY_SIM_PLAN='[0-9.]+m?s [a-z]+ orders [^']*' "
      "[^ ]*sim_test --gtest_filter=one.test\n"
      "levity: without faults: LEVITY_SIM_SEED=1 LEVITY_SIM_PLAN='' [^ ]*sim_test --gtest_filter=one.test\n");
}

TEST(check, a_process_that_is_aborted_names_the_host_that_runs_or_none_outside_of_all) {
  testing::FLAGS_gtest_death_test_style = test::death_style();
  check_options calm = few(1);
  calm.plan.mean_gap = 0s;
  EXPECT_DEATH(
      {
        (void)check(calm, [](check_run& run) {
          run.world().add_host("orders", "10.0.0.1").start([] {
            return levity::run([]() -> task<> {
              co_await sleep(1234ms);
              std::abort();
            });
          });
          run.play([]() -> task<> { co_await sleep(20s); });
        });
      },
      "at seed 1, 1[.]2[0-9]+ s after the world's beginning, on host orders\n");
  EXPECT_DEATH((void)check(few(1), [](check_run&) { std::abort(); }),
               "levity: this happened in a check, at seed 1\nlevity: to meet it again: LEVITY_SIM_SEED=1 [^ ]*sim_test ");
  EXPECT_DEATH(
      {
        (void)check(few(1), [](check_run& run) {
          sleeps(run);
          std::abort();
        });
      },
      "levity: this happened in a check, at seed 1\nlevity: to meet it again: LEVITY_SIM_SEED=1 LEVITY_SIM_PLAN='' ");
}

TEST(check, a_crash_or_an_exit_in_the_middle_of_it_tells_the_seed_too) {
  testing::FLAGS_gtest_death_test_style = test::death_style();
  const auto does = [](void (*wrong)()) {
    (void)check(few(2), [&](check_run& run) {
      run.play(
          [](void (*does_it)()) -> task<> {
            co_await sleep(1ms);
            does_it();
          },
          wrong);
    });
  };
  const char* const line = "on host scenario\nlevity: to meet it again: LEVITY_SIM_SEED=1 LEVITY_SIM_PLAN='' ";
  EXPECT_EXIT(does([] { std::exit(3); }), testing::ExitedWithCode(3), line);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    struct sigaction before {};
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_DFL) continue;  // a sanitizer answers it
    static int raised;
    raised = signal;
    EXPECT_EXIT(does([] { (void)std::raise(raised); }), testing::KilledBySignal(signal), line);
  }
}

TEST(check, two_checks_of_a_process_write_two_traces) {
  check_options how = few(20);
  how.trace_folder = ::testing::TempDir();
  how.shrink_runs_max = 0;
  const check_result one = check(how, watches_orders);
  const check_result other = check(how, watches_orders);
  ASSERT_FALSE(one);
  ASSERT_FALSE(other);
  EXPECT_NE(one.trace_file, other.trace_file);
  for (const std::string& each : {one.trace_file, other.trace_file}) {
    EXPECT_TRUE(std::filesystem::remove(each)) << each;
  }
}

TEST(check, the_least_plan_is_looked_for_no_longer_than_it_may_take) {
  check_options how = few(20);
  how.shrink_time_max = 0s;
  const check_result result = check(how, watches_orders);
  ASSERT_FALSE(result);
  const std::string all = std::to_string(result.plan.faults.size());
  EXPECT_GT(result.plan.faults.size(), 1u) << "as it was drawn";
  EXPECT_TRUE(says(result, ", the smallest found of " + all + " faults: the limit of 0 s was reached\n"));

  how.shrink_time_max = 2min;
  how.shrink_runs_max = 2;  // without any fault, and without one half of them
  const check_result other = check(how, watches_orders);
  ASSERT_FALSE(other);
  EXPECT_TRUE(says(other, ", the smallest found of " + all + " faults: the limit of 2 runs was reached\n"));
}

TEST(check, what_a_program_finds_on_its_way_to_its_end_is_nobodys_failure) {
  static int ends;
  ends = 0;
  const auto scenario = [](check_run& run) {
    host& orders = run.world().add_host("orders", "10.0.0.1");
    run.world().add_host("payment", "10.0.0.2").start([] {
      const int code = levity::run([]() -> task<> {
        struct last_words {
          ~last_words() {
            ends++;
            EXPECT_TRUE(false) << "payment";
          }
        } const said_at_last;
        for (;;) co_await sleep(1s);
      });
      EXPECT_EQ(code, 0);
      return code;
    });
    orders.start([] {
      return levity::run([]() -> task<> {
        struct last_words {
          ~last_words() {
            ends++;
            EXPECT_TRUE(false) << "orders";
          }
        } const said_at_last;
        for (;;) co_await sleep(1s);
      });
    });
    run.world().play([](host* of) -> task<> {
      co_await sleep(10s);
      of->kill();
      co_await sleep(10s);
    }, &orders);
  };
  EXPECT_TRUE(holds({.seeds = 1, .twice_every = 0}, scenario));
  EXPECT_EQ(ends, 2) << "one was killed, the other one ran to the end of the world";
}

TEST(check, programs_are_ended_before_a_run_is_broken_off_while_the_scenario_is_still_there) {
  bool is_late = false;
  check_options how = few(1);
  how.plan.mean_gap = 0s;
  const check_result result = check(how, [&](check_run& run) {
    int lives = 0;
    run.world().add_host("orders", "10.0.0.1").start([&lives] {
      return levity::run([](int* count) -> task<> {
        struct one {
          int* of;
          explicit one(int* counted) : of(counted) { ++*of; }
          ~one() { --*of; }
        } const here(count);
        for (;;) co_await sleep(1s);
      }, &lives);
    });
    try {
      run.play([]() -> task<> {
        co_await sleep(1s);
        always(false, "all is well");
        co_await sleep(1s);
      });
    } catch (...) {
      is_late = is_late || lives != 0;
      throw;
    }
  });
  EXPECT_FALSE(result);
  EXPECT_FALSE(is_late);
}

TEST(check, an_expectation_of_googletest_fails_the_seed_and_not_the_test) {
  const ::testing::AssertionResult result = holds({.seeds = 2}, [](check_run& run) {
    run.play([]() -> task<> {
      co_await sleep(1ms);
      EXPECT_EQ(1 + 1, 3) << "said the accountant";
    });
  });
  EXPECT_FALSE(result);
  const std::string message = result.message();
  EXPECT_NE(message.find("said the accountant"), std::string::npos) << message;
  const std::string filter = "--gtest_filter=check.an_expectation_of_googletest_fails_the_seed_and_not_the_test";
  EXPECT_NE(message.find(filter), std::string::npos) << message;
  EXPECT_TRUE(holds({.seeds = 2}, sleeps));
}

}  // namespace levity::sim
