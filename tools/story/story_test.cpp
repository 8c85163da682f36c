// Goal: what the story counts, judges and draws is what happened; and what it cannot know it does not claim.
#include "common/test_server.hpp"
#include "load/ask.hpp"
#include "story/judge.hpp"
#include "story/page.hpp"
#include "story/plot.hpp"
#include "story/probe.hpp"
#include "story/record.hpp"
#include "story/script.hpp"
#include "story/show.hpp"
#include "story/verdict.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <levity/base/atomic.hpp>

using namespace levity::story;
using levity::load::failure;

namespace {

constexpr std::int64_t second = 1'000'000'000;

// A run that somebody has written down by hand: calm, then nothing but late orders while payment is slow.
act_result made_up_act(const act_options& options, const std::string& name) {
  act_result act;
  act.of = {name, "/opt/" + name, false};
  act.met = std::make_unique<record>(options.script, options.duration_s);
  act.met->begin(second);
  for (int i = 0; i < 160; ++i) {
    const std::int64_t intended = second + i * second / 10;
    const bool slow = options.script.front().holds(i / 10.0);
    act.met->add(question::look, answer_kind::ok, intended, intended + 1'000'000);
    act.met->add(question::order, slow ? answer_kind::degraded : answer_kind::ok, intended,
                 intended + (slow ? 2 * second : 5'000'000));
  }
  for (int i = 1; i < 160; ++i) {
    look one;
    one.at_s = i / 10.0;
    one.rss_bytes = 50'000'000;
    one.cpu_share = 0.5;
    if (i < 50 || i > 60) {
      one.told.emplace();
      one.told->tasks = static_cast<std::uint64_t>(100 + i);
      one.told->cache_get_p99_us = 7'000;
      one.told->outside_calls = 10'000;
      one.told->outside_failures = 370;
    }
    act.looks.push_back(one);
  }
  act.judged.acknowledged = 160;
  act.judged.charges.once = 159;
  act.judged.charges.twice = 1;
  act.judged.reservations.once = 160;
  act.judged.settled.told = name == "after";
  act.judged.settled.makes_none_later = name == "before";
  return act;
}

act_options options_of_16_s() {
  act_options options;
  options.script = write_script(16, 2'000, false);
  return options;
}

levity::tools::action answer(int fd, std::string_view body, std::string_view headers = "") {
  const std::string text = fmt::format("HTTP/1.1 200 OK\r\n{}Content-Length: {}\r\n\r\n{}", headers, body.size(), body);
  EXPECT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  return levity::tools::action::keep;
}

levity::tools::action answer_stats(int fd, std::uint64_t owed_at_payment) {
  return answer(fd, fmt::format(R"({{"tasks":1,"cache_get_p99_us":1,"outside_calls":1,"outside_failures":1,)"
                                R"("bookings":{{"payment":{{"outstanding":{}}},"inventory":{{"outstanding":0}}}}}})",
                                owed_at_payment));
}

levity::load::target target_of(const levity::tools::test_server& server) {
  auto where = levity::load::parse_target(server.url("http"));
  EXPECT_TRUE(where && levity::load::resolve(*where));
  return *where;
}

// Opening and closing tags in order, entities known, quotes closed: what an XML reader asks for, of the XML that is written here.
std::string what_is_malformed(std::string_view text) {
  std::vector<std::string> open;
  if (text.starts_with("<!DOCTYPE html>\n")) text.remove_prefix(16);
  while (!text.empty()) {
    if (text.front() == '&') {
      const auto end = text.substr(0, 8).find(';');
      const auto entity = text.substr(1, end == std::string_view::npos ? 0 : end - 1);
      if (entity != "amp" && entity != "lt" && entity != "gt" && entity != "quot") return "an ampersand that begins no entity";
      text.remove_prefix(end + 1);
    } else if (text.front() != '<') {
      text.remove_prefix(1);
    } else {
      std::size_t end = 1;
      for (char quote = 0; end < text.size() && (quote != 0 || text[end] != '>'); ++end) {
        if (text[end] == '<') return "a < inside a tag";
        if (text[end] == '"') quote = quote == 0 ? '"' : 0;
      }
      if (end >= text.size()) return "a tag without an end";
      const std::string_view tag = text.substr(1, end - 1);
      text.remove_prefix(end + 1);
      if (tag.starts_with('/')) {
        const std::string closed(tag.substr(1));
        if (open.empty() || open.back() != closed) return "</" + closed + "> closes something else";
        open.pop_back();
      } else if (!tag.ends_with('/')) {
        open.emplace_back(tag.substr(0, tag.find_first_of(" \n")));
      }
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> stays open";
}

}  // namespace

TEST(script, the_faults_of_sixteen_seconds_last_three_each) {
  const auto script = write_script(16, 2'000, false);
  ASSERT_EQ(script.size(), 2U);
  EXPECT_EQ(script[0].name(), "payment slow");
  EXPECT_DOUBLE_EQ(script[0].from_s, 3);
  EXPECT_DOUBLE_EQ(script[0].to_s, 6);
  EXPECT_EQ(script[0].order(), R"({"slow_ms":2000,"for_ms":3000})");
  EXPECT_EQ(script[1].name(), "inventory dead");
  EXPECT_DOUBLE_EQ(script[1].from_s, 9);
  EXPECT_EQ(script[1].order(), R"({"dead":true,"for_ms":3000})");
  EXPECT_EQ(fault_at(script, 2.99), nullptr);
  EXPECT_EQ(fault_at(script, 3.0), &script[0]);
  EXPECT_EQ(fault_at(script, 6.0), nullptr);
  EXPECT_TRUE(write_script(16, 2'000, true).empty());
}

TEST(record, an_answer_is_counted_when_it_came_and_its_fault_by_when_it_was_due) {
  const auto script = write_script(16, 2'000, false);
  record met(script, 16);
  met.begin(10 * second);
  met.add(question::order, answer_kind::ok, 15 * second, 18 * second);  // due in the fault, answered behind it
  EXPECT_EQ(met.windows()[80].answers[0], 1U);
  EXPECT_EQ(met.during(0).answers[0], 1U);
  EXPECT_EQ(met.during(0).all.value_at(0.99), 3'000'000U);
  EXPECT_EQ(met.during(1).sum(), 0U);
  met.add(question::look, answer_kind::failed, 25 * second, 31 * second);  // long after the end
  EXPECT_EQ(met.windows().size(), 211U);
  EXPECT_EQ(met.whole().sum(), 2U);
}

TEST(record, quantiles_are_exact) {
  latencies some;
  EXPECT_EQ(some.value_at(0.5), 0U);
  for (int i = 1; i <= 1'000; ++i) some.add(i * 1'000'000);
  EXPECT_EQ(some.value_at(0.5), 500'000U);
  EXPECT_EQ(some.value_at(0.99), 990'000U);
  EXPECT_EQ(some.value_at(1), 1'000'000U);
}

TEST(record, kinds_of_answers_are_told_apart) {
  const auto kind = [](const char* head, failure judged) {
    levity::load::response_reader reader;
    reader.start();
    reader.feed(std::string(head) + "Content-Length: 0\r\n\r\n");
    levity::load::response_view answer;
    answer.message = &reader;
    return kind_of(judged, answer);
  };
  EXPECT_EQ(kind("HTTP/1.1 201 Created\r\n", failure::none), answer_kind::ok);
  EXPECT_EQ(kind("HTTP/1.1 409 Conflict\r\n", failure::none), answer_kind::ok);
  EXPECT_EQ(kind("HTTP/1.1 201 Created\r\nX-Levity-Degraded: payment\r\n", failure::none), answer_kind::degraded);
  EXPECT_EQ(kind("HTTP/1.1 503 Service Unavailable\r\n", failure::status_5xx), answer_kind::refused);
  EXPECT_EQ(kind("HTTP/1.1 429 Too Many Requests\r\n", failure::status_4xx), answer_kind::refused);
  EXPECT_EQ(kind("HTTP/1.1 502 Bad Gateway\r\n", failure::status_5xx), answer_kind::failed);
  EXPECT_EQ(kind("HTTP/1.1 200 OK\r\n", failure::mismatch), answer_kind::failed);
  EXPECT_EQ(kind_of(failure::timeout, {}), answer_kind::failed);
}

TEST(probe, stats_are_read_whole_or_not_at_all) {
  const auto told = read_stats(R"({"tasks":7,"cache_get_p99_us":12,"outside_calls":3,"outside_failures":1,"rss_bytes":9,)"
                               R"("breakers":{"payment":"open"}})");
  ASSERT_TRUE(told);
  EXPECT_EQ(told->tasks, 7U);
  EXPECT_EQ(told->breakers["payment"], "open");
  EXPECT_FALSE(told->owed) << "a version that makes no booking later does not say so";
  const auto owing = read_stats(R"({"tasks":7,"cache_get_p99_us":12,"outside_calls":3,"outside_failures":1,)"
                                R"("bookings":{"payment":{"settled":4,"outstanding":9},"inventory":{"outstanding":0}}})");
  ASSERT_TRUE(owing && owing->owed);
  EXPECT_EQ(*owing->owed, (std::map<std::string, std::uint64_t>{{"inventory", 0}, {"payment", 9}}));
  EXPECT_FALSE(read_stats(R"({"tasks":7,"cache_get_p99_us":1,"outside_calls":3,"outside_failures":1,"bookings":{"payment":{}}})"));
  for (const char* text :
       {"", "[]", R"({"tasks":7})", R"({"tasks":"7","cache_get_p99_us":1,"outside_calls":3,"outside_failures":1})"})
    EXPECT_FALSE(read_stats(text)) << text;
}

TEST(judge, bookings_that_were_released_do_not_count) {
  EXPECT_EQ(count_bookings(R"({"order":"x","charges":[]})", "charges"), 0);
  EXPECT_EQ(count_bookings(R"({"order":"x","charges":[{"charge":"ch_1"},{"charge":"ch_2"}]})", "charges"), 2);
  EXPECT_EQ(count_bookings(R"({"reservations":[{"released":true},{"released":false}]})", "reservations"), 1);
  EXPECT_EQ(count_bookings("nonsense", "charges"), -1);
  EXPECT_EQ(count_bookings(R"({"charges":3})", "charges"), -1);
}

TEST(judge, the_time_for_what_is_owed_fits_the_larger_debt) {
  EXPECT_EQ(settle_bound_ns({}, second), second);
  EXPECT_EQ(settle_bound_ns({{"payment", 300}, {"inventory", 3'000}}, second), 21 * second);
}

TEST(judge, waits_until_nothing_is_owed) {
  std::uint64_t owed = 3;
  levity::tools::test_server server([&owed](int fd, std::string_view) { return answer_stats(fd, owed > 0 ? owed-- : 0); });
  const auto where = target_of(server);
  std::vector<std::string> said;
  const auto seen = wait_for_debts(where, 10 * second, [&said](const std::string& sentence) { said.push_back(sentence); });
  EXPECT_TRUE(seen.told);
  EXPECT_EQ(seen.first.at("payment"), 3U);
  EXPECT_EQ(seen.left.at("payment"), 0U);
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0].find("bookings that are owed: 0 at inventory and 3 at payment; waiting at most 10 s more"), 0U) << said[0];
}

TEST(judge, does_not_wait_for_ever_nor_for_who_makes_no_booking_later) {
  levity::tools::test_server owing([](int fd, std::string_view) { return answer_stats(fd, 1); });
  const auto seen = wait_for_debts(target_of(owing), second / 10, {});
  EXPECT_TRUE(seen.told);
  EXPECT_EQ(seen.left.at("payment"), 1U);
  EXPECT_GE(seen.waited_s, 0.1);
  levity::tools::test_server before([](int fd, std::string_view) {
    return answer(fd, R"({"tasks":1,"cache_get_p99_us":1,"outside_calls":1,"outside_failures":1,"breakers":{}})");
  });
  const auto none = wait_for_debts(target_of(before), 3'600 * second, {});
  EXPECT_TRUE(none.makes_none_later);
  EXPECT_FALSE(none.told);
}

// Three orders: o-0 is charged, o-1 is not and the service says that it owes it, o-2 is not and nobody owes it.
TEST(judge, what_the_service_owes_is_told_from_what_is_lost) {
  const levity::orders::order_maker maker(1, 10);
  levity::orders::ledger orders;
  for (std::uint64_t number = 0; number < 3; ++number) {
    levity::orders::entry made;
    made.number = number;
    made.id = fmt::format("o-{}", number);
    made.status = "created";
    made.created_at = "t";
    orders.add(made);
  }
  levity::atomic<std::uint64_t> outstanding{1};
  levity::atomic<bool> falls_silent{false};
  bool was_asked = false;  // the server's: charges are being counted
  levity::tools::test_server everybody([&](int fd, std::string_view bytes) {
    if (bytes.starts_with("GET /charges/")) was_asked = true;
    if (bytes.starts_with("GET /reservations/")) was_asked = false;
    if (bytes.starts_with("GET /stats ")) {
      if (was_asked && falls_silent.load(std::memory_order_relaxed)) return answer(fd, "{}");
      return answer_stats(fd, outstanding.load(std::memory_order_relaxed));
    }
    std::uint64_t number = 0;
    for (std::uint64_t i = 0; i < 3; ++i)
      if (bytes.find(maker.key(i)) != std::string_view::npos || bytes.find(fmt::format("/o-{} ", i)) != std::string_view::npos)
        number = i;
    if (bytes.starts_with("GET /charges/")) return answer(fd, number == 0 ? R"({"charges":[{}]})" : R"({"charges":[]})");
    if (bytes.starts_with("GET /reservations/")) return answer(fd, R"({"reservations":[{}]})");
    const std::string order = fmt::format(R"({{"id":"o-{}","status":"created","version":1,"created_at":"t","updated_at":"t",{})",
                                          number, maker.body(number).substr(1));
    return answer(fd, order, bytes.starts_with("POST ") && number == 1 ? "X-Levity-Degraded: payment\r\n" : "");
  });
  const auto where = target_of(everybody);
  levity::load::engine_options service;
  service.where = where;
  service.connections = 1;
  const auto judged = judge(service, where, where, maker, orders, second / 20);
  EXPECT_EQ(judged.missing + judged.differing + judged.unread, 0U) << judged.sentences.front();
  EXPECT_EQ(judged.charges.once, 1U);
  EXPECT_EQ(judged.charges.owed, 1U);
  EXPECT_EQ(judged.charges.never, 1U);
  EXPECT_EQ(judged.lost(), 1U);
  EXPECT_EQ(judged.reservations.once, 3U);
  outstanding.store(0, std::memory_order_relaxed);
  const auto settled = judge(service, where, where, maker, orders, second / 20);
  EXPECT_EQ(settled.owed(), 0U);
  EXPECT_EQ(settled.lost(), 2U) << "where nothing is outstanding any more, no order's word makes a loss a debt";
  outstanding.store(1, std::memory_order_relaxed);
  falls_silent.store(true, std::memory_order_relaxed);
  const auto silent = judge(service, where, where, maker, orders, second / 20);
  EXPECT_EQ(silent.owed(), 1U) << "without figures of the whole, each order's own word counts";
  EXPECT_EQ(silent.lost(), 1U);
}

TEST(verdict, each_figure_stands_beside_its_target) {
  const auto options = options_of_16_s();
  std::vector<act_result> acts;
  acts.push_back(made_up_act(options, "before"));
  acts.push_back(made_up_act(options, "after"));
  acts[1].judged.charges.twice = 0;
  for (look& one : acts[1].looks)
    if (one.told) one.told->outside_failures = 10;
  const auto table = compare(acts, options);
  ASSERT_EQ(table.size(), 7U);
  for (const row& one : table) ASSERT_EQ(one.figures.size(), 2U);
  EXPECT_TRUE(table[0].figures[0]->met);  // 7 ms
  EXPECT_FALSE(table[1].figures[0]->met) << "3.7% of the calls fail";
  EXPECT_TRUE(table[1].figures[1]->met) << "0.1% of the calls fail";
  EXPECT_EQ(table[2].figures[0]->value, 259);
  EXPECT_FALSE(table[3].figures[0]->met) << "two seconds";
  EXPECT_TRUE(table[4].figures[0]->met);
  EXPECT_FALSE(table[5].figures[0]->met) << "charged twice";
  EXPECT_TRUE(table[5].figures[1]->met);
  EXPECT_TRUE(table[6].figures[0]->met) << "it makes none later, and has its losses in the row above";
  EXPECT_TRUE(table[6].figures[1]->met);
  for (std::size_t i = 0; i < table.size(); ++i) EXPECT_EQ(table[i].missed, i == 3) << "what 'before' has missed is no mark";
}

TEST(verdict, one_sentence_says_what_was_missed_or_that_all_is_met) {
  auto options = options_of_16_s();
  std::vector<act_result> acts;
  acts.push_back(made_up_act(options, "before"));
  EXPECT_EQ(conclude(acts, options, compare(acts, options)).exit_code, 0);
  EXPECT_FALSE(conclude(acts, options, compare(acts, options)).judged);
  acts.push_back(made_up_act(options, "after"));
  acts[1].judged.charges.twice = 0;
  const auto missed = conclude(acts, options, compare(acts, options));
  EXPECT_EQ(missed.exit_code, 2);
  EXPECT_EQ(missed.sentence,
            "'after' has missed 2 of 7 targets: failing outside calls (3.70% of 10,000: 370, must be <= 0.1%); "
            "p99 of answers while payment is slow (2.00 s, must be <= 50 ms)");
  acts[1].run.lag_ns.record(20'000'000);
  const auto late = conclude(acts, options, compare(acts, options));
  EXPECT_EQ(late.exit_code, 3);
  EXPECT_NE(late.sentence.find("the generator was late itself"), std::string::npos) << late.sentence;
  auto table = compare(acts, options);
  for (row& one : table) one.missed = false;
  const auto met = conclude(acts, options, table);
  EXPECT_EQ(met.exit_code, 0);
  EXPECT_EQ(met.sentence, "'after' has met all 7 targets");
  options.script.clear();
  EXPECT_EQ(conclude(acts, options, table).sentence, "without faults no target is judged");
}

TEST(verdict, what_is_owed_is_not_lost_and_not_met) {
  const auto options = options_of_16_s();
  std::vector<act_result> acts;
  acts.push_back(made_up_act(options, "after"));
  auto& judged = acts[0].judged;
  judged.charges = {150, 0, 0, 0, 0, 10, {}};
  judged.settled.waited_s = 65;
  auto table = compare(acts, options);
  EXPECT_TRUE(table[5].figures[0]->met) << "nothing is lost";
  EXPECT_TRUE(table[6].missed);
  EXPECT_EQ(table[6].figures[0]->shown, "10 charges, 0 put aside, after 65 s");
  judged.charges = {150, 1, 0, 0, 0, 9, {}};
  EXPECT_TRUE(compare(acts, options)[5].missed) << "one is owed by nobody";
  judged.charges = {160, 0, 0, 0, 0, 0, {}};
  judged.settled = {};
  EXPECT_TRUE(compare(acts, options)[6].missed) << "nobody could be asked what is owed";
}

TEST(verdict, of_few_calls_those_that_each_fault_costs_are_allowed_and_of_many_only_the_share) {
  auto options = options_of_16_s();
  std::vector<act_result> acts;
  acts.push_back(made_up_act(options, "after"));
  const auto with = [&](std::uint64_t failures, std::uint64_t calls) {
    for (look& one : acts[0].looks) {
      if (!one.told) continue;
      one.told->outside_calls = calls;
      one.told->outside_failures = failures;
    }
    return compare(acts, options)[1];
  };
  EXPECT_FALSE(with(16, 15'900).figures[0]->met) << "the default story has the share";
  EXPECT_EQ(with(15, 15'900).target, "<= 0.1%");
  options.rate = 3'000;
  EXPECT_TRUE(with(16, 5'785).figures[0]->met) << "0.28%";
  EXPECT_FALSE(with(17, 5'785).figures[0]->met);
  EXPECT_EQ(with(17, 5'785).target, "<= 0.1% or 16 calls");
  options.rate = 24'000;
  EXPECT_FALSE(with(16, 5'785).figures[0]->met);
}

TEST(verdict, orders_that_could_not_be_asked_for_are_not_called_whole) {
  const auto options = options_of_16_s();
  std::vector<act_result> acts;
  acts.push_back(made_up_act(options, "after"));
  acts[0].judged.charges = {160, 0, 0, 0, 0, 0, {}};
  EXPECT_TRUE(compare(acts, options)[5].figures[0]->met);
  acts[0].judged.charges = {159, 0, 0, 0, 1, 0, {}};
  EXPECT_FALSE(compare(acts, options)[5].figures[0]->met);
  acts[0].judged = {};
  EXPECT_FALSE(compare(acts, options)[5].figures[0]->met) << "not one order was acknowledged";
}

TEST(verdict, a_calm_run_has_no_figures_of_a_fault) {
  act_options options = options_of_16_s();
  std::vector<act_result> acts;
  acts.push_back(made_up_act(options, "before"));
  act_options calm = options;
  calm.script.clear();
  const auto table = compare(acts, calm);
  EXPECT_FALSE(table[3].figures[0]);
  EXPECT_FALSE(table[4].figures[0]);
}

TEST(page, is_well_formed_and_shows_both_versions_with_the_faults_shaded) {
  const auto options = options_of_16_s();
  std::vector<act_result> acts;
  acts.push_back(made_up_act(options, "before"));
  acts.push_back(made_up_act(options, "after"));
  acts[0].ended_early = "said <this> & \"that\"";
  const std::string page = draw_page(acts, options, compare(acts, options));
  EXPECT_EQ(what_is_malformed(page), "");
  const auto count = [&page](std::string_view what) {
    std::size_t found = 0;
    for (auto at = page.find(what); at != std::string::npos; at = page.find(what, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("<svg "), 10U);
  EXPECT_EQ(count("class=\"fault\""), 20U);
  EXPECT_EQ(count("<figcaption>before"), 5U);
  EXPECT_EQ(count("<figcaption>after"), 5U);
  EXPECT_EQ(count("src="), 0U) << "nothing is fetched from elsewhere";
  EXPECT_EQ(count("<script"), 0U);
  EXPECT_EQ(count("<link"), 0U);
  EXPECT_NE(page.find("prefers-color-scheme: dark"), std::string::npos);
}

TEST(page, the_check_of_well_formedness_can_fail) {
  EXPECT_NE(what_is_malformed("<a><b></a></b>"), "");
  EXPECT_NE(what_is_malformed("<a>"), "");
  EXPECT_NE(what_is_malformed("<a>x & y</a>"), "");
  EXPECT_EQ(what_is_malformed("<a x=\"1 > 0\"><b/>&amp;</a>"), "");
}

TEST(plot, a_line_breaks_where_there_is_no_value) {
  panel one;
  one.unit = "tasks";
  one.duration_s = 4;
  one.high = 10;
  one.lines.push_back({"tasks", "tasks", {0, 1, 2, 3}, {1.0, std::nullopt, 2.0, 3.0}});
  const std::string drawn = draw(one, {});
  EXPECT_EQ(what_is_malformed(drawn), "");
  const auto path = drawn.substr(drawn.find(" d=\""));
  const auto line = path.substr(4, path.find('"', 4) - 4);
  EXPECT_EQ(std::count(line.begin(), line.end(), 'M'), 2) << line;
}

TEST(plot, axes_end_at_round_numbers) {
  EXPECT_DOUBLE_EQ(round_up(0), 1);
  EXPECT_DOUBLE_EQ(round_up(0.3), 0.5);
  EXPECT_DOUBLE_EQ(round_up(12'000), 20'000);
  EXPECT_DOUBLE_EQ(round_up(50), 50);
  EXPECT_DOUBLE_EQ(round_up(51), 100);
}

TEST(show, a_line_for_each_half_second_and_a_row_for_each_target) {
  const auto options = options_of_16_s();
  std::vector<act_result> acts;
  acts.push_back(made_up_act(options, "before"));
  const std::string timeline = show_timeline(acts[0], options, levity::tools::paint(false));
  EXPECT_GE(std::count(timeline.begin(), timeline.end(), '\n'), 32);
  EXPECT_NE(timeline.find("payment slow"), std::string::npos);
  EXPECT_NE(timeline.find("inventory dead"), std::string::npos);
  EXPECT_NE(timeline.find("twice or more 1"), std::string::npos) << timeline;
  const std::string table = show_table(compare(acts, options), acts, levity::tools::paint(false));
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 8);
  EXPECT_EQ(table.find("✗"), std::string::npos) << "'before' is not judged";
  acts.push_back(made_up_act(options, "after"));
  const std::string marked = show_table(compare(acts, options), acts, levity::tools::paint(false));
  EXPECT_NE(marked.find("\n✗ failing outside calls"), std::string::npos) << marked;
  EXPECT_NE(marked.find("\n  tasks at most"), std::string::npos) << marked;
}

TEST(asker, brings_answers_over_one_connection_and_dials_again_when_it_was_closed) {
  int served = 0;
  levity::tools::test_server server([&served](int fd, std::string_view bytes) {
    const std::string body = fmt::format("{} {}", ++served, bytes.substr(0, bytes.find(' ')));
    const std::string answer = fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
    EXPECT_EQ(send(fd, answer.data(), answer.size(), MSG_NOSIGNAL), static_cast<ssize_t>(answer.size()));
    return served == 2 ? levity::tools::action::close : levity::tools::action::keep;
  });
  auto where = levity::load::parse_target(server.url("http"));
  ASSERT_TRUE(where && levity::load::resolve(*where));
  levity::load::asker asker(*where, second);
  EXPECT_EQ(asker.ask("GET", "/stats")->body, "1 GET");
  EXPECT_EQ(asker.ask("POST", "/fault", "{}")->body, "2 POST");
  EXPECT_EQ(asker.ask("GET", "/stats")->body, "3 GET");
  server.stop();
  const auto gone = asker.ask("GET", "/stats");
  ASSERT_FALSE(gone);
  EXPECT_NE(gone.error().find("127.0.0.1"), std::string::npos) << gone.error();
}

TEST(asker, does_not_wait_for_ever) {
  levity::tools::test_server server([](int, std::string_view) { return levity::tools::action::keep; });
  auto where = levity::load::parse_target(server.url("http"));
  ASSERT_TRUE(where && levity::load::resolve(*where));
  levity::load::asker asker(*where, second / 20);
  const auto answer = asker.ask("GET", "/stats");
  ASSERT_FALSE(answer);
  EXPECT_NE(answer.error().find("its time is over"), std::string::npos) << answer.error();
}
