// Goal: whatever the store answered stays true, whoever asked at once, whatever the disk did, whenever it was stopped.
// Method: a real runtime, real files; what was answered is written down, and compared with what recovery finds.
#include "reference/store.hpp"

#include <array>
#include <map>
#include <mutex>

#include <gtest/gtest.h>

#include "reference/result_of.hpp"
#include "reference/test_support.hpp"
#include "tests/support/run_tasks.hpp"

namespace orders {
namespace {

namespace lv = levity;
using test::file_size_limit;
using test::temporary_directory;

new_order order_of(const std::string& customer, std::uint32_t quantity) {
  const std::array items{order_item{"sku-1", quantity}};
  return *pack_contents(customer, items);
}

// What a client was told.
struct told {
  std::mutex lock;
  std::map<std::uint64_t, std::string> contents_of;  // by id
  std::map<std::string, std::uint64_t> id_of;        // by key
  std::map<std::uint64_t, order_view> changed;       // the newest version seen
  int refused = 0;
  int repeated = 0;

  void placed(const std::string& key, const store::placed& answer) {
    const std::lock_guard guard{lock};
    repeated += answer.repeated ? 1 : 0;
    contents_of[answer.order.id] = answer.order.contents.packed();
    const auto [known, is_new] = id_of.try_emplace(key, answer.order.id);
    EXPECT_EQ(known->second, answer.order.id) << key << " made two orders";
  }
  void saw(const order_view& order) {
    const std::lock_guard guard{lock};
    order_view& newest = changed[order.id];
    if (order.version > newest.version || newest.id == 0) newest = order;
  }
};

store make_store(const std::string& directory, store_options options = {}) {
  auto state = result_of(recover(directory));
  if (!state) throw std::runtime_error(state.error());
  EXPECT_TRUE(state->warnings.empty()) << state->warnings.front();
  return store{std::move(*state), directory, options};
}

// Everything that was told is in what recovery finds.
void expect_kept(const std::string& directory, const told& all) {
  const auto found = result_of(recover(directory));
  ASSERT_TRUE(found) << found.error();
  ASSERT_EQ(found->orders.check_invariants(), std::nullopt);
  for (const auto& [id, contents] : all.contents_of) {
    const auto order = found->orders.find(id);
    ASSERT_TRUE(order) << "order " << id << " was acknowledged and is lost";
    ASSERT_EQ(order->contents.packed(), contents);
  }
  for (const auto& [key, id] : all.id_of) {
    const auto order = found->orders.find_by_key(key);
    ASSERT_TRUE(order) << key;
    ASSERT_EQ(order->id, id) << key;
  }
  for (const auto& [id, seen] : all.changed) {
    const auto order = found->orders.find(id);
    ASSERT_TRUE(order);
    ASSERT_GE(order->version, seen.version) << "a change of order " << id << " was acknowledged and is lost";
    if (order->version == seen.version) { ASSERT_EQ(order->status, seen.status); }
  }
}

// One client: places under keys that it shares with the others, changes, reads.
lv::task<> client(store* asked, told* all, std::uint64_t seed, int requests) {
  test::random_orders random{seed};
  for (int i = 0; i < requests; i++) {
    const std::uint64_t kind = random.below(10);
    if (kind < 6) {
      const std::uint64_t number = random.below(static_cast<std::uint64_t>(requests) * 4);
      const std::string key = "key-" + std::to_string(number);
      const new_order wanted = order_of("c-" + std::to_string(number % 7), static_cast<std::uint32_t>(number + 1));
      const auto answer = co_await asked->place(wanted, key);
      if (answer) {
        all->placed(key, *answer);
      } else {
        const std::lock_guard guard{all->lock};
        all->refused++;
      }
    } else {
      std::uint64_t id = 0;
      {
        const std::lock_guard guard{all->lock};
        if (!all->contents_of.empty()) id = 1 + random.below(all->contents_of.rbegin()->first);
      }
      if (id == 0) continue;
      if (kind < 8) {
        const auto to = static_cast<order_status>(random.below(order_status_count));
        const auto answer = co_await asked->change(id, {to, {}});
        if (answer) all->saw(*answer);
      } else if (kind == 8) {
        const auto answer = co_await asked->find(id);
        if (answer) all->saw(*answer);
      } else {
        const auto page = co_await asked->list("c-" + std::to_string(id % 7), 0, 20);
        if (page) {
          for (const order_view& each : page->orders) all->saw(each);
        }
      }
    }
  }
}

lv::task<> clients(store* asked, told* all, int count, int requests) {
  lv::scope parts;
  for (int i = 0; i < count; i++) parts.spawn(client, asked, all, static_cast<std::uint64_t>(i) + 1, requests);
  co_await parts.join();
}

// `use` with a running store, then a stop in order.
template <class Use>
lv::task<> with_store(store* kept, Use use) {
  lv::scope parts;
  parts.spawn("store", [](store* runs) { return runs->run(); }, kept);
  co_await use(kept);
  kept->stop();
  co_await parts.join();
}

TEST(store, what_many_clients_were_told_at_once_is_what_recovery_finds) {
  const temporary_directory directory;
  told all;
  {
    store kept = make_store(directory.path());
    lv::test::run_tasks(2, [](store* runs, told* notes) {
      return with_store(runs, [notes](store* asked) { return clients(asked, notes, 32, 200 / lv::test::slow_build_factor + 20); });
    }, &kept, &all);
    EXPECT_EQ(kept.look().failure, "");
    EXPECT_EQ(kept.look().waiting, 0u);
    EXPECT_EQ(kept.look().orders, all.id_of.size());
    EXPECT_GT(all.repeated, 0);
    EXPECT_EQ(all.refused, 0);
  }
  expect_kept(directory.path(), all);
}

TEST(store, one_key_used_by_many_at_once_makes_one_order) {
  const temporary_directory directory;
  told all;
  {
    store kept = make_store(directory.path());
    lv::test::run_tasks(2, [](store* runs, told* notes) {
      return with_store(runs, [notes](store* asked) -> lv::task<> {
        return [](store* to, told* into) -> lv::task<> {
          lv::scope parts;
          for (int i = 0; i < 200; i++) {
            parts.spawn([](store* place_in, told* note) -> lv::task<> {
              const new_order wanted = order_of("c", 1);
              const auto answer = co_await place_in->place(wanted, "the-key");
              EXPECT_TRUE(answer);
              if (answer) note->placed("the-key", *answer);
            }, to, into);
          }
          co_await parts.join();
        }(asked, notes);
      });
    }, &kept, &all);
    EXPECT_EQ(kept.look().orders, 1u);
    EXPECT_EQ(all.repeated, 199);
  }
  expect_kept(directory.path(), all);
}

TEST(store, requests_that_wait_when_it_stops_are_answered_and_what_was_acknowledged_is_kept) {
  for (std::uint64_t round = 0; round < 10; round++) {
    const temporary_directory directory;
    told all;
    {
      store kept = make_store(directory.path());
      lv::test::run_tasks(2, [](store* runs, told* notes, std::uint64_t turns) -> lv::task<> {
        lv::scope parts;
        parts.spawn("store", [](store* does) { return does->run(); }, runs);
        for (std::uint64_t i = 0; i < 40; i++) parts.spawn(client, runs, notes, i + 1, 20);
        for (std::uint64_t i = 0; i < turns * 3; i++) co_await lv::yield();
        runs->stop();
        co_await parts.join();
      }, &kept, &all, round);
      EXPECT_EQ(kept.look().waiting, 0u);
    }
    expect_kept(directory.path(), all);
  }
}

TEST(store, a_request_that_is_cancelled_while_it_waits_leaves_a_whole_order) {
  const temporary_directory directory;
  told all;
  {
    store kept = make_store(directory.path());
    lv::test::run_tasks(2, [](store* runs, told* notes) {
      return with_store(runs, [notes](store* asked) {
        return [](store* to, told* into) -> lv::task<> {
          for (int round = 0; round < 50; round++) {
            lv::scope parts;
            for (std::uint64_t i = 0; i < 8; i++) {
              parts.spawn(client, to, into, static_cast<std::uint64_t>(round) * 8 + i, 4);
            }
            for (int i = 0; i < round % 5; i++) co_await lv::yield();
            parts.cancel();
            co_await parts.join();
          }
        }(asked, notes);
      });
    }, &kept, &all);
    EXPECT_EQ(kept.look().waiting, 0u);
  }
  expect_kept(directory.path(), all);
}

// Traffic until the log has been compacted; how long that takes is the disk's affair. Twice as much each round: more
// requests are more keys, so more to write.
lv::task<> clients_until_compacted(store* asked, told* all) {
  constexpr int rounds_max = 6;
  for (int round = 0; round < rounds_max && asked->look().compactions == 0; round++) {
    co_await clients(asked, all, 32, (400 / lv::test::slow_build_factor + 100) << round);
  }
}

TEST(store, compacts_under_load_and_loses_nothing) {
  const temporary_directory directory;
  told all;
  for (int run = 0; run < 2; run++) {
    store kept = make_store(directory.path(), {.compact_log_size_min = 8 * 1024, .snapshot_slice_orders = 16});
    lv::test::run_tasks(2, [](store* runs, told* notes) {
      return with_store(runs, [notes](store* asked) { return clients_until_compacted(asked, notes); });
    }, &kept, &all);
    EXPECT_EQ(kept.look().failure, "");
    EXPECT_GE(kept.look().compactions, 1u);
  }
  expect_kept(directory.path(), all);
}

TEST(store, stops_at_any_moment_of_a_compaction) {
  for (std::uint64_t round = 0; round < 30; round++) {
    const temporary_directory directory;
    told all;
    {
      store kept = make_store(directory.path(), {.compact_log_size_min = 1024, .snapshot_slice_orders = 1});
      lv::test::run_tasks(2, [](store* runs, told* notes, std::uint64_t turns) -> lv::task<> {
        lv::scope parts;
        parts.spawn("store", [](store* does) { return does->run(); }, runs);
        for (std::uint64_t i = 0; i < 20; i++) parts.spawn(client, runs, notes, i + 1, 10);
        while (runs->look().durable_sequence < 20) co_await lv::yield();
        for (std::uint64_t i = 0; i < turns * turns; i++) co_await lv::yield();
        runs->stop();
        co_await parts.join();
      }, &kept, &all, round);
    }
    expect_kept(directory.path(), all);
    for (const auto& each : std::filesystem::directory_iterator(directory.path())) {
      EXPECT_NE(each.path().extension(), ".tmp") << each.path();
    }
  }
}

TEST(store, a_disk_that_fails_acknowledges_nothing_more_and_loses_nothing_acknowledged) {
  for (const lv::file_means means : {lv::file_means::automatic, lv::file_means::blocking}) {
    const temporary_directory directory;
    told all;
    {
      store kept = make_store(directory.path());
      const file_size_limit limit{20'000};
      lv::runtime_options options;
      options.workers = 2;
      options.handle_signals = false;
      options.files = means;
      lv::run_with(options, [](store* runs, told* notes) {
        return with_store(runs, [notes](store* asked) {
          return [](store* to, told* into) -> lv::task<> {
            co_await clients(to, into, 16, 100);
            const new_order wanted = order_of("c", 1);
            const auto late = co_await to->place(wanted, "late");
            EXPECT_FALSE(late);
            if (!late) { EXPECT_EQ(late.error().status, 503); }
            // Reads of what is durable go on, and nothing else is shown.
            const std::uint64_t durable = into->contents_of.begin()->first;
            EXPECT_TRUE(co_await to->find(durable));
            // The newest order is one of those that were refused, unless these only changed older ones.
            const std::uint64_t last = to->look().orders;
            const auto newest = co_await to->find(last);
            EXPECT_EQ(newest.has_value(), into->contents_of.contains(last));
            if (!newest) { EXPECT_EQ(newest.error().status, 503); }
          }(asked, notes);
        });
      }, &kept, &all);
      EXPECT_NE(kept.look().failure, "");
      EXPECT_EQ(kept.look().waiting, 0u);
      EXPECT_GT(all.refused, 0);
      EXPECT_GT(all.contents_of.size(), 10u);
    }
    // A torn tail is cut with a warning; everything acknowledged is before it.
    expect_kept(directory.path(), all);
  }
}

TEST(store, a_reader_leaves_a_disk_that_hangs_and_is_told_nothing_before) {
  const temporary_directory directory;
  store kept = make_store(directory.path());
  lv::test::run_tasks(2, [](store* asked) -> lv::task<> {
    // Nobody writes yet.
    lv::scope parts;
    parts.spawn([](store* to) -> lv::task<> {
      const new_order wanted = order_of("c", 1);
      EXPECT_TRUE(co_await to->place(wanted, "one"));
    }, asked);
    while (asked->look().waiting == 0) co_await lv::yield();
    for (int i = 0; i < 100; i++) {
      EXPECT_FALSE(co_await lv::with_timeout(std::chrono::microseconds(10 * i), asked->find(1)));
      EXPECT_FALSE(co_await lv::with_timeout(std::chrono::microseconds(10 * i), asked->list("c", 0, 10)));
    }
    EXPECT_EQ(asked->look().waiting, 1u) << "who left stands in line no more";
    // Some are being woken while they are cancelled.
    lv::scope readers;
    for (int i = 0; i < 200; i++) {
      readers.spawn([](store* from, int turn) -> lv::task<> {
        (void)co_await lv::with_timeout(std::chrono::microseconds(20 * turn), from->find(1));
      }, asked, i);
    }
    parts.spawn([](store* does) { return does->run(); }, asked);
    co_await readers.join();
    EXPECT_TRUE(co_await asked->find(1));
    EXPECT_EQ(asked->look().waiting, 0u);
    asked->stop();
    co_await parts.join();
  }, &kept);
}

TEST(store, what_an_order_owes_is_known_after_a_restart_until_it_was_settled) {
  const temporary_directory directory;
  const auto owing = [](store& kept) {
    std::map<std::uint64_t, owed> all;
    std::uint64_t after = 0;
    do {
      for (const order_view& order : kept.owing(after, 2)) all[order.id] = order.owes;
    } while (after != 0);
    return all;
  };
  {
    store kept = make_store(directory.path(), {.compact_log_size_min = 2048, .snapshot_slice_orders = 4});
    lv::test::run_tasks(2, [](store* runs) {
      return with_store(runs, [](store* to) {
        return [](store* asked) -> lv::task<> {
          for (std::uint64_t id = 1; id <= 60; id++) {
            const new_order wanted = order_of("c", 1);
            const auto made = co_await asked->place(wanted, {}, id % 2 == 0 ? owes_all : owed{0});
            if (id % 3 == 0) asked->settle(made->order.id, owes_charge);
            if (id % 4 == 0) asked->settle(made->order.id, owes_reservation);
          }
        }(to);
      });
    }, &kept);
    EXPECT_GT(kept.look().compactions, 0u) << "a snapshot must bear it, too";
  }
  store again = make_store(directory.path());
  std::map<std::uint64_t, owed> expected;
  for (std::uint64_t id = 2; id <= 60; id += 2) {
    const auto owes = static_cast<owed>((id % 3 == 0 ? 0 : owes_charge) | (id % 4 == 0 ? 0 : owes_reservation));
    if (owes != 0) expected[id] = owes;
  }
  EXPECT_EQ(owing(again), expected);
}

TEST(store, a_compaction_that_fails_leaves_a_service_that_goes_on) {
  const temporary_directory directory;
  told all;
  {
    store kept = make_store(directory.path(), {.compact_log_size_min = 2048, .snapshot_slice_orders = 4});
    // The snapshot's temporary name is taken by something that is no file.
    for (int generation = 2; generation < 4; generation++) {
      std::filesystem::create_directory(temporary_path(snapshot_path(directory.path(), static_cast<std::uint64_t>(generation))));
    }
    lv::test::run_tasks(2, [](store* runs, told* notes) {
      return with_store(runs, [notes](store* asked) { return clients(asked, notes, 16, 60); });
    }, &kept, &all);
    EXPECT_EQ(kept.look().failure, "");
    EXPECT_EQ(all.refused, 0);
    for (int generation = 2; generation < 4; generation++) {
      std::filesystem::remove(temporary_path(snapshot_path(directory.path(), static_cast<std::uint64_t>(generation))));
    }
  }
  expect_kept(directory.path(), all);
}

}  // namespace
}  // namespace orders
