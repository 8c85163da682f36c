// Schedules: which orders of tasks and hosts each of them comes by, how soon, and how a run of it comes again.

#include "levity/sim/schedule.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/levity.hpp"
#include "levity/sim/check.hpp"
#include "levity/sim/explore.hpp"
#include "levity/sim/gtest.hpp"
#include "levity/sim/world.hpp"
#include "sim/schedule_text.hpp"

namespace levity::inline v0::sim {
namespace {

constexpr schedule_kind all_kinds[] = {schedule_kind::random, schedule_kind::fifo, schedule_kind::pct, schedule_kind::exhaustive};

/// Variables of the environment, as long as it lives.
class spoken {
public:
  explicit spoken(std::vector<std::pair<const char*, std::string>> words) : words_(std::move(words)) {
    for (const auto& [name, value] : words_) ::setenv(name, value.c_str(), 1);
  }
  spoken(const spoken&) = delete;
  spoken& operator=(const spoken&) = delete;
  ~spoken() {
    for (const auto& word : words_) ::unsetenv(word.first);
  }

private:
  const std::vector<std::pair<const char*, std::string>> words_;
};

// What makes the run of a failure again.
spoken replaying(const check_result& failed) {
  std::vector<std::pair<const char*, std::string>> words{{"LEVITY_SIM_SEED", std::to_string(failed.seed)},
                                                         {"LEVITY_SIM_PLAN", failed.plan.to_string()},
                                                         {"LEVITY_SIM_SCHEDULE", schedule_text(failed.schedule)}};
  if (failed.schedule.what == schedule_kind::exhaustive) words.emplace_back("LEVITY_SIM_CHOICES", choices_text(failed.choices));
  return spoken(std::move(words));
}

::testing::AssertionResult has(const check_result& result, std::string_view what) {
  if (result.message.find(what) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "\"" << what << "\" is not in " << result.message;
}

task<> says(char what, int times, std::string* said) {
  for (int i = 0; i < times; i++) {
    if (i > 0) co_await yield();
    said->push_back(what);
  }
}

// A task for each number, 'a' the first, which speaks so many times.
task<> all_say(std::vector<int> times, std::string* said) {
  scope all;
  char next = 'a';
  for (const int each : times) all.spawn(says, next++, each, said);
  co_await all.join();
}

struct explored_orders {
  check_result result;
  std::set<std::string> orders;
};

explored_orders orders_of(const std::vector<int>& times, const schedule& how = each_order) {
  explored_orders all;
  all.result = explore(exploring(how), [&]() -> task<> {
    std::string said;
    co_await all_say(times, &said);
    all.orders.insert(said);
  });
  return all;
}

// Two tasks that hand the turn to and fro, so that one of the two is ready at any time, and neither yields.
struct rally {
  static constexpr int rounds = 16;

  event there;
  event back;
  int strokes = 0;
  int seen = -1;
};

task<> serves(rally* on) {
  for (int i = 0; i < rally::rounds; i++) {
    on->strokes++;
    on->there.set();
    co_await on->back.wait();
    on->back.reset();
  }
}

task<> returns(rally* on) {
  for (int i = 0; i < rally::rounds; i++) {
    co_await on->there.wait();
    on->there.reset();
    on->strokes++;
    on->back.set();
  }
}

task<> looks_once(rally* on) {
  on->seen = on->strokes;
  co_return;
}

task<> opens(event* door) {
  door->set();
  co_return;
}

// In how many of so many seeds somebody looks in the very middle.
int found_in_the_middle(const schedule& how, unsigned seeds) {
  int found = 0;
  check_options options = exploring(how);
  options.seeds = seeds;
  options.twice_every = 0;
  const check_result result = explore(options, [&found]() -> task<> {
    rally on;
    scope all;
    all.spawn(serves, &on);
    all.spawn(returns, &on);
    all.spawn(looks_once, &on);
    co_await all.join();
    found += on.seen == rally::rounds ? 1 : 0;
  });
  EXPECT_TRUE(result) << result.message;
  return found;
}

// Reads, awaits, writes.
task<> adds_one(int* to, int late) {
  for (int i = 0; i < late; i++) co_await yield();
  const int seen = *to;
  co_await yield();
  *to = seen + 1;
}

// As they come the second one reads after the first one has written.
task<> two_add() {
  int sum = 0;
  scope both;
  both.spawn(adds_one, &sum, 0);
  both.spawn(adds_one, &sum, 2);
  co_await both.join();
  always(sum == 2, "no addition is lost");
}

int as_it_is(int value) { return value; }

task<> adds_one_by_a_call(int* to) {
  const int seen = *to;
  const int same = co_await blocking(&as_it_is, seen);
  *to = same + 1;
}

task<> two_add_by_calls() {
  int sum = 0;
  scope both;
  both.spawn(adds_one_by_a_call, &sum);
  both.spawn(adds_one_by_a_call, &sum);
  co_await both.join();
  always(sum == 2, "no addition is lost");
}

task<> says_around_a_send(std::string* said, channel<int>* into) {
  said->push_back('a');
  (void)co_await into->send(1);  // there is room
  said->push_back('b');
}

task<> sends_beside_another(std::string* said) {
  channel<int> roomy(10);
  scope both;
  both.spawn(says_around_a_send, said, &roomy);
  both.spawn(says, 'x', 1, said);
  co_await both.join();
}

task<> echoes(tcp_stream peer) {
  for (auto chunk = co_await peer.read_some(); chunk; chunk = co_await peer.read_some()) {
    const auto sent = co_await peer.write_all(*chunk);
    if (!sent) co_return;
  }
}

int run_echo() {
  return levity::run([]() -> task<> {
    auto listener = tcp_listener::bind(":7000");
    scope all;
    for (auto peer = co_await listener->accept(); peer; peer = co_await listener->accept()) {
      all.spawn(echoes, std::move(*peer));
    }
    co_await all.join();
  });
}

task<> asks_once() {
  for (;;) {
    auto stream = co_await tcp_stream::connect("10.0.0.1:7000");
    if (stream) {
      const auto sent = co_await stream->write_all("hello");
      const auto back = co_await stream->read_some();
      if (sent && back) co_return;
    }
    co_await sleep(1ms);
  }
}

// A server and three customers.
std::uint64_t trace_of(std::uint64_t seed, const schedule& how) {
  world in(seed);
  in.set_schedule(how);
  in.add_host("server", "10.0.0.1").start(run_echo);
  EXPECT_EQ(in.play([]() -> task<> {
    scope all;
    for (int i = 0; i < 3; i++) all.spawn(asks_once);
    co_await all.join();
  }), 0);
  return in.trace_hash();
}

int run_sleeper() {
  return levity::run([]() -> task<> {
    for (;;) co_await sleep(1s);
  });
}

void watches_sleepers(check_run& run) {
  host& orders = run.world().add_host("orders", "10.0.0.1");
  run.world().add_host("payment", "10.0.0.2").start(run_sleeper);
  orders.start(run_sleeper);
  run.play(
      [](check_run* of, host* watched) -> task<> {
        while (of->world().age() < 10s) {
          co_await sleep(5ms);
          always(watched->is_running(), "orders runs all the time");
        }
      },
      &run, &orders);
}

}  // namespace

// ---- exhaustive ------------------------------------------------------------------------------------------------------

TEST(schedule, exhaustive_comes_by_each_order_once) {
  const auto expect_runs = [](const std::vector<int>& times, std::uint64_t orders) {
    const explored_orders all = orders_of(times);
    EXPECT_TRUE(all.result) << all.result.message;
    EXPECT_EQ(all.result.runs, orders);
    EXPECT_EQ(all.orders.size(), orders);
    EXPECT_TRUE(all.result.complete);
    EXPECT_FALSE(all.result.bounded);
    EXPECT_EQ(all.result.seeds_run, 1U);
  };
  expect_runs({1}, 1);
  expect_runs({1, 1}, 2);        // n!
  expect_runs({1, 1, 1}, 6);
  expect_runs({1, 1, 1, 1}, 24);
  expect_runs({1, 1, 1, 1, 1}, 120);
  expect_runs({2, 2}, 6);        // 4! / (2! 2!)
  expect_runs({3, 3}, 20);
  expect_runs({2, 2, 1}, 30);
  EXPECT_TRUE(has(orders_of({2, 2}).result, "sim::check: 1 seed from 1 in 6 runs, all orders, and nothing was wrong"));
}

TEST(schedule, exhaustive_begins_with_the_order_in_which_they_come) {
  schedule one = each_order;
  one.runs_max = 1;
  const explored_orders first = orders_of({2, 2, 1}, one);
  EXPECT_EQ(first.orders, std::set<std::string>{"abcab"});
  EXPECT_EQ(first.result.runs, 1U);
  EXPECT_TRUE(first.result);
  EXPECT_FALSE(first.result.complete);
  EXPECT_TRUE(first.result.cut_short);
  EXPECT_TRUE(has(first.result, "1 run, and orders are left"));
}

TEST(schedule, exhaustive_within_a_bound_of_delays_says_that_it_has_left_something_out) {
  const auto expect_runs = [](const std::vector<int>& times, std::uint64_t delays_max, std::uint64_t runs, bool bounded) {
    schedule how = each_order;
    how.delays_max = delays_max;
    const explored_orders all = orders_of(times, how);
    EXPECT_EQ(all.result.runs, runs);
    EXPECT_TRUE(all.result.complete);
    EXPECT_EQ(all.result.bounded, bounded);
  };
  expect_runs({2, 2}, 0, 1, true);
  expect_runs({2, 2}, 1, 4, true);
  expect_runs({2, 2}, 2, 6, false);
  expect_runs({1, 1, 1}, 1, 3, true);
  expect_runs({1, 1, 1}, 2, 5, true);
  expect_runs({1, 1, 1}, 3, 6, false);
}

TEST(schedule, exhaustive_finds_a_lost_update_and_its_choices_bring_it_again) {
  EXPECT_TRUE(explore(exploring({.what = schedule_kind::fifo}), two_add));
  const check_result lost = explore(two_add);
  ASSERT_FALSE(lost);
  EXPECT_GT(lost.runs, 1U);
  EXPECT_FALSE(lost.complete);
  ASSERT_FALSE(lost.choices.empty());
  EXPECT_TRUE(has(lost, "always \"no addition is lost\" is false, at "));
  const std::string choices = choices_text(lost.choices);
  EXPECT_TRUE(has(lost, "order   exhaustive, run " + std::to_string(lost.runs) + ", choices " + choices));
  const std::string line =
      "LEVITY_SIM_SEED=1 LEVITY_SIM_PLAN='' LEVITY_SIM_SCHEDULE=exhaustive LEVITY_SIM_CHOICES=" + choices + " ";
  EXPECT_TRUE(has(lost, line));
  EXPECT_TRUE(has(lost, "choice: runs task "));
  EXPECT_TRUE(has(lost, " spawned at "));
  EXPECT_TRUE(has(lost, ", one of 2\n"));

  const spoken words = replaying(lost);
  const check_result again = explore(exploring({.what = schedule_kind::fifo}), two_add);  // the environment has the last word
  EXPECT_FALSE(again);
  EXPECT_EQ(again.runs, 1U);
  EXPECT_EQ(again.choices, lost.choices);
  EXPECT_EQ(again.trace_hash, lost.trace_hash);
  EXPECT_TRUE(has(again, line));
}

TEST(schedule, exhaustive_comes_by_the_turns_of_hosts_too) {
  std::string said;
  std::set<std::string> orders;
  check_options how = exploring(each_order);
  const check_result result = check(how, [&](check_run& run) {
    said.clear();
    host& a = run.world().add_host("a", "10.0.0.1");
    host& b = run.world().add_host("b", "10.0.0.2");
    a.start([&said] { return levity::run(says, 'a', 1, &said); });
    b.start([&said] { return levity::run(says, 'b', 1, &said); });
    run.play([&]() -> task<> {
      (void)co_await a.ended();
      (void)co_await b.ended();
    });
    orders.insert(said);
  });
  EXPECT_TRUE(result) << result.message;
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(orders, (std::set<std::string>{"ab", "ba"}));
}

TEST(schedule, exhaustive_notices_a_scenario_that_remembers) {
  int runs = 0;
  const check_result result = explore(exploring(each_order), [&runs]() -> task<> {
    std::string said;
    std::vector<int> times(runs++ < 2 ? 3 : 2, 1);  // the first run is run twice
    co_await all_say(std::move(times), &said);
  });
  EXPECT_FALSE(result);
  EXPECT_TRUE(has(result, "not deterministic: two runs of seed 1 had the same choices, and then not the same things to choose "
                          "from"));
}

// ---- pct -------------------------------------------------------------------------------------------------------------

// Evenly drawn, each of the 16 steps before must pass by a task that is ready: once in some 2^17 runs. With depth 2 the bound is
// 1 / (n k), here 1 / (4 * 36): fourteen times in 2000 runs; the rule alone, tried apart from this code, has eighteen.
TEST(schedule, pct_finds_what_needs_one_task_to_be_late_where_even_draws_do_not) {
  constexpr unsigned seeds = 2000;
  EXPECT_LE(found_in_the_middle({.what = schedule_kind::random}, seeds), 1);
  EXPECT_GE(found_in_the_middle({.what = schedule_kind::pct, .depth = 2}, seeds), 5);
}

TEST(schedule, pct_of_depth_1_changes_no_priority_and_so_finds_only_ends) {
  EXPECT_EQ(found_in_the_middle({.what = schedule_kind::pct, .depth = 1}, 300), 0);
}

TEST(schedule, pct_gives_the_scenario_itself_a_priority_like_any_other) {
  check_options options = exploring({.what = schedule_kind::pct, .depth = 1});
  options.seeds = 100;
  std::set<std::string> orders;
  EXPECT_TRUE(explore(options, [&orders]() -> task<> {
    std::string said;
    event door;
    scope all;
    all.spawn(opens, &door);
    all.spawn(says, 'x', 1, &said);
    co_await door.wait();
    said.push_back('m');
    co_await all.join();
    orders.insert(said);
  }));
  EXPECT_EQ(orders, (std::set<std::string>{"mx", "xm"}));
}

TEST(schedule, pct_learns_how_many_steps_there_are_from_the_runs_before) {
  for (const std::uint64_t failing : {1, 3}) {
    check_options options = exploring({.what = schedule_kind::pct});
    options.seeds = 5;
    const auto scenario = [failing](check_run& run) {
      run.play([&run, failing]() -> task<> {
        std::string said;
        std::vector<int> times(2, 2);
        co_await all_say(std::move(times), &said);
        always(run.seed() != failing, "it is another seed");
      });
    };
    const check_result result = check(options, scenario);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.seed, failing);
    EXPECT_EQ(result.schedule.steps, failing == 1 ? 0U : 6U) << "main before and behind two tasks of two steps";
    EXPECT_TRUE(has(result, failing == 1 ? "LEVITY_SIM_SCHEDULE=pct:3 " : "LEVITY_SIM_SCHEDULE=pct:3:6 "));
  }
}

TEST(schedule, pct_starves_neither_who_waits_for_a_task_that_yields_nor_for_two_that_never_rest) {
  check_options options = exploring({.what = schedule_kind::pct});
  options.seeds = 50;
  EXPECT_TRUE(explore(options, []() -> task<> {
    bool is_done = false;
    scope all;
    all.spawn([](const bool* until) -> task<> {
      while (!*until) co_await yield();
    }, &is_done);
    all.spawn([](bool* done) -> task<> {
      *done = true;
      co_return;
    }, &is_done);
    co_await all.join();
  }));
  EXPECT_TRUE(explore(options, []() -> task<> {
    channel<int> line(0);
    scope all;
    all.spawn([](channel<int>* into) -> task<> {
      for (auto sent = co_await into->send(1); sent; sent = co_await into->send(1)) continue;
    }, &line);
    all.spawn([](channel<int>* from) -> task<> {
      for (auto got = co_await from->receive(); got; got = co_await from->receive()) continue;
    }, &line);
    all.spawn([](channel<int>* ends) -> task<> {
      ends->close();
      co_return;
    }, &line);
    co_await all.join();
  }));
}

// ---- a task that loses its worker ------------------------------------------------------------------------------------

TEST(schedule, detaching_has_others_overtake_at_an_await_that_needs_no_wait) {
  const auto explored = [](bool detaching) {
    schedule how = each_order;
    how.detaching = detaching;
    explored_orders all;
    all.result = explore(exploring(how), [&all]() -> task<> {
      std::string said;
      co_await sends_beside_another(&said);
      all.orders.insert(said);
    });
    return all;
  };
  const explored_orders without = explored(false);
  EXPECT_EQ(without.orders, (std::set<std::string>{"abx", "xab"}));
  EXPECT_EQ(without.result.runs, 2U);
  const explored_orders with = explored(true);
  EXPECT_EQ(with.orders, (std::set<std::string>{"abx", "axb", "xab"}));
  EXPECT_EQ(with.result.runs, 4U) << "set aside it may still be the next one to run";
  EXPECT_TRUE(with.result.complete);
}

TEST(schedule, detaching_finds_what_others_do_while_a_blocking_call_lasts) {
  const check_result in_one_piece = explore(two_add_by_calls);
  EXPECT_TRUE(in_one_piece) << in_one_piece.message;
  EXPECT_TRUE(in_one_piece.complete);
  for (const schedule_kind each : {schedule_kind::random, schedule_kind::pct, schedule_kind::exhaustive}) {
    check_options options = exploring({.what = each, .depth = 2, .detaching = true});
    options.seeds = 100;
    const check_result lost = explore(options, two_add_by_calls);
    ASSERT_FALSE(lost) << schedule_text(options.schedule);
    EXPECT_TRUE(has(lost, "+detaching"));
    const spoken words = replaying(lost);
    EXPECT_EQ(explore(options, two_add_by_calls).trace_hash, lost.trace_hash);
  }
}

// ---- all of them -----------------------------------------------------------------------------------------------------

TEST(schedule, gives_the_same_run_from_the_same_seed) {
  for (const schedule_kind each : all_kinds) {
    for (const bool detaching : {false, true}) {
      const schedule how{.what = each, .steps = 60, .detaching = detaching};
      EXPECT_EQ(trace_of(3, how), trace_of(3, how)) << schedule_text(how);
      EXPECT_NE(trace_of(3, how), trace_of(4, how)) << schedule_text(how);
    }
  }
  EXPECT_NE(trace_of(3, {.what = schedule_kind::fifo}), trace_of(3, {.what = schedule_kind::pct}));
}

TEST(schedule, of_a_failure_is_in_its_replay_line_and_the_plan_is_made_smaller_under_it) {
  for (const schedule_kind each : all_kinds) {
    check_options how;
    how.seeds = 20;
    how.plan = {.horizon = 8s, .mean_gap = 500ms, .longest = 1s};
    how.schedule = {.what = each, .runs_max = 2, .detaching = each != schedule_kind::fifo};
    const check_result result = check(how, watches_sleepers);
    ASSERT_FALSE(result) << schedule_text(how.schedule);
    ASSERT_EQ(result.plan.faults.size(), 1U) << result.message;
    EXPECT_TRUE(has(result, " LEVITY_SIM_SCHEDULE=" + schedule_text(result.schedule) + " "));
    const spoken words = replaying(result);
    const check_result again = check(how, watches_sleepers);
    EXPECT_FALSE(again);
    EXPECT_EQ(again.plan, result.plan);
    EXPECT_EQ(again.trace_hash, result.trace_hash) << schedule_text(how.schedule);
  }
}

TEST(schedule, of_the_environment_that_cannot_be_is_refused) {
  const auto refused = [](std::vector<std::pair<const char*, std::string>> words) {
    const spoken said(std::move(words));
    return check({.seeds = 1, .schedule = each_order}, [](check_run&) { ADD_FAILURE() << "it is not run"; });
  };
  EXPECT_TRUE(has(refused({{"LEVITY_SIM_SCHEDULE", "best"}}), "sim::check failed: LEVITY_SIM_SCHEDULE: \"best\" is no schedule"));
  EXPECT_TRUE(has(refused({{"LEVITY_SIM_CHOICES", "1,x"}}), "sim::check failed: LEVITY_SIM_CHOICES: \"1,x\" are no choices"));
  EXPECT_TRUE(has(refused({{"LEVITY_SIM_CHOICES", "1"}}), "LEVITY_SIM_CHOICES are those of one seed"));
  EXPECT_TRUE(has(refused({{"LEVITY_SIM_CHOICES", "1"}, {"LEVITY_SIM_SEED", "1"}, {"LEVITY_SIM_SCHEDULE", "fifo"}}),
                  "LEVITY_SIM_CHOICES are those of one seed"));
}

// ---- explore ---------------------------------------------------------------------------------------------------------

TEST(explore, has_a_clock_that_jumps_and_stands_still_meanwhile) {
  duration took{};
  EXPECT_TRUE(explore([&took]() -> task<> {
    const time_point began = clock::now();
    co_await sleep(48h);
    took = clock::now() - began;
  }));
  EXPECT_GE(took, 48h);
  EXPECT_LT(took, 48h + 1s);
}

TEST(explore, fails_where_everybody_waits_for_ever) {
  const check_result result = explore([]() -> task<> {
    channel<int> meeting;
    (void)co_await meeting.receive();
  });
  EXPECT_FALSE(result);
  EXPECT_TRUE(has(result, "the world stands still"));
}

TEST(gtest, holds_in_each_order_if_there_is_no_other_and_none_is_left) {
  const auto says_to_itself = []() -> task<> {
    std::string said;
    std::vector<int> times(2, 2);
    co_await all_say(std::move(times), &said);
    EXPECT_EQ(said.size(), 4U);
  };
  EXPECT_TRUE(holds_in_each_order(says_to_itself));
  schedule few = each_order;
  few.runs_max = 5;
  EXPECT_FALSE(holds_in_each_order(says_to_itself, few));
  EXPECT_FALSE(holds_in_each_order(says_to_itself, {.what = schedule_kind::fifo}));
  {
    const spoken words({{"LEVITY_SIM_SEED", "1"}, {"LEVITY_SIM_CHOICES", "1"}});
    EXPECT_TRUE(holds_in_each_order(says_to_itself)) << "one run that is played again has left nothing out";
  }
  {
    const spoken words({{"LEVITY_SIM_SEEDS", "2"}, {"LEVITY_SIM_SCHEDULE", "fifo"}});
    EXPECT_TRUE(holds_in_each_order(says_to_itself));
  }
  const ::testing::AssertionResult failed = holds_in_each_order([]() -> task<> {
    std::string said;
    std::vector<int> times(2, 1);
    co_await all_say(std::move(times), &said);
    EXPECT_EQ(said, "ab");
  });
  EXPECT_FALSE(failed);
  EXPECT_NE(std::string(failed.message()).find("LEVITY_SIM_CHOICES=1 "), std::string::npos) << failed.message();
  EXPECT_NE(std::string(failed.message()).find("--gtest_filter=gtest.holds_in_each_order"), std::string::npos);
}

}  // namespace levity::sim
