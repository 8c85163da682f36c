// Fault plans as values: their text, how they are drawn, what their errors say.

#include "levity/sim/fault_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/sim/world.hpp"
#include "sim/plan_text.hpp"

namespace levity::inline v0::sim {
namespace {

const std::vector<std::string> host_names = {"orders", "payment", "inventory", "client"};

fault_plan plan_of(std::string_view text) {
  auto read = fault_plan::parse(text);
  EXPECT_TRUE(read) << read.error();
  return read.value_or(fault_plan{});
}

std::string error_of(std::string_view text) {
  const auto read = fault_plan::parse(text);
  return read ? "it was read" : read.error();
}

bool is_of_two(fault_kind what) {
  return what == fault_kind::part || what == fault_kind::cut || what == fault_kind::slow || what == fault_kind::lose ||
         what == fault_kind::narrow || what == fault_kind::duplicate || what == fault_kind::reorder;
}

bool overlap(const fault& a, const fault& b) { return a.at <= b.at + b.lasts && b.at <= a.at + a.lasts; }

}  // namespace

TEST(fault_plan, a_text_is_read_as_what_it_says) {
  const fault_plan plan = plan_of(
      "2.5s kill orders 300ms; 4s part orders payment 2s;\n 5s lose a b 1s 12.5%; 6s drift a 0s -0.2ppm");
  ASSERT_EQ(plan.faults.size(), 4u);
  EXPECT_EQ(plan.faults[0], (fault{.at = 2500ms, .what = fault_kind::kill, .host = "orders", .lasts = 300ms}));
  EXPECT_EQ(plan.faults[1], (fault{.at = 4s, .what = fault_kind::part, .host = "orders", .other = "payment", .lasts = 2s}));
  EXPECT_EQ(plan.faults[2], (fault{.at = 5s, .what = fault_kind::lose, .host = "a", .other = "b", .amount = 125'000, .lasts = 1s}));
  EXPECT_EQ(plan.faults[3], (fault{.at = 6s, .what = fault_kind::drift, .host = "a", .amount = -200, .lasts = 0s}));
  EXPECT_EQ(plan.end(), 6s);
  EXPECT_EQ(plan_of("").faults.size(), 0u);
  EXPECT_EQ(plan_of(" ; ").faults.size(), 0u);
}

TEST(fault_plan, a_text_in_its_own_words_is_written_as_it_was) {
  for (const std::string_view text : {
           "",
           "2.5s kill orders 300ms; 4s part orders payment 2s",
           "0s power a 1ns; 1us pause a 1.001us; 10us cut a b 999ns",
           "4s slow a b 2s 50ms; 4s lose a b 2s 0.0001%; 4s lose a b 2s 100%; 4s narrow a b 2s 10000B/s",
           "4s jump a 2s -300ms; 4s jump a 2s 3s; 4s drift a 2s 200ppm; 4s drift a 2s -0.001ppm",
           "4s full a 2s; 4s badsync a 2s 3; 4s slowdisk a 2s 50ms; 4s drift a 2s 100000ppm",
           "4s duplicate a b 2s 0.0001%; 4s reorder a b 2s 100%",
           R"(1s kill "two words" 1s; 1s kill "" 1s; 1s kill "a;b" 1s; 1s kill "say \"a\\b\"" 1s; 1s kill "new\nline" 1s)",
       }) {
    EXPECT_EQ(plan_of(text).to_string(), text);
  }
}

TEST(fault_plan, numbers_read_back_exactly) {
  rng random(1);
  for (int i = 0; i < 10'000; i++) {
    const auto number = static_cast<std::int64_t>(random() >> random.below(64)) * (random.below(2) == 0 ? 1 : -1);
    for (const unsigned decimals : {0U, 3U, 4U, 9U}) {
      ASSERT_EQ(read_decimal(decimal_text(number, decimals), decimals), number) << decimal_text(number, decimals);
    }
    ASSERT_EQ(read_time(time_text(number)), number) << time_text(number);
  }
  for (const std::int64_t edge : {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(read_time(time_text(edge)), edge);
  }
  for (const std::string_view none : {"", "s", "1", "-s", ".5s", "1.s", "1..2s", "1.0000000001s", "9223372036.854775808s", "1 s",
                                      "+1s", "1h"}) {
    EXPECT_FALSE(read_time(none)) << none;
  }
}

TEST(fault_plan, an_error_says_what_is_wrong_and_how_it_is_written) {
  EXPECT_EQ(error_of("soon kill orders 300ms"),
            "the fault plan cannot be read: in \"soon kill orders 300ms\" \"soon\" is no time at which something begins; write one "
            "like 2.5s, 300ms or 10us");
  EXPECT_EQ(error_of("1s kill orders 1s; 2s"),
            "the fault plan cannot be read: in \"2s\" nothing is said to happen; the kinds are kill, power, pause, part, cut, "
            "slow, lose, narrow, jump, drift, full, badsync, slowdisk, duplicate and reorder");
  EXPECT_NE(error_of("2s burn orders 1s").find("\"burn\" is no kind of fault; the kinds are kill, power"), std::string::npos);
  EXPECT_NE(error_of("4s part orders 2s").find("there are 4 words and part takes 5; write it like \"4s part orders payment 2s\""),
            std::string::npos);
  EXPECT_NE(error_of("4s part orders orders 2s").find("cut off from itself"), std::string::npos);
  EXPECT_NE(error_of("4s kill orders -2s").find("\"-2s\" is no length of time"), std::string::npos);
  const std::string_view lose = "\"101%\" is not what lose takes; write it like \"4s lose orders payment 2s 12.5%\"";
  EXPECT_NE(error_of("4s lose a b 2s 101%").find(lose), std::string::npos);
  EXPECT_NE(error_of("4s duplicate a b 2s 3").find("\"3\" is not what duplicate takes"), std::string::npos);
  EXPECT_NE(error_of("4s reorder a 2s 3%").find("there are 5 words and reorder takes 6"), std::string::npos);
  EXPECT_NE(error_of("4s narrow a b 2s 0B/s").find("is not what narrow takes"), std::string::npos);
  EXPECT_NE(error_of("4s drift a 2s 100000.001ppm").find("is not what drift takes"), std::string::npos);
  EXPECT_NE(error_of("4s badsync a 2s 0").find("is not what badsync takes; write it like \"4s badsync orders 2s 3\""),
            std::string::npos);
  EXPECT_NE(error_of("4s jump a 2s 5").find("is not what jump takes"), std::string::npos);
  EXPECT_NE(error_of("4s kill \"orders 2s").find("a quoted name does not end"), std::string::npos);
}

TEST(fault_plan, what_is_drawn_keeps_to_the_options_for_a_thousand_seeds) {
  plan_options how;
  how.from = 1s;
  how.horizon = 20s;
  how.mean_gap = 500ms;
  how.shortest = 20ms;
  how.longest = 3s;
  how.hosts = {"orders", "payment", "inventory"};
  how.full = how.badsync = how.duplicate = how.reorder = 3;
  std::size_t drawn = 0;
  std::size_t together_max = 0;
  std::set<fault_kind> kinds;
  for (std::uint64_t seed = 1; seed <= 1000; seed++) {
    how.at_once_max = 1 + static_cast<unsigned>(seed % 2);
    const fault_plan plan = fault_plan::draw(seed, host_names, how);
    ASSERT_EQ(fault_plan::draw(seed, host_names, how), plan) << "seed " << seed;
    ASSERT_EQ(plan_of(plan.to_string()), plan) << "seed " << seed;
    ASSERT_LE(plan.end(), how.horizon) << "seed " << seed;
    drawn += plan.faults.size();
    for (const fault& one : plan.faults) {
      kinds.insert(one.what);
      ASSERT_TRUE(one.at >= how.from && one.lasts >= how.shortest && one.lasts <= how.longest) << plan.to_string();
      ASSERT_NE(std::ranges::find(how.hosts, one.host), how.hosts.end()) << plan.to_string();
      ASSERT_EQ(one.other.empty(), !is_of_two(one.what)) << plan.to_string();
      ASSERT_NE(one.other, one.host) << plan.to_string();
      std::size_t together = 0;
      for (const fault& other : plan.faults) {
        ASSERT_FALSE(&other != &one && overlap(one, other) && one.host == other.host) << plan.to_string();
        together += other.at <= one.at && one.at <= other.at + other.lasts ? 1 : 0;
      }
      ASSERT_LE(together, how.at_once_max) << plan.to_string();
      together_max = std::max(together_max, together);
    }
  }
  EXPECT_EQ(kinds.size(), 15u);
  EXPECT_EQ(together_max, 2u);
  EXPECT_GT(drawn, 5000u);
}

TEST(fault_plan, only_kinds_with_a_weight_and_hosts_enough_are_drawn) {
  plan_options how;
  how.mean_gap = 100ms;
  how.longest = 100ms;
  for (std::uint64_t seed = 1; seed <= 100; seed++) {
    const fault_plan plan = fault_plan::draw(seed, std::vector<std::string>{"alone"}, how);
    ASSERT_FALSE(plan.faults.empty());
    ASSERT_TRUE(std::ranges::none_of(plan.faults, [](const fault& one) { return is_of_two(one.what); })) << plan.to_string();
  }
  plan_options only_kill = how;
  only_kill.power = only_kill.pause = only_kill.part = only_kill.cut = only_kill.slow = only_kill.lose = only_kill.narrow = 0;
  only_kill.jump = only_kill.drift = only_kill.slowdisk = 0;
  const fault_plan kills = fault_plan::draw(1, host_names, only_kill);
  EXPECT_GT(kills.faults.size(), 50u);
  EXPECT_TRUE(std::ranges::all_of(kills.faults, [](const fault& one) { return one.what == fault_kind::kill; }));
  only_kill.kill = 0;
  EXPECT_TRUE(fault_plan::draw(1, host_names, only_kill).faults.empty());
  how.mean_gap = 0s;
  EXPECT_TRUE(fault_plan::draw(1, host_names, how).faults.empty());
  EXPECT_TRUE(fault_plan::draw(1, std::vector<std::string>{}, {}).faults.empty());
}

TEST(fault_plan, links_of_the_scenario_are_hurt_where_that_is_asked_for_and_nothing_else_of_it) {
  for (const bool asked : {false, true}) {
    bool alone_is_hurt = false;
    std::set<std::string> others;
    for (std::uint64_t seed = 1; seed <= 50; seed++) {
      for (const fault& one : fault_plan::draw(seed, host_names, {.scenario_links = asked}).faults) {
        EXPECT_NE(one.host, "scenario");
        if (is_of_two(one.what)) others.insert(one.other);
      }
      for (const fault& one : fault_plan::draw(seed, std::vector<std::string>{"alone"}, {.scenario_links = asked}).faults) {
        if (!is_of_two(one.what)) continue;
        alone_is_hurt = true;
        EXPECT_EQ(one.host, "alone");
        EXPECT_EQ(one.other, "scenario");
      }
    }
    EXPECT_EQ(others.contains("scenario"), asked);
    EXPECT_EQ(others.size(), asked ? 5u : 4u);
    EXPECT_EQ(alone_is_hurt, asked);
  }
  EXPECT_EQ(world(1).here().name(), "scenario");
}

TEST(fault_plan, a_kind_whose_bound_is_nothing_is_not_drawn_and_no_bound_is_too_much) {
  plan_options nothing;
  nothing.mean_gap = 100ms;
  nothing.longest = 100ms;
  nothing.latency_max = nothing.jump_max = nothing.disk_latency_max = 0s;
  nothing.loss_max = nothing.duplicated_max = nothing.reordered_max = nothing.drift_ppm_max = 0;
  nothing.bytes_per_second_min = 0;
  nothing.bad_syncs_max = 0;
  nothing.badsync = nothing.duplicate = nothing.reorder = 5;
  plan_options all = nothing;
  all.latency_max = all.jump_max = all.disk_latency_max = duration::max() / 2;
  all.loss_max = all.duplicated_max = all.reordered_max = 1;
  all.drift_ppm_max = 100'000;
  all.bytes_per_second_min = std::numeric_limits<std::uint64_t>::max();
  all.bad_syncs_max = std::numeric_limits<unsigned>::max();
  std::set<fault_kind> kinds;
  for (std::uint64_t seed = 1; seed <= 200; seed++) {
    for (const fault& one : fault_plan::draw(seed, host_names, nothing).faults) kinds.insert(one.what);
    const fault_plan most = fault_plan::draw(seed, host_names, all);
    ASSERT_EQ(plan_of(most.to_string()), most) << "seed " << seed;
  }
  using enum fault_kind;
  EXPECT_EQ(kinds, (std::set<fault_kind>{kill, power, pause, part, cut}));
  std::size_t drawn = 0;
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    drawn += fault_plan::draw(seed, host_names, {.mean_gap = duration::max()}).faults.size();
  }
  EXPECT_EQ(drawn, 0u) << "a fault in some hundred years";
}

TEST(fault_plan, the_plan_of_a_seed_is_the_same_on_every_compiler) {
  EXPECT_EQ(fault_plan::draw(7, host_names, {.horizon = 20s}).to_string(),
            "5.967s lose client orders 3.577s 9.3%; 11.19s lose payment orders 1.582s 25.7%; 13.367s kill inventory 651ms; "
            "15.149s kill orders 1.357s; 17.522s part client orders 454ms");
}

}  // namespace levity::sim
