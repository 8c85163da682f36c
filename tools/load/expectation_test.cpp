// Goal: an expectation means exactly what it says, a run without answers keeps none of them, and nonsense is refused with a
// remedy.
#include "load/expectation.hpp"

#include <gtest/gtest.h>

using levity::load::expectation;
using levity::load::failure;
using levity::load::tally;

namespace {

// 1,000 requests in one second: 990 good with 1..990 ms, 4 timeouts of 10 s, 6 resets.
tally sample_run() {
  tally run;
  for (std::uint64_t i = 1; i <= 990; ++i) {
    run.corrected_ns.record(i * 1'000'000);
    run.service_ns.record(1'000'000);
  }
  run.corrected_ns.record(10'000'000'000, 4);
  run.lag_ns.record(50'000, 1'000);
  run.ended[0] = 990;
  run.ended[static_cast<std::size_t>(failure::timeout)] = 4;
  run.ended[static_cast<std::size_t>(failure::reset)] = 6;
  run.begin_ns = 0;
  run.finish_ns = 1'000'000'000;
  return run;
}

bool keeps(const char* text, double asked_rate = 1'000) {
  const auto wanted = expectation::parse(text);
  EXPECT_TRUE(wanted.has_value()) << text << ": " << wanted.error();
  return wanted && !wanted->missed(sample_run(), asked_rate);
}

}  // namespace

TEST(expectation, latencies_are_compared_in_their_unit) {
  EXPECT_TRUE(keeps("p50<500ms"));
  EXPECT_FALSE(keeps("p50<490ms"));
  EXPECT_TRUE(keeps("p50 < 0.5s"));
  EXPECT_FALSE(keeps("p99.9<1s"));
  EXPECT_TRUE(keeps("max<=10s"));
  EXPECT_FALSE(keeps("max<10s"));
  EXPECT_TRUE(keeps("service.p99<1.1ms"));
  EXPECT_TRUE(keeps("lag.p99<100us"));
  EXPECT_FALSE(keeps("lag.p99<10us"));
  EXPECT_TRUE(keeps("min>=1ms"));
  EXPECT_FALSE(keeps("mean<1ms"));
}

TEST(expectation, errors_are_a_number_or_a_share_of_all) {
  EXPECT_TRUE(keeps("errors<=1%"));
  EXPECT_FALSE(keeps("errors<1%"));
  EXPECT_TRUE(keeps("errors<11"));
  EXPECT_FALSE(keeps("errors<=9"));
  EXPECT_TRUE(keeps("timeout<=4"));
  EXPECT_FALSE(keeps("reset<0.5%"));
  EXPECT_TRUE(keeps("eof<=0"));
}

TEST(expectation, rate_is_a_number_or_a_share_of_the_asked_one) {
  EXPECT_TRUE(keeps("rate>=99%"));
  EXPECT_FALSE(keeps("rate>=99%", 1'001));
  EXPECT_TRUE(keeps("rate>=990"));
  EXPECT_TRUE(keeps("rate>=990/s"));
  EXPECT_FALSE(keeps("rate>=1k"));
  EXPECT_FALSE(keeps("rate>=1%", 0));
}

TEST(expectation, missed_line_names_what_was_seen) {
  EXPECT_EQ(expectation::parse("p99.9<1s")->missed(sample_run(), 0), "p99.9<1s: it was 10.0 s");
  EXPECT_EQ(expectation::parse("errors<0.5%")->missed(sample_run(), 0), "errors<0.5%: it was 1%");
}

TEST(expectation, run_without_answers_keeps_nothing) {
  for (const char* text : {"p99<1h", "errors<100%", "rate>=0", "service.max<1h", "timeout<=0"})
    EXPECT_TRUE(expectation::parse(text)->missed(tally{}, 1'000).has_value()) << text;
}

TEST(expectation, nonsense_is_refused) {
  for (const char* text : {"", "p99", "p99<", "p99<20", "p101<1s", "pop<1s", "p99=20ms", "speed<1s", "errors<x", "<5ms",
                           "service.errors<1%", "service.rate>1", "answers>=99%", "p99<-1ms", "errors<1ms", "p99<5%"})
    EXPECT_FALSE(expectation::parse(text).has_value()) << text;
}
