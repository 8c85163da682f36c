// Rounds of one sender, by hand: a round trip is 40.

#include "reactor/sim/sim_congestion.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace levity::inline v0::detail {
namespace {

constexpr std::int64_t trip = 40;
constexpr std::int64_t timeout = 240;

struct sender : sim_congestion {
  unsigned room_at(std::int64_t now) { return room(now, timeout); }
  // All that may be sent now, or so many.
  unsigned send(std::int64_t now, unsigned most = window_most) {
    const unsigned packets = std::min(room_at(now), most);
    add(packets, now, now + trip / 2, now + trip);
    return packets;
  }
};

}  // namespace

TEST(sim_congestion, a_window_doubles_from_round_to_round) {
  sender s;
  EXPECT_EQ(s.send(0), 10U);
  EXPECT_EQ(s.room_at(trip - 1), 0U);
  EXPECT_EQ(s.send(trip), 20U);
  EXPECT_EQ(s.send(2 * trip), 40U);
}

TEST(sim_congestion, what_is_sent_later_belongs_to_the_round) {
  sender s;
  EXPECT_EQ(s.send(0, 4), 4U);
  EXPECT_EQ(s.send(10), 6U);
  EXPECT_EQ(s.room_at(trip), 20U);
}

TEST(sim_congestion, a_window_that_is_not_used_does_not_grow) {
  sender s;
  for (std::int64_t now = 0; now < 20 * trip; now += trip) EXPECT_EQ(s.send(now, 5), 5U);
  EXPECT_EQ(s.room_at(20 * trip), 10U);
}

TEST(sim_congestion, an_answer_ends_a_round_if_it_was_sent_when_the_first_packet_had_come) {
  sender s;
  s.send(0);
  s.hear(30, 19);
  EXPECT_EQ(s.room_at(30), 0U);
  s.hear(30, 20);
  EXPECT_EQ(s.room_at(30), 20U);
}

TEST(sim_congestion, after_a_loss_a_window_is_seven_tenths_and_grows_by_one) {
  sender s;
  s.send(0);
  s.lose(4);
  s.lose(9);  // the first counts
  EXPECT_EQ(s.send(trip), 14U);
  EXPECT_EQ(s.send(2 * trip), 9U);
  EXPECT_EQ(s.send(3 * trip), 10U);
  EXPECT_EQ(s.send(4 * trip), 11U);
}

TEST(sim_congestion, losses_of_two_rounds_count_twice) {
  sender s;
  s.send(0);
  s.lose(0);
  EXPECT_EQ(s.send(trip), 10U);
  s.lose(0);
  EXPECT_EQ(s.send(2 * trip), 7U);
  EXPECT_EQ(s.send(3 * trip), 4U);
}

TEST(sim_congestion, a_probe_costs_what_a_loss_does_and_the_time_until_it_is_heard_of) {
  sender s;
  s.send(0, 1);
  s.time_out(timeout, trip, true);
  EXPECT_EQ(s.room_at(timeout), 9U);
  EXPECT_EQ(s.send(timeout + trip), 10U);
  EXPECT_EQ(s.send(timeout + 2 * trip), 7U);
}

TEST(sim_congestion, after_a_timeout_it_begins_anew_and_doubles_as_far_as_seven_tenths) {
  sender s;
  s.send(0);
  s.time_out(timeout, trip, true);
  s.time_out(2 * timeout, trip, false);
  EXPECT_EQ(s.room_at(2 * timeout + trip - 1), 0U);
  std::int64_t now = 2 * timeout + trip;
  for (const unsigned each : {2U, 4U, 7U, 8U, 9U}) {
    EXPECT_EQ(s.send(now), each);
    now += trip;
  }
}

TEST(sim_congestion, who_has_rested_begins_as_at_first) {
  sender s;
  for (std::int64_t now = 0; now < 4 * trip; now += trip) s.send(now);
  EXPECT_EQ(s.room_at(4 * trip), 160U);
  s.send(4 * trip, 1);
  EXPECT_EQ(s.room_at(5 * trip + timeout), 10U);
}

}  // namespace levity::detail
