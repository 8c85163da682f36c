#include "levity/service/quantity.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>

#include "service/suggestion.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using lv::service::byte_size;
using lv::service::parse_byte_size;
using lv::service::parse_duration;
using lv::service::to_text;

namespace {

TEST(quantity, durations_are_read_as_people_write_them) {
  EXPECT_EQ(parse_duration("30s"), 30s);
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("1h30m"), 90min);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("0.25ms"), 250us);
  EXPECT_EQ(parse_duration("7µs"), 7us);
  EXPECT_EQ(parse_duration("2d"), 48h);
  EXPECT_EQ(parse_duration("0"), 0s);
  EXPECT_EQ(parse_duration("9223372036854775807ns"), lv::duration::max());
}

TEST(quantity, what_is_no_duration_is_refused_in_a_sentence) {
  EXPECT_EQ(parse_duration("30").error(), "\"30\" has no unit; write one of ns, us, ms, s, m, h, d behind the number");
  EXPECT_EQ(parse_duration("30 s").error(), "\"30 s\" has a unit that is none of ns, us, ms, s, m, h, d");
  EXPECT_EQ(parse_duration("300y").error(), "\"300y\" has a unit that is none of ns, us, ms, s, m, h, d");
  EXPECT_EQ(parse_duration("").error(), "\"\" is no duration; write a number and one of ns, us, ms, s, m, h, d");
  EXPECT_EQ(parse_duration("9223372036854775808ns").error(), "\"9223372036854775808ns\" is more than 292 years");
  for (const char* bad :
       {"-1s", "+1s", "s", ".5s", "1.s", "1..5s", "1s2", "1e3s", "99999999999999999999999999s", "106752d", " 1s"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(quantity, sizes_are_read_as_people_write_them) {
  EXPECT_EQ(parse_byte_size("64MiB"), byte_size{64 << 20});
  EXPECT_EQ(parse_byte_size("10kB"), byte_size{10'000});
  EXPECT_EQ(parse_byte_size("1.5GiB"), byte_size{std::uint64_t{3} << 29});
  EXPECT_EQ(parse_byte_size("512B"), byte_size{512});
  EXPECT_EQ(parse_byte_size("0"), byte_size{0});
  EXPECT_EQ(parse_byte_size("64").error(),
            "\"64\" has no unit; write one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB behind the number");
  EXPECT_EQ(parse_byte_size("64mb").error(), "\"64mb\" has a unit that is none of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB");
  EXPECT_EQ(parse_byte_size("16777216TiB").error(), "\"16777216TiB\" is more than 16 EiB");
  EXPECT_FALSE(parse_byte_size("1MiB2"));
  EXPECT_FALSE(parse_byte_size("1MiB2B"));
}

TEST(quantity, what_is_written_is_read_as_the_same) {
  EXPECT_TRUE(rc::check("durations", [] {
    const int bits = *rc::gen::inRange(1, 64);
    const auto ns = static_cast<std::int64_t>(*rc::gen::arbitrary<std::uint64_t>() >> (64 - bits) >> 1);
    const lv::duration span(ns);
    RC_ASSERT((parse_duration(to_text(span)) == span));
  }));
  EXPECT_TRUE(rc::check("sizes", [] {
    const int bits = *rc::gen::inRange(1, 65);
    const byte_size size{*rc::gen::arbitrary<std::uint64_t>() >> (64 - bits)};
    RC_ASSERT((parse_byte_size(to_text(size)) == size));
  }));
  EXPECT_EQ(to_text(90min), "1h30m");
  EXPECT_EQ(to_text(1500ms), "1.5s");
  EXPECT_EQ(to_text(250us), "250us");
  EXPECT_EQ(to_text(60s), "1m");
  EXPECT_EQ(to_text(60500ms), "1m0.5s");
  EXPECT_EQ(to_text(0s), "0s");
  EXPECT_EQ(to_text(-5s), "-5s");
  EXPECT_EQ(to_text(lv::duration::min()).front(), '-');
  EXPECT_EQ(to_text(byte_size{64 << 20}), "64MiB");
  EXPECT_EQ(to_text(byte_size{1000}), "1000B");
}

TEST(quantity, no_text_is_read_wrongly_and_none_crashes_the_reader) {
  EXPECT_TRUE(rc::check("any text", [] {
    const auto text =
        *rc::gen::container<std::string>(rc::gen::element('0', '9', '.', 's', 'm', 'h', 'd', 'n', 'u', 'M', 'i', 'B', ' '));
    const auto span = parse_duration(text);
    if (span) RC_ASSERT((parse_duration(to_text(*span)) == *span));
    const auto size = parse_byte_size(text);
    if (size) RC_ASSERT((parse_byte_size(to_text(*size)) == *size));
  }));
}

TEST(suggestion, finds_the_nearest_word_and_none_that_is_far) {
  const std::string_view known[] = {"timeout", "retries", "weight", "route", "uri"};
  EXPECT_EQ(lv::service::detail::nearest("timout", known), "timeout");
  EXPECT_EQ(lv::service::detail::nearest("wieght", known), "weight");
  EXPECT_EQ(lv::service::detail::nearest("routes", known), "route");
  EXPECT_EQ(lv::service::detail::nearest("completely_else", known), "");
  EXPECT_EQ(lv::service::detail::suggestion("retires", known), "; did you mean \"retries\"?");
  EXPECT_EQ(lv::service::detail::suggestion("zzz", known), "");
}

TEST(suggestion, distance_is_symmetric_and_counts_single_changes) {
  EXPECT_EQ(lv::service::detail::edit_distance("", "abc"), 3U);
  EXPECT_EQ(lv::service::detail::edit_distance("ab", "ba"), 1U);
  EXPECT_TRUE(rc::check([](const std::string& a, const std::string& b) {
    const std::size_t apart = lv::service::detail::edit_distance(a, b);
    RC_ASSERT((apart == lv::service::detail::edit_distance(b, a)));
    RC_ASSERT(((apart == 0) == (a == b)));
    RC_ASSERT((apart <= std::max(a.size(), b.size())));
    RC_ASSERT((lv::service::detail::edit_distance(a + "x", b) <= apart + 1));
  }));
}

}  // namespace
