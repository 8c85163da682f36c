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
  EXPECT_EQ(events.text(1), "    3.000000 s  the world  note: hello\n");
  EXPECT_EQ(timeline().text(), "");
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
