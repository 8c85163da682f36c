// The clocks of a simulated host, as functions of the network's time.

#include "reactor/sim/sim_clock.hpp"

#include <gtest/gtest.h>

namespace levity::inline v0::detail {
namespace {

constexpr std::int64_t second = sim_clock::billion;

sim_clock begun() { return {.base_ns = 1000 * second, .own_ns = 5 * second, .wall_ns = 70 * second}; }

}  // namespace

TEST(sim_clock, setting_the_wall_clock_back_leaves_the_monotonic_one_alone) {
  sim_clock it = begun();
  it.set(1010 * second, 20 * second, 0);
  EXPECT_EQ(it.own_at(1010 * second), 15 * second);
  EXPECT_EQ(it.wall_at(1010 * second), 20 * second);
  EXPECT_EQ(it.own_at(1011 * second), 16 * second);
  EXPECT_EQ(it.wall_at(1011 * second), 21 * second);
}

TEST(sim_clock, both_gain_the_same_and_the_monotonic_one_keeps_what_it_has_gained) {
  sim_clock it = begun();
  it.set(1000 * second, it.wall_ns, 100'000'000);
  EXPECT_EQ(it.own_at(1010 * second), 16 * second);
  EXPECT_EQ(it.wall_at(1010 * second), 81 * second);
  it.set(1010 * second, 80 * second, 0);
  EXPECT_EQ(it.own_at(1010 * second), 16 * second);
  EXPECT_EQ(it.own_at(1020 * second), 26 * second);
}

TEST(sim_clock, a_boot_begins_the_monotonic_one_anew_and_not_the_wall_clock) {
  sim_clock it = begun();
  it.boot(1030 * second, 2 * second);
  EXPECT_EQ(it.own_at(1031 * second), 3 * second);
  EXPECT_EQ(it.wall_at(1031 * second), 101 * second);
}

TEST(sim_clock, the_network_has_never_too_little_time_for_what_is_due) {
  for (const std::int64_t gain_ppb : {-100'000'000, -7, 0, 7, 333'333, 100'000'000}) {
    sim_clock it = begun();
    it.gain_ppb = gain_ppb;
    for (std::int64_t due = it.own_ns; due < it.own_ns + 3 * second; due += 12'345'677) {
      const std::int64_t at = it.network_at(due);
      EXPECT_GE(it.own_at(at), due) << gain_ppb;
      EXPECT_LE(it.own_at(at), due + 3) << gain_ppb;
    }
  }
}

}  // namespace levity::detail
