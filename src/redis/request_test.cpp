// Commands as they are sent, addresses as they are written, values as they are read.

#include "levity/redis/request.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "levity/redis/error.hpp"
#include "levity/redis/options.hpp"
#include "redis/command_rules.hpp"
#include "redis/test_support.hpp"

namespace {

namespace redis = levity::redis;
using redis::detail::effect;
using redis::detail::effect_of;
using redis::detail::place;
using redis::detail::place_of;

}  // namespace

TEST(redis_request, is_an_array_of_texts_with_their_lengths) {
  redis::request set("SET", "key", std::string("a\r\nb"));
  EXPECT_EQ(set.encode(), "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$4\r\na\r\nb\r\n");
  EXPECT_EQ(set.encode(), "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$4\r\na\r\nb\r\n") << "as often as it is asked";
  set.add("PX").add(1500);
  EXPECT_EQ(set.encode(), "*5\r\n$3\r\nSET\r\n$3\r\nkey\r\n$4\r\na\r\nb\r\n$2\r\nPX\r\n$4\r\n1500\r\n");
  EXPECT_EQ(set.name(), "SET");
  EXPECT_EQ(set.word(2), "a\r\nb");
  EXPECT_EQ(set.word(4), "1500");
  EXPECT_EQ(set.word(5), "");
  EXPECT_EQ(set.words(), 5U);
}

TEST(redis_request, numbers_and_bytes_are_arguments) {
  const std::byte bytes[] = {std::byte{0}, std::byte{255}};
  redis::request one("X", std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::uint64_t>::max(), 0.1, -1.5f,
                     levity::byte_view{bytes});
  EXPECT_EQ(one.word(1), "-9223372036854775808");
  EXPECT_EQ(one.word(2), "18446744073709551615");
  EXPECT_EQ(one.word(3), "0.1");
  EXPECT_EQ(one.word(4), "-1.5");
  EXPECT_EQ(one.word(5), std::string_view("\0\xff", 2));
  static_assert(!redis::argument<bool> && !redis::argument<char>);
}

TEST(redis_request, of_ten_thousand_arguments_has_its_count_in_front) {
  redis::request many("DEL");
  for (int i = 0; i < 10'000; i++) many.add(i);
  EXPECT_TRUE(many.encode().starts_with("*10001\r\n$3\r\nDEL\r\n$1\r\n0\r\n"));
}

// What is written is read back by the reader of replies: the two know the same protocol.
TEST(redis_request, is_read_as_it_was_written) {
  levity::rng random(7);
  for (int i = 0; i < 200; i++) {
    std::vector<redis::value> wanted{redis::value::of_text("NAME")};
    redis::request one("NAME");
    for (std::uint64_t j = random.below(5); j > 0; j--) {
      const std::string text = redis::test::random_text(random, 50);
      one.add(text);
      wanted.push_back(redis::value::of_text(text));
    }
    const auto got = redis::test::read_whole(one.encode());
    ASSERT_EQ(got.values.size(), 1U);
    EXPECT_EQ(got.values[0], redis::value::of_elements(wanted));
  }
}

TEST(redis_request, what_others_would_notice_has_no_place_on_a_shared_connection) {
  using redis::request;
  EXPECT_EQ(place_of(request("GET", "k")), place::anywhere);
  EXPECT_EQ(place_of(request("multi")), place::session);
  EXPECT_EQ(place_of(request("BlPop", "k", 0)), place::session);
  EXPECT_EQ(place_of(request("SELECT", 1)), place::session);
  EXPECT_EQ(place_of(request("SUBSCRIBE", "c")), place::subscription);
  EXPECT_EQ(place_of(request("MONITOR")), place::nowhere);
  EXPECT_EQ(place_of(request("CLIENT", "LIST")), place::anywhere);
  EXPECT_EQ(place_of(request("CLIENT", "reply", "OFF")), place::nowhere);
  EXPECT_EQ(place_of(request("CLIENT", "TRACKING", "ON")), place::session);
  EXPECT_EQ(place_of(request("XREAD", "COUNT", 2, "STREAMS", "BLOCK", "0")), place::anywhere) << "a stream of that name";
  EXPECT_EQ(place_of(request("XREAD", "COUNT", 2, "BLOCK", 0, "STREAMS", "s", "0")), place::session);
  EXPECT_EQ(place_of(request("XREADGROUP", "GROUP", "BLOCK", "BLOCK", "STREAMS", "s", ">")), place::anywhere);
  EXPECT_EQ(place_of(request("A_COMMAND_OF_A_MODULE_THAT_IS_LONG")), place::anywhere);
  EXPECT_EQ(effect_of(request("watch", "k")), effect::watches);
  EXPECT_EQ(effect_of(request("SELECT", 1)), effect::changes);
  EXPECT_EQ(effect_of(request("GET", "k")), effect::none);
}

TEST(redis_options, addresses_are_urls_or_what_sockets_take) {
  const auto full = redis::options::parse("redis://me:p%40ss@cache.internal:7000/3");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->address, "cache.internal:7000");
  EXPECT_EQ(full->user, "me");
  EXPECT_EQ(full->password, "p@ss");
  EXPECT_EQ(full->database, 3U);
  EXPECT_EQ(redis::options::parse("redis://:secret@host")->password, "secret");
  EXPECT_EQ(redis::options::parse("redis://host")->address, "host:6379");
  EXPECT_EQ(redis::options::parse("redis://[::1]")->address, "[::1]:6379");
  EXPECT_EQ(redis::options::parse("unix:///run/redis%20.sock")->address, "/run/redis .sock");
  EXPECT_EQ(redis::options::parse("/run/redis.sock")->address, "/run/redis.sock");
  EXPECT_EQ(redis::options::parse("127.0.0.1:6379")->address, "127.0.0.1:6379");
  for (const std::string_view wrong : {"", "redis://", "redis://u:p@", "rediss://host", "http://host", "redis://host/x",
                                       "redis://[::1", "redis://a%zz:secret@host", "redis://a:%7@host", "unix://run"}) {
    const auto read = redis::options::parse(wrong);
    ASSERT_FALSE(read) << wrong;
    EXPECT_EQ(read.error().find("secret"), std::string::npos);
  }
}

TEST(redis_value, text_that_is_a_number_is_read_as_one_and_nothing_else) {
  using redis::value;
  EXPECT_EQ(value::of_text("-12").to_integer(), -12);
  EXPECT_EQ(value::of_text("12 ").to_integer(), std::nullopt);
  EXPECT_EQ(value::of_text("").to_integer(), std::nullopt);
  EXPECT_EQ(value::of_text("1.5").to_real(), 1.5);
  EXPECT_EQ(value::of_text("1.5x").to_real(), std::nullopt);
  EXPECT_EQ(value::of_integer(2).to_boolean(), std::nullopt);
  EXPECT_EQ(value::of_boolean(true).to_integer(), 1);
  EXPECT_EQ(value::of_text("5", redis::value_kind::error).to_integer(), std::nullopt);
  EXPECT_EQ(value{}.to_integer(), std::nullopt);
  EXPECT_EQ(sizeof(value), 64U) << "as its docstring says";
}

TEST(redis_value, is_written_for_people) {
  using redis::value;
  EXPECT_EQ(value::of_elements({value::of_text("a\"\n"), value{}, value::of_real(0.5)}).to_string(), "[\"a\\\"\\x0a\", null, 0.5]");
  EXPECT_EQ(value::of_elements({value::of_text("k"), value::of_integer(1)}, redis::value_kind::map).to_string(), "{\"k\": 1}");
}

TEST(redis_error, says_what_happened_and_whether_it_may_be_given_again) {
  const auto lost = redis::error::of_io({levity::io_failure::reset, 0, "reading from redis"}, true);
  EXPECT_EQ(lost, levity::io_failure::reset);
  EXPECT_TRUE(lost.was_sent());
  EXPECT_NE(lost.message().find("may have carried it out"), std::string::npos);
  const auto wrong = redis::error::of_server("WRONGTYPE Operation against a key");
  EXPECT_EQ(wrong, redis::failure::server);
  EXPECT_EQ(wrong.code(), "WRONGTYPE");
  EXPECT_EQ(redis::error::of_server("MOVED").code(), "MOVED");
}
