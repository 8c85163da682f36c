// What a server says becomes values, however it is cut; and what no server says is refused, within bounded memory.

#include "redis/reply_reader.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "redis/test_support.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace redis = levity::redis;
using redis::value;
using redis::value_kind;
using redis::test::read_in_pieces;
using redis::test::read_whole;
using redis::test::reading;

// The only value in it.
value only(std::string_view bytes) {
  const reading got = read_whole(bytes);
  EXPECT_EQ(got.broken, "") << bytes;
  EXPECT_EQ(got.values.size(), 1U) << bytes;
  EXPECT_TRUE(got.is_idle);
  return got.values.empty() ? value::of_text("nothing", value_kind::error) : got.values.front();
}

std::string broken(std::string_view bytes, const redis::reply_limits& bounds = {}) { return read_whole(bytes, bounds).broken; }

}  // namespace

TEST(reply_reader, reads_each_type_of_resp2) {
  EXPECT_EQ(only("+OK\r\n"), value::of_text("OK", value_kind::status));
  EXPECT_EQ(only("+\r\n"), value::of_text("", value_kind::status));
  EXPECT_EQ(only("-ERR no\r\n").error_code(), "ERR");
  EXPECT_EQ(only("-ERR no\r\n").text(), "ERR no");
  EXPECT_EQ(only(":-9223372036854775808\r\n"), value::of_integer(INT64_MIN));
  EXPECT_EQ(only(":+5\r\n"), value::of_integer(5));
  EXPECT_EQ(only("$5\r\na\r\nbc\r\n"), value::of_text("a\r\nbc"));
  EXPECT_EQ(only("$0\r\n\r\n"), value::of_text(""));
  EXPECT_TRUE(only("$-1\r\n").is_null());
  EXPECT_TRUE(only("*-1\r\n").is_null());
  EXPECT_EQ(only("*0\r\n"), value::of_elements({}));
  EXPECT_EQ(only("*2\r\n:1\r\n*1\r\n$1\r\nx\r\n"),
            value::of_elements({value::of_integer(1), value::of_elements({value::of_text("x")})}));
}

TEST(reply_reader, reads_each_type_of_resp3) {
  EXPECT_TRUE(only("_\r\n").is_null());
  EXPECT_EQ(only("#t\r\n"), value::of_boolean(true));
  EXPECT_EQ(only(",-1.5e3\r\n"), value::of_real(-1500));
  EXPECT_EQ(only(",inf\r\n").to_real(), INFINITY);
  EXPECT_TRUE(std::isnan(*only(",nan\r\n").to_real()));
  EXPECT_EQ(only("(3492890328409238509324850943850943825024385\r\n").kind(), value_kind::big_number);
  const value error = only("!8\r\nERR a\r\nb\r\n");
  EXPECT_TRUE(error.is_error());
  EXPECT_EQ(error.text(), "ERR a\r\nb");
  const value shown = only("=8\r\nmkd:*hi*\r\n");
  EXPECT_EQ(shown.format(), "mkd");
  EXPECT_EQ(shown.text(), "*hi*");
  EXPECT_EQ(only("~2\r\n:1\r\n:2\r\n").kind(), value_kind::set);
  const value map = only("%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n");
  ASSERT_NE(map.find("b"), nullptr);
  EXPECT_EQ(map.find("b")->to_integer(), 2);
  EXPECT_EQ(map.find("c"), nullptr);
  EXPECT_EQ(only(">2\r\n+message\r\n+x\r\n").kind(), value_kind::push);
}

TEST(reply_reader, attributes_belong_to_the_value_behind_them) {
  const value plain = only("|1\r\n+ttl\r\n:3600\r\n$1\r\nx\r\n");
  EXPECT_EQ(plain.text(), "x");
  ASSERT_EQ(plain.attributes().size(), 2U);
  EXPECT_EQ(plain.attributes()[1].to_integer(), 3600);
  const value inside = only("*3\r\n:1\r\n|1\r\n+a\r\n*1\r\n:9\r\n*1\r\n:2\r\n:3\r\n");
  ASSERT_EQ(inside.elements().size(), 3U) << "an attribute is no element";
  EXPECT_TRUE(inside.attributes().empty());
  EXPECT_TRUE(inside.elements()[0].attributes().empty());
  EXPECT_EQ(inside.elements()[1].attributes().size(), 2U);
  EXPECT_EQ(inside.elements()[1].elements()[0].to_integer(), 2);
  EXPECT_TRUE(inside.elements()[2].attributes().empty());
  EXPECT_EQ(only("|0\r\n:1\r\n"), value::of_integer(1));
}

TEST(reply_reader, reads_several_values_of_one_piece) {
  const reading got = read_whole("+a\r\n:1\r\n$1\r\nb\r\n*0\r\n+c");
  ASSERT_EQ(got.values.size(), 4U);
  EXPECT_EQ(got.values[2].text(), "b");
  EXPECT_FALSE(got.is_idle) << "the fifth has begun";
}

TEST(reply_reader, what_no_server_says_is_broken) {
  for (const std::string_view bytes : {"?\r\n",
                                       "\r\n",
                                       "OK\r\n",
                                       "+OK\n",
                                       "+a\rb\r\n",
                                       ":\r\n",
                                       ":1.5\r\n",
                                       ": 1\r\n",
                                       ":9223372036854775808\r\n",
                                       ":+-1\r\n",
                                       ":--1\r\n",
                                       "$\r\n",
                                       "$-2\r\n",
                                       "$+1\r\n",
                                       "$1x\r\n",
                                       "$1\r\nab\r\n",
                                       "$1\r\na\n\n",
                                       "$1\r\na\r\r",
                                       "*-2\r\n",
                                       "*x\r\n",
                                       "*1\r\n*-3\r\n",
                                       "_x\r\n",
                                       "#\r\n",
                                       "#x\r\n",
                                       "#true\r\n",
                                       ",\r\n",
                                       ",1.5.5\r\n",
                                       ",0x10\r\n",
                                       ",1 \r\n",
                                       "(\r\n",
                                       "(1a\r\n",
                                       "(-\r\n",
                                       "=3\r\nabc\r\n",
                                       "=4\r\nabcd\r\n",
                                       "!-1\r\n",
                                       "%-1\r\n",
                                       "~-1\r\n",
                                       ">-1\r\n",
                                       "$?\r\n",
                                       "*?\r\n",
                                       "*1\r\n>1\r\n:1\r\n",
                                       "$18446744073709551616\r\n"}) {
    EXPECT_NE(broken(bytes), "") << bytes;
  }
}

TEST(reply_reader, what_is_broken_stays_so) {
  redis::detail::reply_reader reader;
  std::string text = "?\r\n+OK\r\n";
  levity::byte_view bytes = std::as_bytes(std::span{text.data(), text.size()});
  EXPECT_EQ(reader.feed(bytes), redis::detail::reply_reader::verdict::broken);
  EXPECT_EQ(reader.feed(bytes), redis::detail::reply_reader::verdict::broken);
}

TEST(reply_reader, a_short_line_cannot_ask_for_much_memory) {
  const redis::reply_limits bounds{.bytes_max = 10'000, .line_max = 100, .depth_max = 4};
  EXPECT_EQ(broken("$10001\r\n", bounds), "a reply that is too large");
  EXPECT_EQ(broken("$9999999999999\r\n", bounds), "a reply that is too large");
  EXPECT_EQ(broken("*157\r\n", bounds), "a reply that is too large") << "each element weighs 64 bytes at least";
  EXPECT_EQ(broken("%79\r\n", bounds), "a reply that is too large");
  EXPECT_EQ(broken("*9223372036854775807\r\n", bounds), "a reply that is too large");
  EXPECT_EQ(broken("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", bounds), "a reply that is nested too deep");
  EXPECT_EQ(broken("+" + std::string(200, 'a'), bounds), "a line that is too long") << "before its end has come";
  EXPECT_EQ(broken("*100\r\n" + [] {
              std::string all;
              for (int i = 0; i < 100; i++) all += "$60\r\n" + std::string(60, 'x') + "\r\n";
              return all;
            }(), bounds),
            "a reply that is too large")
      << "many that are small";
  std::string good;
  for (int i = 0; i < 50; i++) good += "$5000\r\n" + std::string(5000, 'x') + "\r\n";
  EXPECT_EQ(read_whole(good, bounds).values.size(), 50U) << "what counts is one reply";
}

// Random values, whole, byte by byte, and cut anywhere: the same values.
TEST(reply_reader, however_it_is_cut_it_reads_the_same_values) {
  for (std::uint64_t seed = 1; seed <= 300 / levity::test::slow_build_factor + 10; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    levity::rng random(seed);
    std::vector<value> wanted(1 + random.below(4));
    std::string bytes;
    for (value& each : wanted) {
      each = redis::test::random_value(random, 3);
      redis::test::write_reply(bytes, each);
    }
    const auto same = [&](const reading& got) {
      EXPECT_EQ(got.broken, "");
      EXPECT_TRUE(got.is_idle);
      ASSERT_EQ(got.values.size(), wanted.size());
      for (std::size_t i = 0; i < wanted.size(); i++) {
        EXPECT_EQ(got.values[i], wanted[i]) << got.values[i].to_string() << "\n" << wanted[i].to_string();
        EXPECT_EQ(got.values[i].attributes().size(), wanted[i].attributes().size());
      }
    };
    same(read_whole(bytes));
    std::vector<std::size_t> cuts(bytes.size());
    std::iota(cuts.begin(), cuts.end(), std::size_t{0});
    same(read_in_pieces(bytes, cuts));
    for (int round = 0; round < 3; round++) {
      cuts.resize(1 + random.below(8));
      for (std::size_t& cut : cuts) cut = random.below(bytes.size() + 1);
      std::sort(cuts.begin(), cuts.end());
      same(read_in_pieces(bytes, cuts));
    }
    for (std::size_t cut = 0; cut <= std::min<std::size_t>(bytes.size(), 200); cut++) same(read_in_pieces(bytes, {&cut, 1}));
  }
}

// A byte changed, dropped or added: a value, more, or broken, but never more memory than the bounds, and the same however it is
// cut.
TEST(reply_reader, damaged_bytes_are_read_alike_however_they_are_cut) {
  for (std::uint64_t seed = 1; seed <= 2000 / levity::test::slow_build_factor; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    levity::rng random(seed);
    std::string bytes;
    redis::test::write_reply(bytes, redis::test::random_value(random, 2));
    if (bytes.size() > 2000) continue;
    for (int i = 0; i < 3; i++) {
      const std::size_t at = random.below(bytes.size());
      if (random.below(3) == 0 && bytes.size() > 1) {
        bytes.erase(at, 1);
      } else if (random.below(2) == 0) {
        bytes[at] = "0129-+:$*%~_#,(=!>|\r\n"[random.below(21)];
      } else {
        bytes.insert(at, 1, static_cast<char>(random.below(256)));
      }
    }
    const redis::reply_limits bounds{.bytes_max = 100'000, .line_max = 1000, .depth_max = 8};
    const reading whole = read_whole(bytes, bounds);
    std::vector<std::size_t> cuts(bytes.size());
    std::iota(cuts.begin(), cuts.end(), std::size_t{0});
    const reading cut = read_in_pieces(bytes, cuts, bounds);
    EXPECT_EQ(whole.broken, cut.broken);
    EXPECT_EQ(whole.values, cut.values);
  }
}
