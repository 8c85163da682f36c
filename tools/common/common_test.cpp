// Goal: what people type is understood or refused with a remedy, and what is shown to them can be read at a glance.
#include "common/nearest.hpp"
#include "common/picture.hpp"
#include "common/quantity.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

using namespace levity::tools;

TEST(quantity, durations_are_read_in_every_unit) {
  EXPECT_EQ(parse_duration_ns("7ns"), 7);
  EXPECT_EQ(parse_duration_ns("250us"), 250'000);
  EXPECT_EQ(parse_duration_ns("250\u00b5s"), 250'000);
  EXPECT_EQ(parse_duration_ns("1.5ms"), 1'500'000);
  EXPECT_EQ(parse_duration_ns("10s"), 10'000'000'000);
  EXPECT_EQ(parse_duration_ns("10"), 10'000'000'000);
  EXPECT_EQ(parse_duration_ns("5m"), 300'000'000'000);
  EXPECT_EQ(parse_duration_ns("1h"), 3'600'000'000'000);
}

TEST(quantity, senseless_durations_are_refused) {
  for (const auto* text : {"", "ms", "-1s", "1x", "1 s", "nan", "inf", "1e30h"})
    EXPECT_FALSE(parse_duration_ns(text).has_value()) << text;
}

TEST(quantity, numbers_take_k_and_m) {
  EXPECT_EQ(parse_number("12k"), 12'000.0);
  EXPECT_EQ(parse_number("1.5M"), 1'500'000.0);
  EXPECT_EQ(parse_number("42"), 42.0);
  EXPECT_FALSE(parse_number("12kk").has_value());
  EXPECT_FALSE(parse_number("-3").has_value());
}

TEST(quantity, shown_durations_have_three_digits_and_a_unit) {
  EXPECT_EQ(show_duration(812), "812 ns");
  EXPECT_EQ(show_duration(45'123), "45.1 \u00b5s");
  EXPECT_EQ(show_duration(1'234'000), "1.23 ms");
  EXPECT_EQ(show_duration(999'700), "1.00 ms");
  EXPECT_EQ(show_duration(20e6), "20.0 ms");
  EXPECT_EQ(show_duration(3.1e9), "3.10 s");
}

TEST(quantity, shown_counts_have_separators) {
  EXPECT_EQ(show_count(0), "0");
  EXPECT_EQ(show_count(950), "950");
  EXPECT_EQ(show_count(12'000), "12,000");
  EXPECT_EQ(show_count(1'234'567), "1,234,567");
}

TEST(quantity, shown_bytes_use_binary_units) {
  EXPECT_EQ(show_bytes(512), "512 B");
  EXPECT_EQ(show_bytes(12.3 * 1024), "12.3 KiB");
  EXPECT_EQ(show_bytes(4.5 * 1024 * 1024 * 1024), "4.50 GiB");
}

TEST(nearest, slips_of_the_hand_are_recognised) {
  constexpr std::array<std::string_view, 3> known{"load", "drive-orders", "lab"};
  EXPECT_EQ(nearest_word("laod", known), "load");
  EXPECT_EQ(nearest_word("loda", known), "load");
  EXPECT_EQ(nearest_word("drive-order", known), "drive-orders");
  EXPECT_EQ(nearest_word("lba", known), "lab");
}

TEST(nearest, a_foreign_word_suggests_nothing) {
  constexpr std::array<std::string_view, 3> known{"load", "drive-orders", "lab"};
  EXPECT_EQ(nearest_word("xyzzyx", known), std::nullopt);
  EXPECT_EQ(nearest_word("", known), std::nullopt);
}

TEST(nearest, distance_counts_swaps_once) {
  EXPECT_EQ(edit_distance("ab", "ba"), 1U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(picture, sparkline_spans_from_lowest_to_highest) {
  EXPECT_EQ(sparkline({0.0, 50.0, 100.0}), "\u2581\u2585\u2588");
  EXPECT_EQ(sparkline({}), "");
  EXPECT_EQ(sparkline({5.0, 5.0}), "\u2588\u2588");
  EXPECT_EQ(sparkline({0.0, 0.0}), "\u2581\u2581");
}

TEST(picture, percentile_curve_has_the_asked_height_and_names_the_axis) {
  levity::histogram slow;
  levity::histogram fast;
  for (std::uint64_t i = 1; i <= 100'000; ++i) {
    slow.record(i * 1'000);
    fast.record(50'000);
  }
  const std::array<curve, 2> curves{curve{"slow", &slow, 6}, curve{"fast", &fast, 4}};
  const std::string drawn = draw_percentiles(curves, {.width = 60, .height = 10, .colour = false});
  EXPECT_EQ(std::count(drawn.begin(), drawn.end(), '\n'), 10 + 3);
  EXPECT_NE(drawn.find("99.9"), std::string::npos);
  EXPECT_NE(drawn.find("slow"), std::string::npos);
  EXPECT_EQ(drawn.find('\x1b'), std::string::npos);
}

TEST(picture, without_colour_each_curve_has_a_mark_of_its_own) {
  levity::histogram slow;
  levity::histogram fast;
  for (int i = 0; i < 1'000; ++i) {
    slow.record(900'000);
    fast.record(50'000);
  }
  const std::array<curve, 2> curves{curve{"slow", &slow, 6}, curve{"fast", &fast, 4}};
  const std::string plain = draw_percentiles(curves, {.width = 40, .height = 10, .colour = false});
  const std::string area = plain.substr(0, plain.find("\u2514"));
  EXPECT_EQ(std::count(area.begin(), area.end(), '*'), 40) << plain;
  EXPECT_EQ(std::count(area.begin(), area.end(), 'o'), 40) << plain;
  EXPECT_LT(area.find('*'), area.find('o')) << "the slower one is above\n" << plain;
  EXPECT_TRUE(plain.ends_with("* slow   o fast\n")) << plain;
  const std::string coloured = draw_percentiles(curves, {.width = 40, .height = 10, .colour = true});
  EXPECT_EQ(coloured.find('*'), std::string::npos) << "colours tell them apart";
  const std::string alone = draw_percentiles(std::span(curves).first(1), {.width = 40, .height = 10, .colour = false});
  EXPECT_NE(alone.find("\u28ff slow"), std::string::npos) << alone;
}

TEST(picture, empty_histograms_draw_nothing) {
  levity::histogram none;
  const std::array<curve, 1> curves{curve{"none", &none, 6}};
  EXPECT_EQ(draw_percentiles(curves, {}), "");
}
