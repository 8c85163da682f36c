#include "resilience/breaker_word.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "levity/base/rng.hpp"

namespace lv = levity;
using lv::breaker_state;
using lv::detail::breaker_word;
using namespace std::chrono_literals;

namespace {

lv::time_point at(lv::duration since_zero) { return lv::time_point(since_zero); }

TEST(breaker_word, keeps_apart_what_it_holds) {
  lv::rng random(1);
  for (int n = 0; n < 10'000; n++) {
    const auto generation = static_cast<std::uint32_t>(random.below(1 << 16));
    const auto openings = static_cast<unsigned>(random.below(16));
    const auto under_way = static_cast<unsigned>(random.below(64));
    const auto succeeded = static_cast<unsigned>(random.below(64));
    const lv::time_point since = at(lv::duration(static_cast<std::int64_t>(random.below(std::uint64_t{1} << 62))));
    const auto half_open = breaker_word::half_open(generation, openings, under_way, succeeded, since);
    ASSERT_EQ(half_open.state(), breaker_state::half_open);
    ASSERT_EQ(half_open.generation(), generation);
    ASSERT_EQ(half_open.openings(), openings);
    ASSERT_EQ(half_open.under_way(), under_way);
    ASSERT_EQ(half_open.succeeded(), succeeded);
    const auto other = half_open.with_probes(succeeded, under_way);
    ASSERT_EQ(other, breaker_word::half_open(generation, openings, succeeded, under_way, since));
    const auto open = breaker_word::open(generation, openings, since);
    ASSERT_EQ(open.state(), breaker_state::open);
    ASSERT_EQ(open.generation(), generation);
    ASSERT_EQ(open.openings(), openings);
  }
}

// The gate in front of a breaker lets a success end without looking further where its word is this one.
TEST(breaker_word, of_as_many_successes_as_are_kept_is_the_calm_one_which_no_success_changes) {
  for (unsigned of = 1; of <= breaker_word::calls_max; of++) {
    breaker_word word = breaker_word::closed(0).with_call(true, of);
    for (unsigned n = 0; n < of; n++) {
      ASSERT_NE(word, breaker_word::calm(of)) << n << " of " << of;
      word = word.with_call(false, of);
    }
    ASSERT_EQ(word, breaker_word::calm(of));
    ASSERT_EQ(word.with_call(false, of), word);
    ASSERT_NE(word.with_call(true, of), word);
  }
}

TEST(breaker_word, is_open_as_long_as_it_was_told_and_a_millisecond_more_at_most) {
  lv::rng random(2);
  for (int n = 0; n < 10'000; n++) {
    const lv::time_point wanted = at(lv::duration(static_cast<std::int64_t>(random.below(std::uint64_t{1} << 60))));
    const lv::time_point kept = breaker_word::open(1, 1, wanted).until();
    ASSERT_GE(kept, wanted);
    ASSERT_LT(kept - wanted, 1049us);
  }
  EXPECT_EQ(breaker_word::open(1, 1, at(-5s)).until(), at(0s)) << "before the clock's zero";
}

TEST(breaker_word, opens_more_often_than_it_counts) {
  EXPECT_EQ(breaker_word::open(0, 1'000'000, at(1s)).openings(), breaker_word::openings_max);
}

TEST(breaker_word, keeps_the_last_calls_and_no_more) {
  for (const unsigned of : {1U, 2U, 10U, 31U, 32U}) {
    lv::rng random(of);
    auto word = breaker_word::closed(7);
    std::vector<bool> calls;
    for (int n = 0; n < 1000; n++) {
      const bool failed = random.below(2) == 0;
      word = word.with_call(failed, of);
      calls.push_back(failed);
      ASSERT_EQ(word.calls(), std::min<std::size_t>(of, calls.size()));
      for (unsigned back = 0; back < 32; back++) {
        const bool kept = back < word.calls() && calls[calls.size() - 1 - back];
        ASSERT_EQ((word.last() >> back & 1) != 0, kept) << back << " calls back, of " << of;
      }
      ASSERT_EQ(word.state(), breaker_state::closed);
      ASSERT_EQ(word.generation(), 7U);
    }
  }
}

TEST(breaker_word, generations_go_round) {
  EXPECT_EQ(breaker_word::closed(0xffff).next_generation(), 0U);
  EXPECT_EQ(breaker_word::closed(0x10000).generation(), 0U);
}

TEST(breaker_word, tells_the_age_of_a_probe_within_34_ms_and_never_too_much) {
  lv::rng random(3);
  for (int n = 0; n < 10'000; n++) {
    const lv::time_point since = at(lv::duration(static_cast<std::int64_t>(random.below(std::uint64_t{1} << 61))));
    const lv::duration longest(1 + static_cast<std::int64_t>(random.below(lv::duration(30 * 24h).count())));
    const auto word = breaker_word::half_open(1, 1, 1, 0, since);
    ASSERT_FALSE(word.is_older(longest, since + longest - 1ns));
    ASSERT_TRUE(word.is_older(longest, since + longest + 34ms)) << longest.count() << " since " << since.time_since_epoch().count();
    ASSERT_FALSE(word.is_older(longest, since - 50ms)) << "a thread whose time is a little behind";
    ASSERT_FALSE(word.is_older(0s, since + 24h)) << "it is waited for";
  }
}

}  // namespace
