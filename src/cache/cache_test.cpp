// The face of the cache: loads, stale answers and refreshes, in virtual time and from seeds.

#include "levity/cache/cache.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "levity/sync/semaphore.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;

namespace {

using strings = lv::cache<std::string, int>;

template <class F, class... Args>
void from_seeds(F f, Args... args) {
  for (std::uint64_t seed = 1; seed <= 20; seed++) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ASSERT_EQ(lv::run_with({.backend = lv::runtime_options::sockets::sim, .seed = seed}, f, args...), 0);
  }
}

// Where values are loaded from: how often, how long it takes, and whether it fails.
struct source {
  int loads = 0;
  lv::duration takes = 100ms;
  bool throws = false;
  bool none = false;
  std::string error;

  lv::task<int> load() {
    const int number = ++loads;
    co_await lv::sleep(takes);
    if (throws) throw std::runtime_error("as told");
    co_return number;
  }
  lv::task<std::optional<int>> load_if_any() {
    const int number = ++loads;
    co_await lv::sleep(takes);
    if (none) co_return std::nullopt;
    co_return number;
  }
  lv::task<std::expected<int, std::string>> load_or_say() {
    const int number = ++loads;
    co_await lv::sleep(takes);
    if (!error.empty()) co_return std::unexpected(error);
    co_return number;
  }
};

struct scene {
  strings of;
  source from;
  std::vector<int> got = {};  // -1: failed, -2: cancelled, -3: out of time
};

lv::task<> ask(scene* at, std::string key) {
  int result = 0;
  try {
    const lv::cached<int> value = co_await at->of.get_or_load(std::move(key), [at] { return at->from.load(); });
    result = *value;
  } catch (const std::runtime_error&) {
    result = -1;
  } catch (const lv::cancelled& why) {
    result = why.reason() == lv::cancel_reason::deadline ? -3 : -2;
  }
  at->got.push_back(result);
}

lv::task<> ask_until(scene* at, std::string key, lv::duration patience) {
  co_await lv::with_deadline(patience, ask(at, std::move(key)));
}

}  // namespace

TEST(cache, what_is_set_is_got_what_is_replaced_is_not_and_what_is_erased_is_gone) {
  strings of;
  EXPECT_FALSE(of.get("a"));
  EXPECT_FALSE(of.get("a").known_absent());
  EXPECT_TRUE(of.set("a", 1));
  EXPECT_EQ(*of.get("a"), 1);
  EXPECT_TRUE(of.set("a", 2));
  EXPECT_EQ(*of.get("a"), 2);
  EXPECT_TRUE(of.erase("a"));
  EXPECT_FALSE(of.erase("a"));
  EXPECT_FALSE(of.get("a"));
  EXPECT_FALSE(of.update("a", [](int was) { return was + 1; }));
  EXPECT_FALSE(of.get("a"));
  const lv::cache_statistics seen = of.statistics();
  EXPECT_EQ(seen.hits, 2U);
  EXPECT_EQ(seen.misses, 4U);
  EXPECT_EQ(seen.sets, 2U);
  EXPECT_EQ(seen.dropped, 0U);
  EXPECT_EQ(seen.departed(lv::cache_departure::erased), 1U);
  EXPECT_DOUBLE_EQ(seen.hit_ratio(), 2.0 / 6);
}

// --- The recipe: read, copy, change the copy, store it. Between reading and storing others do the same. ---

namespace {

struct order {
  int shipped = 0;
};
using orders = lv::cache<int, order>;

lv::task<> ship_by_the_recipe(orders* of) {
  const lv::cached<order> found = of->get(42);
  order copy = *found;
  co_await lv::yield();  // whatever takes a moment
  copy.shipped++;
  static_cast<void>(of->set(42, copy));
}

lv::task<> ship_by_update(orders* of, int* calls) {
  co_await lv::yield();
  const lv::cached<order> now = of->update(42, [&](order was) {
    ++*calls;
    was.shipped++;
    return was;
  });
  EXPECT_TRUE(now);
}

}  // namespace

TEST(cache, reading_copying_and_storing_loses_updates_and_update_loses_none) {
  from_seeds([]() -> lv::task<> {
    orders recipe;
    orders ours;
    static_cast<void>(recipe.set(42, {}));
    static_cast<void>(ours.set(42, {}));
    int calls = 0;
    lv::scope all;
    for (int i = 0; i < 100; i++) {
      all.spawn(ship_by_the_recipe, &recipe);
      all.spawn(ship_by_update, &ours, &calls);
    }
    co_await all.join();
    EXPECT_LT(recipe.get(42)->shipped, 100);
    EXPECT_EQ(ours.get(42)->shipped, 100);
    EXPECT_GE(calls, 100);
  });
}

TEST(cache, an_update_that_others_came_before_is_made_again_from_what_they_left) {
  strings of;
  static_cast<void>(of.set("a", 1));
  int calls = 0;
  const lv::cached<int> now = of.update("a", [&](int was) {
    if (++calls == 1) static_cast<void>(of.set("a", 10));
    return was + 1;
  });
  EXPECT_EQ(*now, 11);
  EXPECT_EQ(*of.get("a"), 11);
  EXPECT_EQ(calls, 2);
  const lv::cached<int> none = of.update("a", [&](int was) {
    of.erase("a");
    return was + 1;
  });
  EXPECT_FALSE(none);
  EXPECT_FALSE(of.get("a"));
}

// --- Loads ---

TEST(cache, of_all_who_ask_one_loads_and_the_others_get_what_it_brings) {
  from_seeds([]() -> lv::task<> {
    scene at{};
    lv::scope askers;
    for (int i = 0; i < 100; i++) askers.spawn(ask, &at, std::string("a"));
    co_await askers.join();
    EXPECT_EQ(at.got, std::vector<int>(100, 1));
    EXPECT_EQ(at.from.loads, 1);
    EXPECT_EQ(*at.of.get("a"), 1);
    const lv::cache_statistics seen = at.of.statistics();
    EXPECT_EQ(seen.loads, 1U);
    EXPECT_EQ(seen.misses, 100U);
    EXPECT_EQ(seen.load_ns.count(), 1U);
    EXPECT_GE(seen.load_ns.max(), 100'000'000U);
    EXPECT_LE(seen.load_ns.max(), 105'000'000U);
  });
}

TEST(cache, who_waits_for_a_load_has_its_own_deadline) {
  from_seeds([]() -> lv::task<> {
    scene at{};
    lv::scope askers;
    askers.spawn(ask, &at, std::string("a"));
    co_await lv::sleep(1ms);
    for (int i = 0; i < 3; i++) askers.spawn(ask_until, &at, std::string("a"), lv::duration(20ms));
    const lv::time_point began = lv::clock::now();
    co_await lv::sleep(30ms);
    EXPECT_EQ(at.got, std::vector<int>(3, -3));
    co_await askers.join();
    EXPECT_LE(lv::clock::now() - began, 101ms);
    EXPECT_EQ(at.got, (std::vector<int>{-3, -3, -3, 1}));
    EXPECT_EQ(at.from.loads, 1);
  });
}

TEST(cache, when_the_one_that_loads_is_out_of_time_another_one_begins_anew_and_nobody_else_fails) {
  from_seeds([]() -> lv::task<> {
    scene at{};
    lv::scope askers;
    askers.spawn(ask_until, &at, std::string("a"), lv::duration(50ms));
    co_await lv::sleep(1ms);
    for (int i = 0; i < 5; i++) askers.spawn(ask, &at, std::string("a"));
    co_await askers.join();
    EXPECT_EQ(at.got, (std::vector<int>{-3, 2, 2, 2, 2, 2}));
    EXPECT_EQ(at.from.loads, 2);
    EXPECT_EQ(at.of.statistics().loads, 1U);
  });
}

TEST(cache, a_load_that_fails_fails_for_all_who_wait_and_is_not_remembered) {
  from_seeds([]() -> lv::task<> {
    scene at{};
    at.from.throws = true;
    lv::scope askers;
    for (int i = 0; i < 10; i++) askers.spawn(ask, &at, std::string("a"));
    co_await askers.join();
    EXPECT_EQ(at.got, std::vector<int>(10, -1));
    EXPECT_EQ(at.from.loads, 1);
    at.from.throws = false;
    at.got.clear();
    co_await ask(&at, "a");
    EXPECT_EQ(at.got, std::vector<int>{2});
    EXPECT_EQ(at.of.statistics().load_failures, 1U);
  });
}

namespace {

lv::task<> ask_for_a_value(scene* at, std::vector<std::string>* said) {
  const std::expected<lv::cached<int>, std::string> got =
      co_await at->of.get_or_load("a", [at](const std::string&) { return at->from.load_or_say(); });
  said->push_back(got ? std::to_string(**got) : got.error());
}

}  // namespace

TEST(cache, a_failure_that_is_a_value_is_one_for_all_and_who_cannot_know_it_loads_by_itself) {
  from_seeds([]() -> lv::task<> {
    scene at{};
    at.from.error = "the store is down";
    std::vector<std::string> said;
    lv::scope askers;
    askers.spawn(ask_for_a_value, &at, &said);
    co_await lv::sleep(1ms);
    askers.spawn(ask_for_a_value, &at, &said);
    askers.spawn(ask, &at, std::string("a"));  // its loader has no such failure
    co_await askers.join();
    EXPECT_EQ(said, std::vector<std::string>(2, "the store is down"));
    EXPECT_EQ(at.got, std::vector<int>{2});
    at.from.error.clear();
    at.of.erase("a");
    co_await ask_for_a_value(&at, &said);
    EXPECT_EQ(said.back(), "3");
  });
}

TEST(cache, that_there_is_nothing_is_remembered_for_as_long_as_was_said) {
  from_seeds([]() -> lv::task<> {
    scene at{strings({.ttl = 1h, .negative_ttl = 5s}), {}};
    at.from.none = true;
    for (int i = 0; i < 3; i++) {
      const lv::cached<int> got = co_await at.of.get_or_load("a", [&at] { return at.from.load_if_any(); });
      EXPECT_FALSE(got);
      EXPECT_TRUE(got.known_absent());
    }
    EXPECT_EQ(at.from.loads, 1);
    EXPECT_TRUE(at.of.get("a").known_absent());
    co_await lv::sleep(5s);
    EXPECT_FALSE(at.of.get("a").known_absent());
    at.from.none = false;
    const lv::cached<int> got = co_await at.of.get_or_load("a", [&at] { return at.from.load_if_any(); });
    EXPECT_EQ(*got, 2);
  });
}

TEST(cache, that_there_is_nothing_is_not_remembered_unless_it_was_said_for_how_long) {
  from_seeds([]() -> lv::task<> {
    scene at{};
    at.from.none = true;
    for (int i = 0; i < 3; i++) {
      const lv::cached<int> got = co_await at.of.get_or_load("a", [&at] { return at.from.load_if_any(); });
      EXPECT_FALSE(got);
    }
    EXPECT_EQ(at.from.loads, 3);
  });
}

TEST(cache, what_is_set_or_erased_during_a_load_counts_more_than_what_it_brings) {
  from_seeds([]() -> lv::task<> {
    scene at{};
    lv::scope askers;
    askers.spawn(ask, &at, std::string("a"));
    askers.spawn(ask, &at, std::string("b"));
    co_await lv::sleep(50ms);
    static_cast<void>(at.of.set("a", 70));
    at.of.erase("b");
    co_await askers.join();
    EXPECT_EQ(*at.of.get("a"), 70);
    EXPECT_FALSE(at.of.get("b"));
    EXPECT_EQ(at.of.statistics().loads_outdated, 2U);
  });
}

TEST(cache, who_asks_after_an_erasure_is_not_given_what_was_being_loaded_before_it) {
  from_seeds([]() -> lv::task<> {
    scene at{};
    lv::scope askers;
    askers.spawn(ask, &at, std::string("a"));
    co_await lv::sleep(50ms);
    at.of.erase("a");
    askers.spawn(ask, &at, std::string("a"));
    co_await askers.join();
    EXPECT_EQ(at.from.loads, 2);
    EXPECT_EQ(at.got.back(), 2);
    EXPECT_EQ(*at.of.get("a"), 2);
  });
}

TEST(cache, within_stale_if_error_who_cannot_have_a_new_value_gets_the_old_one) {
  from_seeds([]() -> lv::task<> {
    scene at{strings({.ttl = 10s, .stale_if_error = 60s}), {}};
    co_await ask(&at, "a");
    co_await lv::sleep(10s);
    at.from.throws = true;
    co_await ask(&at, "a");                                    // the load fails
    co_await ask_until(&at, "a", 10ms);                        // the load takes too long
    EXPECT_EQ(at.got, (std::vector<int>{1, 1, 1}));
    EXPECT_EQ(at.of.statistics().stale_hits, 2U);
    EXPECT_FALSE(at.of.get("a"));                              // for who does not ask for more it is over
    EXPECT_EQ(*at.of.get_stale("a"), 1);
    EXPECT_TRUE(at.of.get_stale("a").is_stale());
    at.from.throws = false;
    co_await ask(&at, "a");
    EXPECT_EQ(at.got.back(), 4);                               // a new one if it can be had
    at.from.throws = true;
    co_await lv::sleep(71s);
    co_await ask(&at, "a");
    EXPECT_EQ(at.got.back(), -1);                              // not for ever
  });
}

TEST(cache, who_is_cancelled_while_he_waits_is_told_so_and_given_nothing_stale) {
  from_seeds([]() -> lv::task<> {
    scene at{strings({.ttl = 10s, .stale_if_error = 60s}), {}};
    co_await ask(&at, "a");
    co_await lv::sleep(11s);
    lv::scope askers;
    askers.spawn(ask, &at, std::string("a"));
    co_await lv::sleep(10ms);
    askers.cancel();
    co_await askers.join();
    EXPECT_EQ(at.got, (std::vector<int>{1, -2}));
  });
}

// --- Refreshes ---

namespace {

struct bulk_source {
  std::vector<std::size_t> batches = {};
  std::map<std::string, int> versions = {};
  lv::duration takes = 20ms;
  bool fails = false;
  std::string gone = {};

  lv::task<std::vector<std::optional<int>>> load(std::vector<std::string> keys) {
    batches.push_back(keys.size());
    co_await lv::sleep(takes);
    if (fails) throw std::runtime_error("as told");
    std::vector<std::optional<int>> values;
    for (const std::string& key : keys) {
      if (key == gone) {
        values.emplace_back();
      } else {
        values.emplace_back(++versions[key]);
      }
    }
    co_return values;
  }
};

lv::task<> keeps_fresh(strings* of, bulk_source* from) {
  co_await of->keep_fresh([from](std::vector<std::string> keys) { return from->load(std::move(keys)); });
}

lv::task<> keeps_fresh_one_by_one(strings* of, source* from) {
  co_await of->keep_fresh([from](const std::string&) { return from->load(); });
}

}  // namespace

TEST(cache, what_was_read_is_loaded_anew_at_four_fifths_of_its_time_and_what_was_not_is_not) {
  from_seeds([]() -> lv::task<> {
    strings of({.ttl = 100s, .refresh_ahead = true});
    bulk_source from{};
    lv::scope background;
    background.spawn(keeps_fresh, &of, &from);
    co_await lv::sleep(1ms);  // it is there
    for (int i = 0; i < 40; i++) static_cast<void>(of.set(std::to_string(i), 0));
    for (int i = 0; i < 10; i++) EXPECT_TRUE(of.get(std::to_string(i)));
    co_await lv::sleep(71s);
    EXPECT_TRUE(from.versions.empty());
    co_await lv::sleep(9s);
    EXPECT_FALSE(from.versions.empty());
    co_await lv::sleep(13s);
    EXPECT_EQ(from.versions.size(), 10U);
    for (int i = 0; i < 10; i++) EXPECT_EQ(*of.get(std::to_string(i)), 1);  // read again: fresh for another 100 s
    co_await lv::sleep(10s);
    for (int i = 10; i < 40; i++) EXPECT_FALSE(of.get(std::to_string(i)));
    const lv::cache_statistics seen = of.statistics();
    EXPECT_EQ(seen.refreshes, 10U);
    EXPECT_EQ(seen.loads, 10U);
    background.cancel();
    co_await background.join();
  });
}

TEST(cache, what_is_asked_for_while_it_is_stale_is_given_out_at_once_and_loaded_anew_behind) {
  from_seeds([]() -> lv::task<> {
    scene at{strings({.ttl = 10s, .stale_while_revalidate = 30s}), {}};
    bulk_source from{};
    lv::scope background;
    background.spawn(keeps_fresh, &at.of, &from);
    co_await lv::sleep(1ms);
    static_cast<void>(at.of.set("a", 0));
    co_await lv::sleep(11s);
    const lv::time_point asked = lv::clock::now();
    for (int i = 0; i < 5; i++) co_await ask(&at, "a");
    EXPECT_EQ(lv::clock::now(), asked);
    EXPECT_EQ(at.got, std::vector<int>(5, 0));
    co_await lv::sleep(50ms);
    EXPECT_EQ(from.batches, std::vector<std::size_t>{1});
    EXPECT_EQ(*at.of.get("a"), 1);
    EXPECT_EQ(at.from.loads, 0);
    co_await lv::sleep(41s);
    co_await ask(&at, "a");  // too old for that: loaded while he waits
    EXPECT_EQ(at.from.loads, 1);
    background.cancel();
    co_await background.join();
    co_await lv::sleep(11s);
    co_await ask(&at, "a");  // nobody would load it behind
    EXPECT_EQ(at.from.loads, 2);
    EXPECT_EQ(at.got.back(), 2);
  });
}

TEST(cache, what_comes_due_at_the_same_time_is_loaded_together_fifty_at_a_time) {
  from_seeds([]() -> lv::task<> {
    scene at{strings({.ttl = 10s, .stale_while_revalidate = 30s}), {}};
    bulk_source from{};
    lv::scope background;
    background.spawn(keeps_fresh, &at.of, &from);
    co_await lv::sleep(1ms);
    for (int i = 0; i < 120; i++) static_cast<void>(at.of.set(std::to_string(i), 0));
    co_await lv::sleep(11s);
    for (int i = 0; i < 120; i++) co_await ask(&at, std::to_string(i));
    co_await lv::sleep(1s);
    EXPECT_EQ(from.batches, (std::vector<std::size_t>{50, 50, 20}));
    for (int i = 0; i < 120; i++) EXPECT_EQ(*at.of.get(std::to_string(i)), 1);
    EXPECT_EQ(at.of.statistics().refresh_batches, 3U);
    background.cancel();
    co_await background.join();
  });
}

TEST(cache, a_refresh_that_fails_leaves_what_is_there_and_is_tried_again) {
  from_seeds([]() -> lv::task<> {
    scene at{strings({.ttl = 10s, .stale_while_revalidate = 30s}), {}};
    bulk_source from{};
    from.fails = true;
    lv::scope background;
    background.spawn(keeps_fresh, &at.of, &from);
    co_await lv::sleep(1ms);
    static_cast<void>(at.of.set("a", 7));
    co_await lv::sleep(11s);
    for (int i = 0; i < 10; i++) {
      co_await ask(&at, "a");
      co_await lv::sleep(100ms);
    }
    EXPECT_EQ(from.batches.size(), 1U);  // no sooner than a second later
    EXPECT_EQ(at.got, std::vector<int>(10, 7));
    from.fails = false;
    co_await lv::sleep(1s);
    co_await ask(&at, "a");
    co_await lv::sleep(100ms);
    EXPECT_EQ(*at.of.get("a"), 1);
    EXPECT_EQ(at.of.statistics().load_failures, 1U);
    background.cancel();
    co_await background.join();
  });
}

TEST(cache, a_refresh_takes_out_what_is_no_more_and_leaves_alone_what_was_set_meanwhile) {
  from_seeds([]() -> lv::task<> {
    scene at{strings({.ttl = 10s, .stale_while_revalidate = 30s}), {}};
    bulk_source from{};
    from.gone = "b";
    from.takes = 1s;
    lv::scope background;
    background.spawn(keeps_fresh, &at.of, &from);
    co_await lv::sleep(1ms);
    static_cast<void>(at.of.set("a", 7));
    static_cast<void>(at.of.set("b", 8));
    co_await lv::sleep(11s);
    co_await ask(&at, "a");
    co_await ask(&at, "b");
    co_await lv::sleep(500ms);
    static_cast<void>(at.of.set("a", 70));
    co_await lv::sleep(1s);
    EXPECT_EQ(*at.of.get("a"), 70);
    EXPECT_FALSE(at.of.get_stale("b"));
    background.cancel();
    co_await background.join();
  });
}

TEST(cache, a_loader_of_one_key_refreshes_side_by_side) {
  from_seeds([]() -> lv::task<> {
    scene at{strings({.ttl = 10s, .stale_while_revalidate = 30s}), {}};
    lv::scope background;
    background.spawn(keeps_fresh_one_by_one, &at.of, &at.from);
    co_await lv::sleep(1ms);
    for (int i = 0; i < 20; i++) static_cast<void>(at.of.set(std::to_string(i), 0));
    co_await lv::sleep(11s);
    for (int i = 0; i < 20; i++) co_await ask(&at, std::to_string(i));
    co_await lv::sleep(150ms);  // each takes 100
    EXPECT_EQ(at.from.loads, 20);
    for (int i = 0; i < 20; i++) EXPECT_GT(*at.of.get(std::to_string(i)), 0);
    background.cancel();
    co_await background.join();
  });
}

TEST(cache, keeps_a_loader_for_as_long_as_it_loads_and_no_longer) {
  from_seeds([]() -> lv::task<> {
    strings of({.ttl = 10s, .stale_while_revalidate = 30s});
    const auto from = std::make_shared<source>();
    const auto gets = [&] {
      const auto loads = [from] { return from->load(); };
      return of.get_or_load("a", loads);
    };
    for (int i = 0; i < 2; i++) {
      const lv::cached<int> got = co_await gets();
      EXPECT_EQ(*got, 1);
    }
    EXPECT_EQ(from.use_count(), 1);

    const auto keeps = [](strings* fresh, std::shared_ptr<source> its) -> lv::task<> {
      const auto starts = [&] {
        const auto loads = [its](const std::string&) { return its->load(); };
        return fresh->keep_fresh(loads);
      };
      co_await starts();
    };
    lv::scope background;
    background.spawn(keeps, &of, from);
    co_await lv::sleep(11s);
    (void)co_await gets();
    co_await lv::sleep(1s);
    EXPECT_EQ(*of.get("a"), 2);
    background.cancel();
    co_await background.join();
    EXPECT_EQ(from.use_count(), 1);
  });
}

TEST(cache, a_refresher_takes_out_what_is_over_without_being_asked) {
  from_seeds([]() -> lv::task<> {
    strings of({.ttl = 10s});
    bulk_source from{};
    lv::scope background;
    background.spawn(keeps_fresh, &of, &from);
    for (int i = 0; i < 100; i++) static_cast<void>(of.set(std::to_string(i), 0));
    co_await lv::sleep(11s);
    EXPECT_EQ(of.statistics().entries, 0U);
    background.cancel();
    co_await background.join();
    for (int i = 0; i < 100; i++) static_cast<void>(of.set(std::to_string(i), 0));
    co_await lv::sleep(10s);
    EXPECT_EQ(of.sweep(), 100U);
    EXPECT_EQ(of.statistics().departed(lv::cache_departure::expired), 200U);
  });
}

TEST(cache, a_cache_that_goes_lets_go_of_what_was_due) {
  from_seeds([]() -> lv::task<> {
    lv::cached<int> kept;
    {
      scene at{strings({.ttl = 10s, .stale_while_revalidate = 30s}), {}};
      source slow;
      slow.takes = 1h;
      lv::scope background;
      background.spawn(keeps_fresh_one_by_one, &at.of, &slow);
      co_await lv::sleep(1ms);
      for (int i = 0; i < 5; i++) static_cast<void>(at.of.set(std::to_string(i), i));
      co_await lv::sleep(11s);
      co_await ask(&at, "0");
      co_await lv::sleep(100ms);  // it loads
      co_await ask(&at, "1");     // and these wait
      co_await ask(&at, "2");
      kept = at.of.get_stale("1");
      background.cancel();
      co_await background.join();
    }
    EXPECT_EQ(*kept, 1);
  });
}
