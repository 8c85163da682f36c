// Many threads in one cache, by counts of work and not by time: what must hold whoever comes first. For the sanitizers above all.

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/rng.hpp"
#include "levity/cache/cache.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

constexpr int thread_count = 4;

template <class Work>
void on_threads(Work work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < thread_count; i++) threads.emplace_back(work, i);
  for (std::thread& each : threads) each.join();
}

// Owns memory, and says whose it is.
struct cargo {
  std::string key;
  std::uint64_t sum = 0;
};

std::string key_of(std::uint64_t number) { return "a key that is long enough for the heap " + std::to_string(number); }

template <class Policy>
void readers_never_see_anything_else() {
  lv::cache<std::string, cargo, Policy> of({.capacity = 100, .shards = 2});
  on_threads([&](int number) {
    lv::rng chance(static_cast<std::uint64_t>(number));
    std::vector<lv::cached<cargo>> kept(8);
    for (int i = 0; i < 40'000 / slow_build_factor; i++) {
      const std::uint64_t key = chance.below(200);
      switch (chance.below(8)) {
        case 0: of.erase(key_of(key)); break;
        case 1:
        case 2: static_cast<void>(of.set(key_of(key), cargo{key_of(key), key})); break;
        case 3: of.update(key_of(key), [](const cargo& was) { return cargo{was.key, was.sum}; }); break;
        default: {
          lv::cached<cargo> found = of.get(key_of(key));
          if (!found) break;
          ASSERT_EQ(found->key, key_of(key));
          ASSERT_EQ(found->sum, key);
          kept[chance.below(kept.size())] = std::move(found);
        }
      }
    }
    for (const auto& each : kept) ASSERT_TRUE(!each || each->key == key_of(each->sum));
  });
  EXPECT_TRUE(of.inner().check());
}

}  // namespace

TEST(cache_shard, who_gets_a_value_gets_that_of_his_key_and_whole) {
  readers_never_see_anything_else<lv::s3_fifo>();
  readers_never_see_anything_else<lv::sieve>();
  readers_never_see_anything_else<lv::lru>();
}

TEST(cache_shard, of_the_updates_of_many_threads_none_is_lost) {
  lv::cache<int, std::uint64_t> of;
  for (int key = 0; key < 3; key++) ASSERT_TRUE(of.set(key, 0));
  const int each = 20'000 / slow_build_factor;
  on_threads([&](int) {
    for (int i = 0; i < each; i++) {
      ASSERT_TRUE(of.update(i % 3, [](std::uint64_t was) { return was + 1; }));
    }
  });
  EXPECT_EQ(*of.get(0) + *of.get(1) + *of.get(2), static_cast<std::uint64_t>(each) * thread_count);
}

// All in one shard, whose table grows meanwhile: what has been set and is never taken out must be found by every get.
TEST(cache_shard, what_was_set_is_found_by_every_get_while_others_come_and_go_around_it) {
  for (int round = 0; round < 20; round++) {
    lv::cache<int, int> of({.capacity = 300, .shards = 1});
    lv::atomic<int> set_so_far{0};
    on_threads([&](int number) {
      lv::rng chance(static_cast<std::uint64_t>(number));
      const int work = 8'000 / slow_build_factor;
      if (number == 0) {  // sets what stays: it weighs nothing
        for (int i = 0; i < 500; i++) {
          ASSERT_TRUE(of.set(-1 - i, i, {.weight = 0}));
          ASSERT_EQ(*of.get(-1 - i), i);
          set_so_far.store(i + 1, std::memory_order_release);
        }
      } else if (number == 1) {  // sets what goes
        for (int i = 0; i < work; i++) {
          static_cast<void>(of.set(static_cast<int>(chance.below(1000)), i));
          if (i % 3 == 0) of.erase(static_cast<int>(chance.below(1000)));
        }
      } else {
        for (int i = 0; i < 2 * work; i++) {
          const int upto = set_so_far.load(std::memory_order_acquire);
          if (upto == 0) continue;
          const int key = static_cast<int>(chance.below(static_cast<std::uint64_t>(upto)));
          const lv::cached<int> found = of.get(-1 - key);
          ASSERT_TRUE(found) << key << " of " << upto;
          ASSERT_EQ(*found, key);
        }
      }
    });
    ASSERT_TRUE(of.inner().check());
  }
}

// The key is replaced all the time, beside others whose entries take over its memory: there is no moment without it, and none at
// which one sees an older value than somebody has seen before.
TEST(cache_shard, a_key_that_is_replaced_all_the_time_is_found_by_every_get_and_never_an_older_value_than_before) {
  lv::cache<int, int> of({.capacity = 64, .shards = 1});
  ASSERT_TRUE(of.set(0, 0, {.weight = 0}));
  lv::atomic<int> seen_by_all{0};
  on_threads([&](int number) {
    const int work = 40'000 / slow_build_factor;
    if (number == 0) {
      for (int i = 1; i <= work; i++) static_cast<void>(of.set(0, i, {.weight = 0}));
    } else if (number == 1) {
      for (int i = 1; i <= work; i++) static_cast<void>(of.set(100 + i % 200, i));
    } else {
      for (int i = 0; i < work; i++) {
        const int at_least = seen_by_all.load(std::memory_order_acquire);
        const lv::cached<int> now = of.get(0);
        ASSERT_TRUE(now);
        ASSERT_GE(*now, at_least);
        int before = at_least;
        while (before < *now &&
               !seen_by_all.compare_exchange_weak(before, *now, std::memory_order_acq_rel, std::memory_order_relaxed)) {
        }
      }
    }
  });
}

TEST(cache_shard, handles_of_many_threads_outlive_the_cache) {
  for (int round = 0; round < 50; round++) {
    std::vector<lv::cached<cargo>> kept(thread_count);
    {
      lv::cache<std::string, cargo> of({.capacity = 10});
      on_threads([&](int number) {
        for (std::uint64_t i = 0; i < 50; i++) {
          ASSERT_TRUE(of.set(key_of(i), cargo{key_of(i), i}));
          if (lv::cached<cargo> found = of.get(key_of(i))) kept[static_cast<std::size_t>(number)] = std::move(found);
        }
      });
    }
    on_threads([&](int number) {
      lv::cached<cargo>& mine = kept[static_cast<std::size_t>(number)];
      ASSERT_TRUE(!mine || mine->key == key_of(mine->sum));
      mine = {};
    });
  }
}

namespace {

struct loads {
  lv::cache<int, int> of{lv::cache_options<int, int>{.capacity = 1000, .negative_ttl = std::chrono::microseconds(50)}};
  lv::atomic<int> made{0};
};

lv::task<std::optional<int>> load_one(loads* from, int key) {
  from->made.fetch_add(1, std::memory_order_relaxed);
  co_await lv::yield();
  if (key % 7 == 0) co_return std::nullopt;
  co_return key * 3;
}

lv::task<> asks(loads* from, std::uint64_t seed) {
  lv::rng chance(seed);
  for (int i = 0; i < 200; i++) {
    const int key = static_cast<int>(chance.below(50));
    if (chance.below(10) == 0) {
      from->of.erase(key);
      continue;
    }
    const lv::cached<int> got = co_await from->of.get_or_load(key, [from, key] { return load_one(from, key); });
    EXPECT_EQ(static_cast<bool>(got), key % 7 != 0);
    EXPECT_TRUE(!got || *got == key * 3);
  }
}

}  // namespace

TEST(cache_shard, many_tasks_on_many_workers_load_and_erase_and_get_what_they_asked_for) {
  run_tasks(4, []() -> lv::task<> {
    loads from;
    lv::scope all;
    for (std::uint64_t i = 0; i < 400 / slow_build_factor; i++) all.spawn(asks, &from, i);
    co_await all.join();
    EXPECT_EQ(from.of.statistics().loads, static_cast<std::uint64_t>(from.made.load(std::memory_order_relaxed)));
  });
}

TEST(cache_shard, no_hit_or_miss_of_any_thread_goes_uncounted) {
  lv::cache<int, int> of;
  ASSERT_TRUE(of.set(1, 1));
  for (int round = 0; round < 12; round++) {  // more threads than have a count of their own
    on_threads([&](int) {
      for (int i = 0; i < 100; i++) {
        EXPECT_TRUE(of.get(1));
        EXPECT_FALSE(of.get(2));
      }
    });
  }
  EXPECT_EQ(of.statistics().hits, 12U * thread_count * 100);
  EXPECT_EQ(of.statistics().misses, 12U * thread_count * 100);
}
