// Which entry goes: against the same policies written once more, and against themselves in one piece.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <string>

#include "cache/test_support.hpp"
#include "levity/cache/cache.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace levity::cache_test;
using levity::test::slow_build_factor;

namespace {

template <class Policy>
using numbers = lv::cache<std::uint64_t, std::uint64_t, Policy>;

template <class Cache>
bool request(Cache& of, std::uint64_t key) {
  if (of.get(key)) return true;
  static_cast<void>(of.set(key, key));
  return false;
}

template <class Policy, class Reference>
void agrees_request_by_request(std::size_t capacity, std::size_t requests) {
  const std::uint64_t seed = 20261130;
  for (const workload& each : published_workloads(capacity, requests, seed)) {
    numbers<Policy> subject({.capacity = capacity, .shards = 1});
    Reference reference(capacity);
    std::size_t hits = 0;
    for (std::size_t n = 0; n < each.keys.size(); n++) {
      const bool expected = reference.request(each.keys[n]);
      ASSERT_EQ(request(subject, each.keys[n]), expected)
          << Policy::name << ", " << each.name << ", request " << n << ", seed " << seed;
      hits += expected ? 1 : 0;
    }
    EXPECT_TRUE(subject.inner().check());
    const lv::cache_statistics seen = subject.statistics();
    EXPECT_EQ(seen.hits, hits);
    EXPECT_EQ(seen.misses, requests - hits);
    EXPECT_EQ(seen.departed(lv::cache_departure::evicted) + seen.entries, seen.sets);
  }
}

template <class Policy, class Reference>
void agrees_within_half_a_point(std::size_t capacity, std::size_t requests, unsigned shards) {
  const std::uint64_t seed = 41;
  for (const workload& each : published_workloads(capacity, requests, seed)) {
    numbers<Policy> subject({.capacity = capacity, .shards = shards});
    Reference reference(capacity);
    std::size_t hits = 0;
    std::size_t expected = 0;
    for (const std::uint64_t key : each.keys) {
      hits += request(subject, key) ? 1 : 0;
      expected += reference.request(key) ? 1 : 0;
    }
    const double points = 100.0 * (static_cast<double>(hits) - static_cast<double>(expected)) / static_cast<double>(requests);
    std::printf("%-8s %-26s %5.2f %% of %zu, %+.2f points by the reference\n", Policy::name, each.name,
                100.0 * static_cast<double>(hits) / static_cast<double>(requests), requests, points);
    EXPECT_LE(std::fabs(points), 0.5) << Policy::name << ", " << each.name << ", seed " << seed;
  }
}

}  // namespace

TEST(eviction, s3_fifo_in_one_shard_is_that_of_the_paper_request_by_request) {
  agrees_request_by_request<lv::s3_fifo, reference_s3_fifo>(1000, 200'000 / slow_build_factor);
  agrees_request_by_request<lv::s3_fifo, reference_s3_fifo>(7, 20'000 / slow_build_factor);
  agrees_request_by_request<lv::s3_fifo, reference_s3_fifo>(1, 1000);
}

TEST(eviction, lru_in_one_shard_is_exact_request_by_request) {
  agrees_request_by_request<lv::lru, reference_lru>(1000, 200'000 / slow_build_factor);
  agrees_request_by_request<lv::lru, reference_lru>(7, 20'000 / slow_build_factor);
  agrees_request_by_request<lv::lru, reference_lru>(1, 1000);
}

TEST(eviction, sieve_in_one_shard_is_that_of_the_paper_request_by_request) {
  agrees_request_by_request<lv::sieve, reference_sieve>(1000, 200'000 / slow_build_factor);
  agrees_request_by_request<lv::sieve, reference_sieve>(7, 20'000 / slow_build_factor);
  agrees_request_by_request<lv::sieve, reference_sieve>(1, 1000);
}

TEST(eviction, in_shards_the_hit_ratio_is_within_half_a_point_of_one_piece) {
  const std::size_t requests = 150'000 / slow_build_factor;
  agrees_within_half_a_point<lv::s3_fifo, reference_s3_fifo>(16'384, requests, 0);
  agrees_within_half_a_point<lv::sieve, reference_sieve>(16'384, requests, 0);
  agrees_within_half_a_point<lv::lru, reference_lru>(16'384, requests, 0);
}

TEST(eviction, a_small_cache_is_not_cut_into_shards_too_small_to_count) {
  EXPECT_EQ(numbers<lv::s3_fifo>({.capacity = 1}).shard_count(), 1U);
  EXPECT_EQ(numbers<lv::s3_fifo>({.capacity = 2047}).shard_count(), 1U);
  EXPECT_EQ(numbers<lv::s3_fifo>({.capacity = 2048}).shard_count(), 2U);
  EXPECT_EQ(numbers<lv::s3_fifo>({.capacity = 1'000'000}).shard_count(), 64U);
  EXPECT_EQ(numbers<lv::s3_fifo>({.capacity = 4, .shards = 4}).shard_count(), 4U);
}

namespace {

template <class Policy>
void weights_are_kept() {
  const std::uint64_t seed = 5;
  lv::rng chance(seed);
  lv::cache<std::uint64_t, std::uint64_t, Policy> of(
      {.capacity = 1000,
       .weigh = [](const std::uint64_t&, const std::uint64_t& weight) { return static_cast<std::uint32_t>(weight); },
       .shards = 1});
  for (int i = 0; i < 50'000 / slow_build_factor; i++) {
    const std::uint64_t key = chance.below(300);
    switch (chance.below(4)) {
      case 0: static_cast<void>(of.set(key, chance.below(40))); break;
      case 1: of.erase(key); break;
      case 2: of.update(key, [&](std::uint64_t) { return chance.below(1100); }); break;
      default: static_cast<void>(of.get(key)); break;
    }
    ASSERT_TRUE(i % 1000 != 0 || of.inner().check()) << "seed " << seed;
  }
  EXPECT_TRUE(of.inner().check()) << "seed " << seed;
  const lv::cache_statistics seen = of.statistics();
  EXPECT_LE(seen.weight, 1000U);
  EXPECT_GT(seen.refused, 0U);
  EXPECT_GT(seen.departed(lv::cache_departure::evicted), 0U);
}

}  // namespace

TEST(eviction, whatever_is_set_updated_and_erased_the_weight_is_within_the_capacity_and_the_sums_are_right) {
  weights_are_kept<lv::s3_fifo>();
  weights_are_kept<lv::sieve>();
  weights_are_kept<lv::lru>();
}

TEST(eviction, what_weighs_nothing_is_pinned) {
  numbers<lv::s3_fifo> of({.capacity = 10, .shards = 1});
  for (std::uint64_t key = 0; key < 5; key++) ASSERT_TRUE(of.set(key, key, {.weight = 0}));
  for (std::uint64_t key = 100; key < 1100; key++) ASSERT_TRUE(of.set(key, key));
  for (std::uint64_t key = 0; key < 5; key++) EXPECT_TRUE(of.get(key)) << key;
  EXPECT_EQ(of.statistics().entries, 15U);
  EXPECT_EQ(of.statistics().weight, 10U);
  ASSERT_TRUE(of.set(0, 7, {.weight = 1}));  // and no longer
  for (std::uint64_t key = 2000; key < 2100; key++) ASSERT_TRUE(of.set(key, key));
  EXPECT_FALSE(of.get(0));
  EXPECT_TRUE(of.erase(1));
  EXPECT_TRUE(of.inner().check());
}

TEST(eviction, a_value_too_heavy_for_its_shard_is_refused_and_the_older_one_does_not_stay) {
  numbers<lv::s3_fifo> of({.capacity = 10, .shards = 1});
  ASSERT_TRUE(of.set(1, 1));
  const auto refused = of.set(1, 2, {.weight = 11});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), (lv::cache_refusal{11, 10}));
  EXPECT_EQ(refused.error().message(),
            "the value weighs 11, and a shard of the cache holds 10 in all; give the cache more capacity or fewer shards");
  EXPECT_FALSE(of.get(1));
  EXPECT_EQ(of.statistics().refused, 1U);
  EXPECT_EQ(of.statistics().departed(lv::cache_departure::refused), 1U);
  EXPECT_TRUE(of.set(1, 3, {.weight = 10}));
  EXPECT_EQ(*of.get(1), 3U);
}

TEST(eviction, a_value_that_is_hit_outlives_a_scan) {
  numbers<lv::s3_fifo> of({.capacity = 100, .shards = 1});
  for (std::uint64_t key = 0; key < 50; key++) request(of, key);
  for (int round = 0; round < 2; round++) {
    for (std::uint64_t key = 0; key < 50; key++) EXPECT_TRUE(request(of, key));
  }
  for (std::uint64_t key = 1000; key < 3000; key++) request(of, key);
  for (std::uint64_t key = 0; key < 50; key++) EXPECT_TRUE(of.get(key)) << key;
}
