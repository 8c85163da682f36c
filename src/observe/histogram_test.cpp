// Goal: every answer of the histogram stays inside its stated error, for any data. Method: the same samples in a sorted
// vector are the truth; the data come from fixed seeds, spread over all magnitudes.
#include "levity/observe/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

using levity::histogram;
using levity::histogram_range;

namespace {

std::vector<std::uint64_t> log_uniform_samples(std::uint64_t seed, std::size_t count, double exponent_max) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> exponent(0.0, exponent_max);
  std::vector<std::uint64_t> samples;
  for (std::size_t i = 0; i < count; ++i) samples.push_back(static_cast<std::uint64_t>(std::exp2(exponent(random))));
  return samples;
}

std::uint64_t truth_at(const std::vector<std::uint64_t>& sorted, double quantile) {
  const auto rank = static_cast<std::size_t>(std::ceil(quantile * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

constexpr double quantiles[] = {0.0, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1.0};

}  // namespace

TEST(histogram, percentiles_are_never_below_the_truth_and_at_most_one_per_mille_above) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    auto samples = log_uniform_samples(seed, 1 + seed * 97, 41.0);
    histogram counted;
    for (const auto sample : samples) counted.record(sample);
    std::sort(samples.begin(), samples.end());
    for (const double quantile : quantiles) {
      const auto truth = truth_at(samples, quantile);
      const auto answer = counted.value_at(quantile);
      EXPECT_GE(answer, truth) << quantile;
      EXPECT_LE(static_cast<double>(answer), static_cast<double>(truth) * 1.001) << quantile;
    }
    EXPECT_EQ(counted.min(), samples.front());
    EXPECT_EQ(counted.max(), samples.back());
    EXPECT_EQ(counted.count(), samples.size());
  }
}

TEST(histogram, error_bound_holds_for_every_number_of_digits) {
  for (int digits = 1; digits <= 4; ++digits) {
    histogram counted(histogram_range{.lowest = 1, .highest = std::uint64_t{1} << 42, .digits = digits});
    for (const auto value : log_uniform_samples(7, 5'000, 42.0)) {
      const auto low = counted.bucket_low(value);
      const auto high = counted.bucket_high(value);
      ASSERT_LE(low, value);
      ASSERT_GE(high, value);
      ASSERT_LE(static_cast<double>(high - low), static_cast<double>(value) * std::pow(10.0, -digits));
    }
  }
}

TEST(histogram, buckets_touch_without_gap_or_overlap) {
  histogram counted(histogram_range{.lowest = 1, .highest = 1'000'000, .digits = 2});
  std::uint64_t expected_low = 0;
  while (expected_low < 1'000'000) {
    ASSERT_EQ(counted.bucket_low(expected_low), expected_low);
    expected_low = counted.bucket_high(expected_low) + 1;
    ASSERT_EQ(counted.bucket_high(expected_low - 1), expected_low - 1);
  }
}

TEST(histogram, samples_above_the_range_are_counted_as_its_end) {
  histogram counted(histogram_range{.lowest = 1, .highest = 1'000, .digits = 3});
  counted.record(~std::uint64_t{0});
  EXPECT_EQ(counted.count(), 1U);
  EXPECT_EQ(counted.max(), 1'000U);
  EXPECT_EQ(counted.value_at(0.5), 1'000U);
}

TEST(histogram, coarse_unit_keeps_the_range_and_loses_only_the_unit) {
  histogram counted(histogram_range{.lowest = 1'024, .highest = std::uint64_t{1} << 42, .digits = 3});
  EXPECT_LE(counted.bucket_high(5'000) - counted.bucket_low(5'000), 1'023U);
  counted.record(3'000'000'000);
  EXPECT_NEAR(static_cast<double>(counted.value_at(0.5)), 3e9, 3e6);
}

TEST(histogram, merging_parts_equals_recording_the_whole) {
  const auto samples = log_uniform_samples(11, 20'000, 35.0);
  histogram whole;
  histogram parts[3];
  for (std::size_t i = 0; i < samples.size(); ++i) {
    whole.record(samples[i]);
    parts[i % 3].record(samples[i]);
  }
  histogram merged;
  for (const auto& part : parts) ASSERT_TRUE(merged.merge(part));
  for (const double quantile : quantiles) EXPECT_EQ(merged.value_at(quantile), whole.value_at(quantile));
  EXPECT_EQ(merged.count(), whole.count());
  EXPECT_EQ(merged.min(), whole.min());
  EXPECT_EQ(merged.max(), whole.max());
  EXPECT_NEAR(merged.mean() / whole.mean(), 1.0, 1e-9);
}

TEST(histogram, merging_a_different_range_is_refused_and_changes_nothing) {
  histogram left;
  histogram right(histogram_range{.lowest = 1, .highest = 1'000, .digits = 2});
  right.record(5);
  EXPECT_FALSE(left.merge(right));
  EXPECT_EQ(left.count(), 0U);
}

TEST(histogram, mean_is_exact) {
  histogram counted;
  for (std::uint64_t value = 1; value <= 100'001; ++value) counted.record(value);
  EXPECT_DOUBLE_EQ(counted.mean(), 50'001.0);
}

TEST(histogram, repeated_record_equals_many) {
  histogram once;
  histogram many;
  once.record(12'345, 1'000);
  for (int i = 0; i < 1'000; ++i) many.record(12'345);
  EXPECT_EQ(once.value_at(0.5), many.value_at(0.5));
  EXPECT_EQ(once.count(), many.count());
}

TEST(histogram, count_at_or_below_agrees_with_percentiles) {
  histogram counted;
  for (std::uint64_t value = 1; value <= 1'000; ++value) counted.record(value);
  EXPECT_EQ(counted.count_at_or_below(0), 0U);
  EXPECT_EQ(counted.count_at_or_below(500), 500U);
  EXPECT_EQ(counted.count_at_or_below(~std::uint64_t{0}), 1'000U);
}

TEST(histogram, empty_answers_zero) {
  histogram counted;
  EXPECT_EQ(counted.value_at(0.99), 0U);
  EXPECT_EQ(counted.min(), 0U);
  EXPECT_EQ(counted.max(), 0U);
  EXPECT_EQ(counted.mean(), 0.0);
  EXPECT_EQ(counted.to_json(), R"({"count":0,"min":0,"mean":0,"max":0,)"
                               R"("percentiles":{"50":0,"90":0,"99":0,"99.9":0,"99.99":0},"buckets":[]})");
}

TEST(histogram, clear_forgets_everything) {
  histogram counted;
  counted.record(77);
  counted.clear();
  EXPECT_EQ(counted.count(), 0U);
  EXPECT_EQ(counted.max(), 0U);
  counted.record(5);
  EXPECT_EQ(counted.min(), 5U);
}

TEST(histogram, json_lists_percentiles_and_filled_buckets) {
  histogram counted;
  counted.record(3);
  counted.record(3);
  counted.record(1'000);
  EXPECT_EQ(counted.to_json(), R"({"count":3,"min":3,"mean":335.3333333333333,"max":1000,)"
                               R"("percentiles":{"50":3,"90":1000,"99":1000,"99.9":1000,"99.99":1000},)"
                               R"("buckets":[[3,2],[1000,1]]})");
  EXPECT_EQ(counted.to_json(false).find("buckets"), std::string::npos);
}
