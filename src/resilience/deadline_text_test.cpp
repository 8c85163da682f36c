#include "levity/resilience/deadline_text.hpp"

#include <gtest/gtest.h>

#include <string>

#include "levity/base/rng.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

TEST(deadline_text, reads_milliseconds) {
  EXPECT_EQ(lv::parse_deadline_ms("0"), 0ns);
  EXPECT_EQ(lv::parse_deadline_ms("250"), 250ms);
  EXPECT_EQ(lv::parse_deadline_ms("0000250"), 250ms);
  EXPECT_EQ(lv::parse_deadline_ms("9223372036854"), 9223372036854ms);
  EXPECT_EQ(lv::parse_deadline_ms("9223372036855"), lv::duration::max());
  EXPECT_EQ(lv::parse_deadline_ms("9999999999999999999"), lv::duration::max());
  for (const char* bad : {"", " ", " 1", "1 ", "-1", "+1", "1.5", "1ms", "0x1", "1e3", "99999999999999999999", "١"}) {
    EXPECT_EQ(lv::parse_deadline_ms(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(lv::parse_deadline_ms(std::string_view("1\0", 2)), std::nullopt);
}

TEST(deadline_text, reads_grpcs_units) {
  EXPECT_EQ(lv::parse_grpc_timeout("1H"), 1h);
  EXPECT_EQ(lv::parse_grpc_timeout("2M"), 2min);
  EXPECT_EQ(lv::parse_grpc_timeout("3S"), 3s);
  EXPECT_EQ(lv::parse_grpc_timeout("4m"), 4ms);
  EXPECT_EQ(lv::parse_grpc_timeout("5u"), 5us);
  EXPECT_EQ(lv::parse_grpc_timeout("6n"), 6ns);
  EXPECT_EQ(lv::parse_grpc_timeout("0n"), 0ns);
  EXPECT_EQ(lv::parse_grpc_timeout("99999999H"), lv::duration::max());
  for (const char* bad :
       {"", "1", "H", "n", "100000000n", "-1n", "+1n", " 1n", "1n ", "1 n", "1h", "1s", "1.5S", "1ms", "1U", "1N"}) {
    EXPECT_EQ(lv::parse_grpc_timeout(bad), std::nullopt) << bad;
  }
}

TEST(deadline_text, writes_what_is_left_rounded_down) {
  EXPECT_EQ(lv::format_deadline_ms(250ms), "250");
  EXPECT_EQ(lv::format_deadline_ms(2ms - 1ns), "1");
  EXPECT_EQ(lv::format_deadline_ms(999us), "0");
  EXPECT_EQ(lv::format_deadline_ms(-1s), "0");
  EXPECT_EQ(lv::format_deadline_ms(lv::duration::max()), "9223372036854");
  EXPECT_EQ(lv::format_grpc_timeout(99'999'999ns), "99999999n");
  EXPECT_EQ(lv::format_grpc_timeout(100'000'000ns), "100000u");
  EXPECT_EQ(lv::format_grpc_timeout(100s), "100000m");
  EXPECT_EQ(lv::format_grpc_timeout(-1s), "0n");
  EXPECT_EQ(lv::format_grpc_timeout(lv::duration::max()), "2562047H");
}

// Whatever is written is read again as no more, and as nearly as much.
TEST(deadline_text, comes_back_from_the_wire_no_longer_than_it_was) {
  lv::rng random{42};
  for (int i = 0; i < 200'000; i++) {
    const lv::duration left{static_cast<std::int64_t>(random() >> (1 + random.below(63)))};
    const std::string ms = lv::format_deadline_ms(left);
    const auto by_ms = lv::parse_deadline_ms(ms);
    ASSERT_TRUE(by_ms.has_value()) << ms;
    ASSERT_LE(*by_ms, left);
    ASSERT_LT(left - *by_ms, 1ms);
    const std::string grpc = lv::format_grpc_timeout(left);
    const auto by_grpc = lv::parse_grpc_timeout(grpc);
    ASSERT_TRUE(by_grpc.has_value()) << grpc;
    ASSERT_LE(grpc.size(), 9u);
    ASSERT_LE(*by_grpc, left);
    ASSERT_LE((left - *by_grpc).count(), left.count() / 100'000) << grpc;
  }
}

// No text brings it to anything but a duration that is none or more, or to nothing.
TEST(deadline_text, takes_any_bytes) {
  lv::rng random{7};
  constexpr std::string_view likely = "0123456789HMSmun +-.";
  int read = 0;
  for (int i = 0; i < 300'000; i++) {
    std::string text;
    for (auto length = random.below(12); length > 0; length--) {
      text += random.below(8) == 0 ? static_cast<char>(random()) : likely[random.below(likely.size())];
    }
    for (const auto& got : {lv::parse_deadline_ms(text), lv::parse_grpc_timeout(text)}) {
      if (!got) continue;
      read++;
      ASSERT_GE(*got, 0ns);
    }
  }
  EXPECT_GT(read, 1000);
}

TEST(deadline_text, a_deadline_is_never_past_the_end_of_time) {
  constexpr lv::time_point now{1'000'000s};
  EXPECT_EQ(lv::deadline_after(5s, now), now + 5s);
  EXPECT_EQ(lv::deadline_after(lv::duration::max(), now), lv::time_point::max());
}

}  // namespace
