// What a cache knows at which time: its core is told the moment, so nothing here waits.

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <stdexcept>
#include <string>

#include "levity/base/rng.hpp"
#include "levity/cache/cache.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::slow_build_factor;

namespace {

using core = lv::detail::cache_core<std::string, int, lv::s3_fifo, std::hash<std::string>, lv::detail::equal_keys>;
using options = lv::cache_options<std::string, int>;

constexpr std::int64_t second = 1'000'000'000;

std::optional<int> look(core& at, const std::string& key, std::int64_t now) {
  const lv::cached<int> found = at.get(key, [now] { return now; }, [](auto) { return false; });
  return found ? std::optional(*found) : std::nullopt;
}

lv::cached<int> cached_of(core& at, const std::string& key) {
  return at.get(key, [] { return std::int64_t{0}; }, [](auto) { return false; });
}

int clock_looks = 0;

}  // namespace

TEST(cache_core, a_value_counts_until_its_time_is_over_and_not_a_nanosecond_longer) {
  core at(options{.ttl = 10s});
  at.set("a", 1, {}, 5 * second);
  EXPECT_EQ(look(at, "a", 15 * second - 1), 1);
  EXPECT_EQ(look(at, "a", 15 * second), std::nullopt);
  EXPECT_EQ(at.statistics().departed(lv::cache_departure::expired), 1U);
  EXPECT_EQ(at.statistics().entries, 0U);
}

TEST(cache_core, a_value_that_is_read_does_not_idle_and_one_that_is_not_does) {
  core at(options{.tti = 10s});
  at.set("a", 1, {}, 0);
  at.set("b", 2, {}, 0);
  for (std::int64_t now = 0; now < 100 * second; now += 9 * second) EXPECT_EQ(look(at, "a", now), 1);
  EXPECT_EQ(look(at, "a", 109 * second - 1), 1);
  EXPECT_EQ(look(at, "b", 10 * second), std::nullopt);
  EXPECT_EQ(at.statistics().departed(lv::cache_departure::idle), 1U);
}

TEST(cache_core, both_times_count_the_nearer_one_first) {
  core at(options{.ttl = 20s, .tti = 10s});
  at.set("a", 1, {}, 0);
  EXPECT_EQ(look(at, "a", 9 * second), 1);
  EXPECT_EQ(look(at, "a", 18 * second), 1);
  EXPECT_EQ(look(at, "a", 20 * second), std::nullopt);
}

TEST(cache_core, an_entry_has_the_time_and_the_weight_of_its_own_that_it_is_given) {
  core at(options{.ttl = 10s,
                  .ttl_of = [](const std::string&, const int& value) { return lv::duration(std::chrono::seconds(value)); }});
  at.set("a", 3, {}, 0);
  at.set("b", 3, {.ttl = 7s}, 0);
  EXPECT_EQ(look(at, "a", 3 * second - 1), 3);
  EXPECT_EQ(look(at, "a", 3 * second), std::nullopt);
  EXPECT_EQ(look(at, "b", 7 * second - 1), 3);
  EXPECT_EQ(look(at, "b", 7 * second), std::nullopt);
}

TEST(cache_core, an_update_begins_the_time_anew_and_keeps_how_long_it_is) {
  core at(options{.ttl = 10s});
  at.set("a", 1, {.ttl = 4s}, 0);
  EXPECT_EQ(*at.update("a", [] { return 3 * second; }, [](int was) { return was + 1; }), 2);
  EXPECT_EQ(look(at, "a", 7 * second - 1), 2);
  EXPECT_EQ(look(at, "a", 7 * second), std::nullopt);
  EXPECT_FALSE(at.update("a", [] { return 8 * second; }, [](int was) { return was + 1; }));
}

TEST(cache_core, nobody_looks_at_the_clock_where_nothing_ends_by_time) {
  core at(options{});
  at.set("a", 1, {}, 0);
  const auto clock = [] { return ++clock_looks, second; };
  EXPECT_TRUE(at.get("a", clock, [](auto) { return false; }));
  EXPECT_FALSE(at.get("b", clock, [](auto) { return false; }));
  EXPECT_EQ(clock_looks, 0);
  at.set("c", 1, {.ttl = 10s}, 0);
  EXPECT_TRUE(at.get("c", clock, [](auto) { return false; }));
  EXPECT_EQ(clock_looks, 1);
}

TEST(cache_core, what_is_stale_is_kept_for_who_asks_for_it_and_then_goes) {
  core at(options{.ttl = 10s, .stale_if_error = 5s});
  at.set("a", 1, {}, 0);
  EXPECT_EQ(look(at, "a", 10 * second), std::nullopt);
  EXPECT_EQ(*at.get_stale("a", 15 * second - 1), 1);
  EXPECT_FALSE(at.get_stale("a", 15 * second));
  EXPECT_EQ(at.statistics().entries, 0U);
}

TEST(cache_core, a_sweep_takes_out_what_is_over_and_names_what_is_due) {
  core at(options{.capacity = 1000, .ttl = 100s, .refresh_ahead = true});
  const core::refresher here(at);
  for (int i = 0; i < 500; i++) at.set(std::to_string(i), i, {.ttl = i < 100 ? 10s : 100s}, 0);
  for (int i = 100; i < 200; i++) EXPECT_EQ(look(at, std::to_string(i), 20 * second), i);
  std::size_t removed = 0;
  std::size_t due = 0;
  const auto sweep = [&](std::int64_t now) {
    core::sweep_place place;
    while (at.sweep(place, now, removed, [&](auto) { return ++due, true; })) {
    }
  };
  sweep(71 * second);
  EXPECT_EQ(removed, 100U);
  EXPECT_EQ(due, 0U);
  sweep(80 * second);
  EXPECT_GT(due, 20U);  // they do not all come at the same time
  EXPECT_LT(due, 80U);
  sweep(88 * second);
  EXPECT_EQ(due, 100U);  // and only those that were read; once each
  sweep(100 * second);
  EXPECT_EQ(removed, 500U);
}

TEST(cache_core, a_handle_outlives_its_entry_its_successor_and_the_cache) {
  lv::cached<int> old;
  lv::cached<int> erased;
  {
    core at(options{});
    at.set("a", 1, {}, 7);
    old = cached_of(at, "a");
    at.set("a", 2, {}, 8);
    erased = cached_of(at, "a");
    at.erase("a", 9);
    at.set("b", 3, {}, 9);
    EXPECT_EQ(*old, 1);
  }
  EXPECT_EQ(*old, 1);
  EXPECT_EQ(*erased, 2);
  EXPECT_EQ(old.written_at(), lv::time_point(7ns));
  EXPECT_EQ(old.expires_at(), lv::time_point::max());
  EXPECT_EQ(old.age(lv::time_point(10ns)), 3ns);
  const lv::cached<int> copy = old;
  old = {};
  EXPECT_EQ(*copy, 1);
}

namespace {

// A hash that tells hardly anything apart, and another one that tells nothing.
template <int kinds>
struct poor_hash {
  std::size_t operator()(const int& key) const { return static_cast<std::size_t>(key % kinds); }
};

// A map that knows when things end, for sure.
struct plain_cache {
  struct item {
    int value;
    std::int64_t written;
    std::int64_t ttl;
    std::int64_t read;
  };
  std::int64_t tti;
  std::map<int, item> items;

  item* find(int key, std::int64_t now) {
    const auto found = items.find(key);
    if (found == items.end()) return nullptr;
    item& it = found->second;
    if (now < it.written + it.ttl && now < it.read + tti) return &it;
    items.erase(found);
    return nullptr;
  }
};

template <class Hash, class Policy>
void agrees_with_a_map(std::uint64_t seed) {
  lv::rng chance(seed);
  using tried = lv::detail::cache_core<int, int, Policy, Hash, lv::detail::equal_keys>;
  tried at({.capacity = 100'000, .ttl = 50s, .tti = 30s, .shards = 1});
  plain_cache expected{30 * second, {}};
  std::int64_t now = 0;
  for (int n = 0; n < 4000 / slow_build_factor; n++) {
    now += static_cast<std::int64_t>(chance.below(2 * second));
    const int key = static_cast<int>(chance.below(60));
    const int value = static_cast<int>(chance.below(1000));
    const auto clock = [now] { return now; };
    switch (chance.below(8)) {
      case 0:
      case 1: {
        const std::int64_t ttl = chance.below(2) == 0 ? 50 * second : static_cast<std::int64_t>(chance.below(90)) * second;
        at.set(key, value, {.ttl = lv::duration(ttl)}, now);
        expected.items[key] = {value, now, ttl, now};
        if (ttl == 0) expected.items.erase(key);
        break;
      }
      case 2: {
        plain_cache::item* const was = expected.find(key, now);
        const lv::cached<int> is = at.update(key, clock, [&](int old) { return old + value; });
        ASSERT_EQ(static_cast<bool>(is), was != nullptr) << "seed " << seed << ", step " << n;
        if (was != nullptr) {
          ASSERT_EQ(*is, was->value + value) << "seed " << seed << ", step " << n;
          *was = {was->value + value, now, was->ttl, now};
        }
        break;
      }
      case 3: {
        const bool there = expected.find(key, now) != nullptr;
        const bool was = at.erase(key, now);
        ASSERT_TRUE(was || !there) << "seed " << seed << ", step " << n;
        expected.items.erase(key);
        break;
      }
      default: {
        plain_cache::item* const was = expected.find(key, now);
        const lv::cached<int> is = at.get(key, clock, [](auto) { return false; });
        ASSERT_EQ(static_cast<bool>(is), was != nullptr) << "seed " << seed << ", step " << n;
        if (was != nullptr) {
          ASSERT_EQ(*is, was->value) << "seed " << seed << ", step " << n;
          was->read = now;
        }
      }
    }
  }
  ASSERT_TRUE(at.check()) << "seed " << seed;
}

}  // namespace

TEST(cache_core, agrees_with_a_map_that_knows_the_time_whatever_the_hash) {
  for (std::uint64_t seed = 1; seed <= 30; seed++) {
    agrees_with_a_map<std::hash<int>, lv::s3_fifo>(seed);
    agrees_with_a_map<poor_hash<3>, lv::sieve>(seed);
    agrees_with_a_map<poor_hash<1>, lv::lru>(seed);
  }
}

namespace {

struct touchy {
  int value = 0;
  static inline int alive = 0;
  static inline int copies_left = 1000;

  explicit touchy(int of) : value(of) { alive++; }
  touchy(const touchy& other) : value(other.value) {
    if (copies_left-- == 0) throw std::runtime_error("no more copies");
    alive++;
  }
  touchy(touchy&& other) noexcept : value(other.value) { alive++; }
  touchy& operator=(const touchy&) = delete;
  ~touchy() { alive--; }
  friend bool operator==(const touchy& a, const touchy& b) {
    if (a.value < 0 || b.value < 0) throw std::runtime_error("cannot be compared");
    return a.value == b.value;
  }
};

struct touchy_hash {
  std::size_t operator()(const touchy&) const { return 0; }
};

}  // namespace

TEST(cache_core, what_a_key_or_a_change_throws_comes_through_and_leaves_all_as_it_was) {
  {
    lv::detail::cache_core<touchy, touchy, lv::s3_fifo, touchy_hash, lv::detail::equal_keys> at({.capacity = 100});
    at.set(touchy(1), touchy(10), {}, 0);
    at.set(touchy(2), touchy(20), {}, 0);
    const auto zero = [] { return std::int64_t{0}; };
    const auto no = [](auto) { return false; };
    EXPECT_THROW(static_cast<void>(at.get(touchy(-1), zero, no)), std::runtime_error);
    EXPECT_THROW(at.set(touchy(-1), touchy(5), {}, 0), std::runtime_error);
    EXPECT_THROW(static_cast<void>(at.erase(touchy(-1), 0)), std::runtime_error);
    EXPECT_THROW(at.update(touchy(1), zero, [](const touchy&) -> touchy { throw std::runtime_error("no"); }), std::runtime_error);
    touchy::copies_left = 0;  // of the key
    EXPECT_THROW(at.update(touchy(1), zero, [](const touchy& was) { return touchy(was.value + 1); }), std::runtime_error);
    touchy::copies_left = 1000;
    EXPECT_EQ(at.get(touchy(1), zero, no)->value, 10);
    EXPECT_EQ(at.get(touchy(2), zero, no)->value, 20);
    EXPECT_TRUE(at.check());
    EXPECT_EQ(at.clear(0), 2U);
    EXPECT_EQ(touchy::alive, 0);
    at.set(touchy(1), touchy(11), {}, 0);
  }
  EXPECT_EQ(touchy::alive, 0);
}

TEST(cache_core, says_why_a_key_has_a_value_or_has_none) {
  core at(options{.capacity = 4, .ttl = 60s, .negative_ttl = 5s, .stale_if_error = 60s});
  const auto why = [&](const char* key, std::int64_t now) { return at.why(key, now); };
  EXPECT_EQ(why("a", 0), "not there: never set, or it left before the last 64 entries that left its shard");
  at.set("a", 1, {}, 0);
  EXPECT_EQ(why("a", 3 * second), "there: written 3.0 s ago, expires in 57.0 s, not hit lately; weighs 1, in the small queue");
  EXPECT_EQ(look(at, "a", 4 * second), 1);
  EXPECT_EQ(why("a", 5 * second), "there: written 5.0 s ago, expires in 55.0 s, hit lately; weighs 1, in the small queue");
  EXPECT_EQ(why("a", 70 * second), "there: written 70.0 s ago, stale since 10.0 s, served only by get_or_load and get_stale, "
                                   "until 50.0 s from now, hit lately; weighs 1, in the small queue");
  at.erase("a", 71 * second);
  EXPECT_EQ(why("a", 73 * second), "not there: erased 2.0 s ago");
  at.set("b", 1, {.ttl = 1s, .weight = 0}, 80 * second);
  EXPECT_EQ(why("b", 80 * second), "there: written 0 us ago, expires in 1.0 s, not hit lately; pinned, for it weighs 0");
  EXPECT_EQ(look(at, "b", 141 * second), std::nullopt);
  EXPECT_EQ(why("b", 142 * second), "not there: its time was over, seen 1.0 s ago");
  for (const char* key : {"c", "d", "e", "f", "g"}) at.set(key, 1, {}, 150 * second);
  EXPECT_EQ(why("c", 152 * second), "not there: evicted 2.0 s ago to make room, from the old end of the small queue");
  at.set("g", 1, {.weight = 9}, 153 * second);
  EXPECT_EQ(why("g", 154 * second),
            "not there: 1.0 s ago a value under this key was too heavy for its shard, and an older one must not stay");
  core::load loading(at, core::hash_of("h"), 160 * second);
  EXPECT_EQ(why("h", 160 * second + second / 2), "not there: never set, or it left before the last 64 entries that left its shard; "
                                                 "a load is under way since 500 ms");
  EXPECT_FALSE(loading.brings_nothing("h", 161 * second));
  EXPECT_EQ(why("h", 162 * second), "there, as known to be absent: the loader found nothing 1.0 s ago, expires in 4.0 s, not hit "
                                    "lately; weighs 1, in the small queue; a load is under way since 2.0 s");
}

TEST(cache_core, a_load_brings_what_counts_unless_something_was_said_meanwhile) {
  core at(options{});
  const std::uint64_t hash = core::hash_of("a");
  {
    core::load one(at, hash, 0);
    EXPECT_EQ(*one.brings("a", 1, 0), 1);
    EXPECT_EQ(look(at, "a", 0), 1);
  }
  {
    core::load one(at, hash, 0);
    at.set("a", 2, {}, 0);
    EXPECT_EQ(*one.brings("a", 1, 0), 2);  // the one that was set is newer
    EXPECT_EQ(look(at, "a", 0), 2);
  }
  {
    core::load one(at, hash, 0);
    EXPECT_EQ(*at.update("a", [] { return second; }, [](int was) { return was + 1; }), 3);
    EXPECT_EQ(*one.brings("a", 1, 0), 3);
    EXPECT_EQ(look(at, "a", 0), 3);
  }
  {
    core::load one(at, hash, 0);
    EXPECT_TRUE(at.erase("a", 0));
    EXPECT_EQ(*one.brings("a", 1, 0), 1);  // for who asked, and for nobody after
    EXPECT_TRUE(one.superseded());
    EXPECT_EQ(look(at, "a", 0), std::nullopt);
  }
  {
    core::load one(at, hash, 0);
    at.erase("a", 0);  // of what is not there
    EXPECT_EQ(*one.brings("a", 1, 0), 1);
    EXPECT_EQ(look(at, "a", 0), std::nullopt);
  }
  {
    core::load one(at, hash, 0);
    at.clear(0);
    EXPECT_EQ(*one.brings("a", 1, 0), 1);
    EXPECT_EQ(look(at, "a", 0), std::nullopt);
  }
  {
    core::load one(at, hash, 0);
    at.set("a", 9, {}, 0);
    EXPECT_EQ(*one.brings_nothing("a", 0), 9);  // so it is with a load that finds nothing
    EXPECT_FALSE(one.superseded());
    EXPECT_EQ(look(at, "a", 0), 9);
  }
  {
    core::load one(at, hash, 0);
    at.set("b", 9, {}, 0);  // another key
    EXPECT_FALSE(one.brings_nothing("a", 0));
    EXPECT_EQ(look(at, "a", 0), std::nullopt);
  }
  EXPECT_EQ(at.statistics().loads_outdated, 6U);
  EXPECT_EQ(at.statistics().departed(lv::cache_departure::absent), 1U);
}
