#include "levity/base/wall_clock.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <type_traits>

#include "levity/base/random_seed.hpp"

namespace levity::inline v0 {
namespace {

// A world in which it is always the same moment.
struct still_world final : detail::time_source {
  std::int64_t now_ns() noexcept override { return 5; }
  std::int64_t wall_ns() noexcept override { return 1'767'225'600'999'999'999; }
  std::uint64_t draw_seed() noexcept override { return ++drawn; }
  std::uint64_t drawn = 0;
};

// One that has only a clock.
struct clock_only final : detail::time_source {
  std::int64_t now_ns() noexcept override { return 5; }
};

class installed {
public:
  explicit installed(detail::time_source& source) : before_(detail::exchange_time_source(&source)) {}
  installed(const installed&) = delete;
  installed& operator=(const installed&) = delete;
  ~installed() { detail::exchange_time_source(before_); }

private:
  detail::time_source* const before_;
};

static_assert(std::is_same_v<wall_clock::time_point, std::chrono::sys_time<std::chrono::nanoseconds>>);
static_assert(std::chrono::is_clock_v<wall_clock>);

TEST(wall_clock, outside_of_a_simulated_run_is_the_systems) {
  const auto before = std::chrono::system_clock::now();
  const wall_clock::time_point now = wall_clock::now();
  const auto after = std::chrono::system_clock::now();
  // Unless somebody sets the clock in this very moment.
  EXPECT_LE(before, now);
  EXPECT_LE(now, after);
  const std::int64_t seconds = detail::wall_seconds();
  EXPECT_GE(seconds, std::chrono::floor<std::chrono::seconds>(before).time_since_epoch().count() - 1);
  EXPECT_LE(seconds, std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
}

TEST(wall_clock, is_that_of_the_threads_time_source_as_long_as_it_has_one) {
  still_world world;
  {
    const installed here(world);
    EXPECT_EQ(wall_clock::now().time_since_epoch().count(), 1'767'225'600'999'999'999);
    EXPECT_EQ(detail::wall_seconds(), 1'767'225'600);
    EXPECT_EQ(clock::now().time_since_epoch().count(), 5);
  }
  EXPECT_GT(wall_clock::now().time_since_epoch().count(), 1'767'225'601'000'000'000);
  clock_only other;
  const installed here(other);
  EXPECT_GT(wall_clock::now().time_since_epoch().count(), 1'767'225'601'000'000'000);
}

TEST(random_seed, is_another_one_each_time_and_the_worlds_where_there_is_one) {
  EXPECT_NE(random_seed(), random_seed());
  still_world world;
  const installed here(world);
  EXPECT_EQ(random_seed(), 1U);
  EXPECT_EQ(random_seed(), 2U);
}

}  // namespace
}  // namespace levity
