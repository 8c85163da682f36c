#include "levity/sim/timeline.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace levity::inline v0::sim {

TEST(timeline, it_keeps_the_last_events_and_counts_those_before) {
  timeline events(3);
  for (int i = 0; i < 10; i++) events.add({.at = 1s * i, .host = "orders", .text = std::to_string(i)});
  ASSERT_EQ(events.events().size(), 3u);
  EXPECT_EQ(events.events().front().text, "7");
  EXPECT_EQ(events.dropped(), 7u);
}

TEST(timeline, its_text_has_a_line_for_each_event_with_time_and_place) {
  timeline events;
  events.add({.at = 2500ms, .host = "orders", .what = happened::plan, .text = "2.5s kill orders 300ms", .lasts = 300ms});
  events.add({.at = 3s, .what = happened::note, .text = "hello"});
  EXPECT_EQ(events.text(),
            "    2.500000 s  orders     plan: 2.5s kill orders 300ms\n"
            "    3.000000 s  the world  note: hello\n");
  EXPECT_EQ(timeline().text(), "");
}

TEST(timeline, a_digest_shows_faults_starts_and_ends_however_far_back_and_folds_what_is_alike) {
  timeline events;
  events.add({.at = 1s, .host = "vault", .what = happened::start, .text = "starts"});
  events.add({.at = 2s, .host = "vault", .what = happened::note, .text = "too far back"});
  events.add({.at = 3s, .host = "scenario", .what = happened::plan, .text = "3s kill vault 400ms"});
  events.add({.at = 3s, .host = "vault", .what = happened::exit, .text = "is killed"});
  for (int i = 0; i < 12; i++) {
    const duration at = 3s + 10ms * i;
    const std::string port = std::to_string(32878 + i);
    events.add({.at = at, .host = "desk", .what = happened::connection, .text = "is connected to by scenario",
                .detail = "(10.0.0.9:" + port + ")"});
    events.add({.at = at + 1ms, .host = "desk", .what = happened::connection, .text = "is refused a connection by vault"});
  }
  events.add({.at = 4s, .host = "vault", .what = happened::start, .text = "starts"});
  events.add({.at = 5s, .host = "desk", .what = happened::connection, .text = "is connected to by scenario",
              .detail = "(10.0.0.9:5)"});
  events.add({.at = 6s, .host = "scenario", .what = happened::note, .text = "twice the same"});
  events.add({.at = 6s, .host = "scenario", .what = happened::note, .text = "twice the same"});
  EXPECT_EQ(events.digest(4),
            "    1.000000 s  vault     start: starts\n"
            "    ...\n"
            "    3.000000 s  scenario  plan: 3s kill vault 400ms\n"
            "    3.000000 s  vault     exit: is killed\n"
            "    ...\n"
            "    4.000000 s  vault     start: starts\n"
            "    5.000000 s  desk      connection: is connected to by scenario (10.0.0.9:5)\n"
            "    6.000000 s  scenario  note: twice the same\n"
            "    6.000000 s  scenario  note: twice the same\n");
  EXPECT_EQ(events.digest(1000),
            "    1.000000 s  vault     start: starts\n"
            "    2.000000 s  vault     note: too far back\n"
            "    3.000000 s  scenario  plan: 3s kill vault 400ms\n"
            "    3.000000 s  vault     exit: is killed\n"
            "    3.000000 s  desk      connection: is connected to by scenario, 12 times until 3.110000 s\n"
            "    3.001000 s  desk      connection: is refused a connection by vault, 12 times until 3.111000 s\n"
            "    4.000000 s  vault     start: starts\n"
            "    5.000000 s  desk      connection: is connected to by scenario (10.0.0.9:5)\n"
            "    6.000000 s  scenario  note: twice the same\n"
            "    6.000000 s  scenario  note: twice the same\n");
  EXPECT_EQ(timeline().digest(10), "");
}

TEST(timeline, a_digest_has_all_faults_and_a_bounded_number_of_starts_and_ends) {
  timeline events;
  for (int i = 0; i < 100; i++) {
    events.add({.at = 1s * i, .host = "orders", .what = happened::plan, .text = "a fault"});
    events.add({.at = 1s * i, .host = "orders", .what = happened::start, .text = "starts"});
  }
  const auto count = [](const std::string& in, std::string_view what) {
    std::size_t found = 0;
    for (auto at = in.find(what); at != in.npos; at = in.find(what, at + 1)) found++;
    return found;
  };
  const std::string text = events.digest(10);
  EXPECT_EQ(count(text, "plan: a fault"), 100u);
  EXPECT_EQ(count(text, "start: starts"), 15u) << "5 of the last 10 lines, and 10 before them";
}

TEST(timeline, what_was_dropped_leaves_its_faults_starts_and_losses_behind) {
  timeline events(2);
  events.add({.at = 1s, .host = "orders", .what = happened::plan, .text = "1s power orders 10ms", .lasts = 10ms});
  events.add({.at = 1s, .host = "orders", .what = happened::disk, .text = "loses 0..511 of /log"});
  for (int i = 2; i < 9; i++) events.add({.at = 1s * i, .host = "orders", .text = std::to_string(i)});
  ASSERT_EQ(events.events().size(), 2u);
  EXPECT_EQ(events.dropped(), 7u);
  EXPECT_EQ(events.digest(1),
            "    ...\n"
            "    1.000000 s  orders  plan: 1s power orders 10ms\n"
            "    1.000000 s  orders  disk: loses 0..511 of /log\n"
            "    ...\n"
            "    8.000000 s  orders  note: 8\n");
  EXPECT_NE(events.json().find("loses 0..511 of /log"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(events.json()).at("traceEvents").size(), 6u);  // the process, a track, four events
}

TEST(timeline, its_json_is_a_trace_with_a_track_for_each_host) {
  timeline events;
  events.add({.at = 1234567ns, .host = "orders", .what = happened::plan, .text = "kill", .lasts = 300ms});
  events.add({.at = 2s, .host = "payment", .what = happened::note, .text = "quote \" backslash \\ newline \n bell \a \xc3\xa4"});
  events.add({.at = 3s, .host = "orders", .what = happened::exit, .text = "bytes \xff\xc3(\xed\xa0\x80\xf0\x80\x80\x80\xc3"});
  const nlohmann::json read = nlohmann::json::parse(events.json());
  const auto& all = read.at("traceEvents");
  ASSERT_EQ(all.size(), 6u);  // the process, two tracks, three events
  EXPECT_EQ(all[0].at("ph"), "M");
  EXPECT_EQ(all[1].at("args").at("name"), "orders");
  EXPECT_EQ(all[2].at("args").at("name"), "payment");
  EXPECT_EQ(all[3].at("ph"), "X");
  EXPECT_EQ(all[3].at("tid"), all[1].at("tid"));
  EXPECT_DOUBLE_EQ(all[3].at("ts"), 1234.567);
  EXPECT_DOUBLE_EQ(all[3].at("dur"), 300'000);
  EXPECT_EQ(all[4].at("ph"), "i");
  EXPECT_EQ(all[4].at("tid"), all[2].at("tid"));
  EXPECT_EQ(all[4].at("name"), "quote \" backslash \\ newline \n bell \a \xc3\xa4");
  EXPECT_EQ(all[5].at("tid"), all[1].at("tid"));
  EXPECT_EQ(all[5].at("name").get<std::string>().find("bytes \xef\xbf\xbd"), 0u);
  EXPECT_EQ(nlohmann::json::parse(timeline().json()).at("traceEvents").size(), 1u);
}

TEST(timeline, a_note_outside_of_every_world_goes_nowhere) { note("nobody hears this"); }

}  // namespace levity::sim
