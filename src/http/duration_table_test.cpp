#include "http/duration_table.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using levity::http::duration_bounds;
using levity::http::duration_bucket;
using levity::http::duration_series;
using levity::http::method;
using levity::http::detail::duration_table;

std::uint64_t sum_of(const std::vector<duration_series>& all) {
  std::uint64_t sum = 0;
  for (const duration_series& each : all) sum += each.count;
  return sum;
}

}  // namespace

TEST(http_duration_table, counts_what_equals_a_bound_below_it) {
  EXPECT_EQ(duration_bucket(0), 0U);
  for (std::size_t i = 0; i < duration_bounds.size(); i++) {
    EXPECT_EQ(duration_bucket(duration_bounds[i]), i);
    EXPECT_EQ(duration_bucket(duration_bounds[i] * 1.0001), i + 1);
  }
  EXPECT_EQ(duration_bucket(1e9), duration_bounds.size());
}

TEST(http_duration_table, keeps_attributes_apart) {
  duration_table table;
  const auto a = table.introduce("10.0.0.1", 80, {});
  const auto b = table.introduce("10.0.0.1", 81, {});
  EXPECT_NE(a, b);
  EXPECT_EQ(table.introduce("10.0.0.1", 80, {}), a);
  table.record(a, method::get, 200, {}, 3ms);
  table.record(a, method::get, 200, {}, 30ms);
  table.record(a, method::post, 200, {}, 3ms);
  table.record(a, method::get, 503, {}, 3ms);
  table.record(a, method::get, 0, "timed_out", 3s);
  table.record(b, method::get, 200, {}, 3ms);
  const auto seen = table.look();
  EXPECT_EQ(seen.size(), 5U);
  for (const duration_series& each : seen) {
    if (each.server_port == 80 && each.status == 200 && each.method == method::get) {
      EXPECT_EQ(each.count, 2U);
      EXPECT_EQ(each.buckets[0], 1U);
      EXPECT_EQ(each.buckets[duration_bucket(0.03)], 1U);
      EXPECT_DOUBLE_EQ(each.sum, 0.033);
    } else {
      EXPECT_EQ(each.count, 1U);
    }
    EXPECT_EQ(each.error_type, each.status == 0 ? "timed_out" : each.status == 503 ? "503" : "");
  }
}

TEST(http_duration_table, is_bounded_and_loses_no_count) {
  duration_table table;
  std::uint64_t recorded = 0;
  for (int host = 0; host < 700; host++) {
    const auto whose = table.introduce("host-" + std::to_string(host), 80, {});
    for (unsigned status = 200; status < 205; status++, recorded++) table.record(whose, method::get, status, {}, 1ms);
  }
  const auto seen = table.look();
  EXPECT_EQ(seen.size(), duration_table::series_max + 1);
  EXPECT_EQ(sum_of(seen), recorded);
  EXPECT_TRUE(seen.back().overflow);
  EXPECT_EQ(seen.back().count, recorded - duration_table::series_max);
}

TEST(http_duration_table, loses_no_count_among_threads) {
  duration_table table;
  constexpr int threads = 4;
  constexpr int each = 20'000;
  std::vector<std::thread> crew;
  for (int t = 0; t < threads; t++) {
    crew.emplace_back([&table, t] {
      const auto whose = table.introduce("host-" + std::to_string(t % 2), 80, {});
      for (int i = 0; i < each; i++) table.record(whose, method::get, 200 + static_cast<unsigned>(i % 50), {}, 1ms);
    });
  }
  for (int i = 0; i < 50; i++) (void)table.look();
  for (auto& thread : crew) thread.join();
  EXPECT_EQ(sum_of(table.look()), std::uint64_t{threads} * each);
  EXPECT_EQ(table.look().size(), 100U);
}
