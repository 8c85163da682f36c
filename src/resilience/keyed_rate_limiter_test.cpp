// Each key has a rate of its own, in memory that does not grow, and a flood of keys frees nobody who is limited.
#include "levity/resilience/keyed_rate_limiter.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "levity/resilience/admission.hpp"
#include "levity/resilience/token_bucket.hpp"
#include "tests/support/moments.hpp"
#include "tests/support/run_simulated.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using lv::test::at;
using lv::test::run_tasks;

static_assert(lv::admission_policy<lv::keyed_rate_limiter<std::string_view>::of_key>);

namespace {

TEST(keyed_rate_limiter, each_key_has_its_own_tokens) {
  lv::keyed_rate_limiter<std::string> limiter{{.per_second = 10, .burst = 2}};
  EXPECT_TRUE(limiter.try_take("ann", 2, at(0s)));
  EXPECT_FALSE(limiter.try_take("ann", 1, at(0s)));
  EXPECT_EQ(limiter.time_until("ann", 1, at(0s)), 100ms);
  EXPECT_TRUE(limiter.try_take("bob", 2, at(0s)));
  EXPECT_TRUE(limiter.try_take("ann", 1, at(100ms)));
  EXPECT_FALSE(limiter.try_take("ann", 3, at(1h))) << "more than a bucket ever holds";
  EXPECT_EQ(limiter.time_until("ann", 3, at(1h)), lv::duration::max());
  const auto refused = limiter.try_admit("ann", at(100ms));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), (lv::rejection{lv::rejection_cause::rate_exceeded, 100ms}));
}

TEST(keyed_rate_limiter, takes_numbers_enumerators_and_what_a_hash_knows) {
  enum class plan : std::uint8_t { free, paid };
  struct pair {
    int a;
    int b;
  };
  struct hash {
    std::size_t operator()(const pair& of) const noexcept {
      return static_cast<std::size_t>(of.a) << 32 | static_cast<unsigned>(of.b);
    }
  };
  lv::keyed_rate_limiter<std::uint32_t> by_number{{.per_second = 1, .burst = 1}};
  EXPECT_TRUE(by_number.try_take(1, 1, at(0s)));
  EXPECT_FALSE(by_number.try_take(1, 1, at(0s)));
  EXPECT_TRUE(by_number.try_take(2, 1, at(0s)));
  lv::keyed_rate_limiter<plan> by_plan{{.per_second = 1, .burst = 1}};
  EXPECT_TRUE(by_plan.try_take(plan::free, 1, at(0s)));
  EXPECT_TRUE(by_plan.try_take(plan::paid, 1, at(0s)));
  EXPECT_FALSE(by_plan.try_take(plan::free, 1, at(0s)));
  lv::keyed_rate_limiter<pair, hash> by_pair{{.per_second = 1, .burst = 1}};
  EXPECT_TRUE(by_pair.try_take({1, 2}, 1, at(0s)));
  EXPECT_FALSE(by_pair.try_take({1, 2}, 1, at(0s)));
  EXPECT_TRUE(by_pair.try_take({2, 1}, 1, at(0s)));
}

TEST(keyed_rate_limiter, of_a_key_is_a_policy) {
  lv::keyed_rate_limiter<std::string_view> limiter{{.per_second = 1, .burst = 1}};
  auto ann = limiter.of("ann");
  EXPECT_TRUE(ann.try_admit(at(0s)));
  EXPECT_FALSE(ann.try_admit(at(0s)));
  EXPECT_FALSE(limiter.try_take("ann", 1, at(0s)));
}

// Beside a bucket for each key that is never forgotten.
TEST(keyed_rate_limiter, decides_as_a_bucket_for_each_key) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    lv::rng random{seed};
    lv::keyed_rate_limiter<std::uint64_t> limiter{{.per_second = 20, .burst = 4, .keys_max = 4096, .seed = seed}};
    std::map<std::uint64_t, lv::token_bucket> each;
    lv::duration now{};
    for (int i = 0; i < 20'000; i++) {
      now += lv::test::exponential(random, 200us);
      const std::uint64_t key = random.below(300);
      const std::uint64_t n = 1 + random.below(3);
      auto& bucket = each.try_emplace(key, lv::token_bucket_options{.per_second = 20, .burst = 4}).first->second;
      ASSERT_EQ(limiter.try_take(key, n, at(now)), bucket.try_take(n, at(now)));
    }
    EXPECT_EQ(limiter.look(at(now)).forgotten_early, 0U);
  }
}

TEST(keyed_rate_limiter, forgets_who_is_idle_and_keeps_its_size) {
  lv::keyed_rate_limiter<std::uint64_t> limiter{{.per_second = 10, .burst = 1, .keys_max = 1000, .seed = 3}};
  const std::size_t places = limiter.look(at(0s)).places;
  EXPECT_GE(places, 2000U);
  EXPECT_LE(places, 8192U);
  // A thousand keys in use at any moment, a million in all.
  for (std::uint64_t i = 0; i < 1'000'000; i++) (void)limiter.try_take(i, 1, at(i * 100us));
  const auto looked = limiter.look(at(100s));
  EXPECT_EQ(looked.places, places);
  EXPECT_LE(looked.in_use, 1001U);
  EXPECT_EQ(looked.admitted, 1'000'000U);
  EXPECT_LT(looked.forgotten_early, 10'000U);
  EXPECT_EQ(limiter.look(at(200s)).in_use, 0U);
}

TEST(keyed_rate_limiter, a_flood_of_keys_does_not_free_who_is_limited) {
  lv::keyed_rate_limiter<std::uint64_t> limiter{{.per_second = 1, .burst = 20, .keys_max = 1000, .seed = 5}};
  // Ten who ask all the time are limited; then a flood of fresh keys comes, ten times what there is room for, each second.
  std::uint64_t got = 0;
  std::uint64_t fresh = 1'000'000;
  constexpr int seconds = 60;
  for (int ms = 0; ms < seconds * 1000; ms++) {
    for (std::uint64_t key = 0; key < 10; key++) got += limiter.try_take(key, 1, at(ms * 1ms)) ? 1 : 0;
    for (int i = 0; i < 10; i++) (void)limiter.try_take(fresh++, 1, at(ms * 1ms));
  }
  EXPECT_GT(limiter.look(at(seconds * 1s)).forgotten_early, 100'000U) << "it was a flood";
  EXPECT_LE(got, 10U * (20 + seconds) + 10);
  EXPECT_GE(got, 10U * (20 + seconds) - 10);
}

// With a burst of 1 who is limited is short of one token, and so is each key of a flood.
TEST(keyed_rate_limiter, a_flood_of_keys_does_not_free_who_is_limited_to_one_at_a_time) {
  lv::keyed_rate_limiter<std::uint64_t> limiter{{.per_second = 1, .burst = 1, .keys_max = 1000, .seed = 5}};
  std::uint64_t got = 0;
  std::uint64_t fresh = 1'000'000;
  constexpr int seconds = 60;
  for (int ms = 0; ms < seconds * 1000; ms++) {
    for (std::uint64_t key = 0; key < 10; key++) got += limiter.try_take(key, 1, at(ms * 1ms)) ? 1 : 0;
    for (int i = 0; i < 10; i++) (void)limiter.try_take(fresh++, 1, at(ms * 1ms));
  }
  EXPECT_GT(limiter.look(at(seconds * 1s)).forgotten_early, 100'000U) << "it was a flood";
  EXPECT_LE(got, 10U * (1 + seconds) + 10);
  EXPECT_GE(got, 10U * seconds - 10);
}

TEST(keyed_rate_limiter, takes_from_32_to_64_bytes_for_each_key) {
  for (const std::size_t keys : {std::size_t{4096}, std::size_t{65'536}, std::size_t{66'666}, std::size_t{100'000}}) {
    lv::keyed_rate_limiter<std::uint64_t> limiter{{.keys_max = keys}};
    const double bytes = 16 * static_cast<double>(limiter.look(at(0s)).places);
    EXPECT_GE(bytes / static_cast<double>(keys), 32) << keys;
    EXPECT_LE(bytes / static_cast<double>(keys), 64) << keys;
  }
}

TEST(keyed_rate_limiter, a_permit_that_is_withdrawn_puts_its_token_back_once) {
  lv::keyed_rate_limiter<std::string_view> limiter{{.per_second = 1, .burst = 2}};
  auto permit = limiter.try_admit("ann", at(0s));
  ASSERT_TRUE(permit);
  permit->withdraw();
  permit->withdraw();
  EXPECT_TRUE(limiter.try_take("ann", 2, at(0s)));
  EXPECT_FALSE(limiter.try_take("ann", 1, at(0s)));
  EXPECT_TRUE(limiter.try_admit("bob", at(0s))) << "and one that goes does not";
  EXPECT_FALSE(limiter.try_take("bob", 2, at(0s)));
  lv::keyed_rate_limiter<std::string_view> observes{{.per_second = 1, .burst = 1, .mode = lv::policy_mode::observe}};
  (void)observes.try_take("ann", 1, at(0s));
  observes.try_admit("ann", at(0s))->withdraw();
  EXPECT_GT(observes.time_until("ann", 1, at(0s)), 0s) << "it had taken none";
}

TEST(keyed_rate_limiter, at_keys_max_in_use_hardly_any_is_forgotten_early) {
  lv::keyed_rate_limiter<std::uint64_t> limiter{{.per_second = 1, .burst = 1, .keys_max = 65'536, .seed = 11}};
  for (std::uint64_t i = 0; i < 65'536; i++) (void)limiter.try_take(i, 1, at(0s));
  EXPECT_LT(limiter.look(at(0s)).forgotten_early, 200U);
}

TEST(keyed_rate_limiter, observes_without_refusing) {
  lv::keyed_rate_limiter<int> limiter{{.per_second = 1, .burst = 1, .mode = lv::policy_mode::observe}};
  for (int i = 0; i < 10; i++) EXPECT_TRUE(limiter.try_take(1, 1, at(0s)));
  EXPECT_TRUE(limiter.try_admit(1, at(0s)));
  const auto looked = limiter.look(at(0s));
  EXPECT_EQ(looked.admitted, 11U);
  EXPECT_EQ(looked.would_have_refused, 10U);
  EXPECT_EQ(looked.refused, 0U);
}

TEST(keyed_rate_limiter, bounds_what_it_is_given) {
  lv::keyed_rate_limiter<int> least{{.keys_max = 0, .shards = 0}};
  EXPECT_TRUE(least.try_take(1, 1, at(0s)));
  lv::keyed_rate_limiter<int> odd{{.keys_max = 3, .shards = 5000}};
  EXPECT_TRUE(odd.try_take(1, 1, at(0s)));
  EXPECT_EQ(odd.look(at(0s)).places, 256U * 16);
}

TEST(keyed_rate_limiter, fingerprints_follow_the_seed) {
  EXPECT_NE(lv::detail::fingerprint_of("ann", 1), lv::detail::fingerprint_of("ann", 2));
  EXPECT_EQ(lv::detail::fingerprint_of("ann", 1), lv::detail::fingerprint_of("ann", 1));
  std::set<std::uint64_t> all;
  for (std::uint64_t i = 0; i < 100'000; i++) all.insert(lv::detail::fingerprint_of(i, 42));
  EXPECT_EQ(all.size(), 100'000U);
}

lv::task<> take_keys(lv::keyed_rate_limiter<std::uint64_t>* limiter, int times, lv::atomic<std::uint64_t>* taken) {
  for (int i = 0; i < times; i++) {
    if (limiter->try_take(static_cast<std::uint64_t>(i % 64), 1, at(0s))) taken->fetch_add(1, std::memory_order_relaxed);
  }
  co_return;
}

TEST(keyed_rate_limiter, gives_each_token_to_one_thread) {
  run_tasks(4, []() -> lv::task<> {
    const int times = 100'000 / lv::test::slow_build_factor;
    lv::keyed_rate_limiter<std::uint64_t> limiter{{.per_second = 1, .burst = 50}};
    lv::atomic<std::uint64_t> taken{0};
    lv::scope all;
    for (int i = 0; i < 4; i++) all.spawn(take_keys, &limiter, times, &taken);
    co_await all.join();
    EXPECT_EQ(taken.load(std::memory_order_relaxed), 64U * 50);
  });
}

TEST(keyed_rate_limiter, without_a_seed_of_its_own_has_one_that_follows_from_a_simulated_runs) {
  const auto seed_in = [](std::uint64_t run) {
    std::uint64_t seed = 0;
    EXPECT_EQ(lv::test::run_simulated(run, [](std::uint64_t* into) -> lv::task<> {
      *into = lv::detail::keyed_buckets(lv::keyed_rate_limiter_options{}).seed();
      co_return;
    }, &seed), 0);
    return seed;
  };
  EXPECT_EQ(seed_in(1), seed_in(1));
  EXPECT_NE(seed_in(1), seed_in(2));
  const lv::detail::keyed_buckets one{lv::keyed_rate_limiter_options{}};
  const lv::detail::keyed_buckets other{lv::keyed_rate_limiter_options{}};
  EXPECT_NE(one.seed(), other.seed());
}

}  // namespace
