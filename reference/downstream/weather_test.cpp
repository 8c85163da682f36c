// Goal: a downstream suffers from what the operator has told it, as long as that lasts, and from nothing else.
#include "reference/downstream/weather.hpp"

#include <gtest/gtest.h>

using namespace std::chrono_literals;
using orders::fault;
using orders::parse_fault;
using orders::weather;

namespace {

const levity::time_point noon{std::chrono::hours(12)};

}  // namespace

TEST(weather, faults_are_read_as_they_are_meant) {
  EXPECT_EQ(parse_fault(R"({"slow_ms":2000,"for_ms":3000})"), (fault{fault::kind::slow, 2s, 3s}));
  EXPECT_EQ(parse_fault(R"({"dead":true,"for_ms":500})"), (fault{fault::kind::dead, {}, 500ms}));
  EXPECT_EQ(parse_fault(R"({"refuse":true})"), (fault{fault::kind::refusing, {}, {}}));
  EXPECT_EQ(parse_fault("{}"), fault{});
  EXPECT_EQ(parse_fault(R"({"dead":false})"), fault{});
}

TEST(weather, senseless_faults_are_refused_with_a_sentence) {
  for (const char* text : {"", "[]", "slow", R"({"slow_ms":-1})", R"({"slow_ms":"2"})", R"({"dead":1})", R"({"slow":2})",
                           R"({"slow_ms":5,"dead":true})", R"({"for_ms":100})", R"({"dead":true,"refuse":true})"}) {
    const auto read = parse_fault(text);
    ASSERT_FALSE(read) << text;
    EXPECT_TRUE(read.error().ends_with('.')) << read.error();
  }
}

TEST(weather, a_fault_is_over_when_its_time_is) {
  weather sky{{2ms, 0ms, 7}};
  sky.set({fault::kind::slow, 2s, 3s}, noon);
  EXPECT_EQ(sky.draw(noon).takes, 2002ms);
  EXPECT_EQ(sky.draw(noon + 2999ms).takes, 2002ms);
  EXPECT_EQ(sky.draw(noon + 3s).takes, 2ms);
  EXPECT_EQ(sky.look(noon + 3s).what, fault::kind::none);
}

TEST(weather, a_fault_without_an_end_lasts_until_another_is_told) {
  weather sky{{2ms, 0ms, 7}};
  sky.set({fault::kind::refusing, {}, {}}, noon);
  EXPECT_TRUE(sky.draw(noon + 24h).refused);
  sky.set({}, noon + 25h);
  EXPECT_FALSE(sky.draw(noon + 25h).refused);
}

TEST(weather, who_is_dead_answers_nobody_and_carries_out_a_half) {
  weather sky{{2ms, 0ms, 7}};
  sky.set({fault::kind::dead, {}, 3s}, noon);
  int worked = 0;
  for (int i = 0; i < 1'000; ++i) {
    const auto fate = sky.draw(noon + 1s);
    EXPECT_TRUE(fate.unanswered);
    worked += fate.works ? 1 : 0;
  }
  EXPECT_GT(worked, 400);
  EXPECT_LT(worked, 600);
  EXPECT_FALSE(sky.draw(noon + 3s).unanswered);
}

TEST(weather, the_same_seed_draws_the_same_service_times) {
  weather one{{2ms, 1ms, 11}};
  weather other{{2ms, 1ms, 11}};
  weather third{{2ms, 1ms, 12}};
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const auto takes = one.draw(noon).takes;
    EXPECT_EQ(takes, other.draw(noon).takes);
    EXPECT_GE(takes, 2ms);
    EXPECT_LE(takes, 12ms);
    differs = differs || takes != third.draw(noon).takes;
  }
  EXPECT_TRUE(differs);
}

TEST(weather, whoever_is_held_by_an_outage_is_let_go_when_it_ends_or_is_ended) {
  levity::run_with({.backend = levity::runtime_options::sockets::sim, .seed = 42}, [] -> levity::task<> {
    weather sky{{2ms, 0ms, 7}};
    const auto begin = levity::clock::now();
    sky.set({fault::kind::dead, {}, 3s}, begin);
    const auto held = sky.draw(begin);
    co_await weather::outlast(held.unanswered);
    EXPECT_GE(levity::clock::now() - begin, 3s);
    EXPECT_LT(levity::clock::now() - begin, 4s);

    sky.set({fault::kind::dead, {}, {}}, levity::clock::now());
    const auto endless = sky.draw(levity::clock::now());
    levity::scope parts;
    parts.spawn([](weather* over) -> levity::task<> {
      co_await levity::sleep(100ms);
      over->set({}, levity::clock::now());
    }, &sky);
    const auto before = levity::clock::now();
    co_await weather::outlast(endless.unanswered);
    EXPECT_GE(levity::clock::now() - before, 100ms);
    EXPECT_LT(levity::clock::now() - before, 1s);
    co_await parts.join();
  });
}
