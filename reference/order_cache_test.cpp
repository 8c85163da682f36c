// Goal: who reads an order through the cache never sees less than what was acknowledged before he asked; and sees something when
// the store does not answer.
#include "reference/order_cache.hpp"

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "reference/recovery.hpp"
#include "reference/result_of.hpp"
#include "reference/test_support.hpp"
#include "tests/support/run_tasks.hpp"

using namespace std::chrono_literals;

namespace orders {
namespace {

using test::file_size_limit;
using test::temporary_directory;

new_order one_tea() { return *pack_contents("me", std::array{order_item{"tea", 1}}); }

void with_store(const temporary_directory& in, unsigned workers, levity::task<> (*does)(store*)) {
  store kept(result_of(recover(in.path())).value(), in.path());
  levity::test::run_tasks(workers, [](store* runs, levity::task<> (*part)(store*)) -> levity::task<> {
    levity::scope writers;
    writers.spawn([](store* writes) { return writes->run(); }, runs);
    co_await part(runs);
    runs->stop();
    co_await writers.join();
  }, &kept, does);
}

std::uint32_t version_in(const std::string& json) { return parse_order(json).value().version; }

levity::task<> change_all(store* kept, order_cache* cache, std::uint64_t orders, std::vector<levity::atomic<std::uint32_t>>* told) {
  for (const order_status to : {order_status::paid, order_status::shipped, order_status::delivered}) {
    for (std::uint64_t id = 1; id <= orders; id++) {
      const auto changed = co_await kept->change(id, {to, {}});
      std::string json;
      write_order(json, *changed);
      cache->changed(*changed, json);
      (*told)[id].store(changed->version, std::memory_order_release);
    }
  }
}

levity::task<> read_all(order_cache* cache, std::uint64_t orders, std::vector<levity::atomic<std::uint32_t>>* told) {
  for (std::uint64_t i = 0; i < 60 * orders; i++) {
    const std::uint64_t id = 1 + i % orders;
    const std::uint32_t promised = (*told)[id].load(std::memory_order_acquire);
    const auto read = co_await cache->get(id);
    EXPECT_TRUE(read);
    if (read) { EXPECT_GE(version_in(read->json), promised) << "of order " << id; }
    if (i % 16 == 0) co_await levity::yield();
  }
}

TEST(order_cache, a_change_is_seen_by_who_asks_after_it_was_acknowledged) {
  const temporary_directory directory;
  with_store(directory, 4, [](store* kept) -> levity::task<> {
    constexpr std::uint64_t orders = 40;
    // So small that orders leave it all the time: most reads are loads.
    order_cache cache(*kept, nullptr, {.capacity = 8});
    const new_order wanted = one_tea();
    for (std::uint64_t id = 1; id <= orders; id++) (void)co_await kept->place(wanted, {});
    std::vector<levity::atomic<std::uint32_t>> told(orders + 1);
    levity::scope all;
    all.spawn(change_all, kept, &cache, orders, &told);
    for (int i = 0; i < 4; i++) all.spawn(read_all, &cache, orders, &told);
    co_await all.join();
    for (std::uint64_t id = 1; id <= orders; id++) EXPECT_EQ(version_in((co_await cache.get(id))->json), 4u);
  });
}

levity::task<> place_one(store* kept) {
  const new_order wanted = one_tea();
  (void)co_await kept->place(wanted, {});
}

levity::task<> change_one(store* kept) { (void)co_await kept->change(1, {order_status::paid, {}}); }

levity::task<> read_one(order_cache* cache, std::uint32_t* version) {
  const auto read = co_await cache->get(1);
  EXPECT_TRUE(read);
  if (read) *version = version_in(read->json);
}

levity::task<> until_waiting(store* kept, std::size_t requests) {
  while (kept->look().waiting < requests) co_await levity::yield();
}

TEST(order_cache, what_a_load_read_before_a_change_is_given_to_nobody_after_it) {
  const temporary_directory directory;
  store kept(result_of(recover(directory.path())).value(), directory.path());
  levity::test::run_tasks(2, [](store* runs) -> levity::task<> {
    order_cache cache(*runs, nullptr, {.get_time_max = 60s});
    std::uint32_t first = 0;
    std::uint32_t second = 0;
    // Nobody writes yet, so whoever has read the new order waits for the disk: the load of the first reader.
    levity::scope all;
    levity::scope readers;
    all.spawn(place_one, runs);
    co_await until_waiting(runs, 1);
    readers.spawn(read_one, &cache, &first);
    co_await until_waiting(runs, 2);
    all.spawn(change_one, runs);
    co_await until_waiting(runs, 3);
    const auto changed = runs->peek(1).value();
    EXPECT_EQ(changed.version, 2u);
    std::string json;
    write_order(json, changed);
    cache.changed(changed, json);
    // The second joins the load of the first.
    readers.spawn(read_one, &cache, &second);
    for (int i = 0; i < 1'000; i++) co_await levity::yield();
    all.spawn([](store* writes) { return writes->run(); }, runs);
    co_await readers.join();
    EXPECT_EQ(second, 2u);
    EXPECT_EQ(version_in((co_await cache.get(1))->json), 2u);
    runs->stop();
    co_await all.join();
  }, &kept);
}

TEST(order_cache, of_two_changes_the_later_version_stays_whoever_comes_first) {
  const temporary_directory directory;
  with_store(directory, 2, [](store* kept) -> levity::task<> {
    order_cache cache(*kept, nullptr);
    const new_order wanted = one_tea();
    (void)co_await kept->place(wanted, {});
    (void)co_await cache.get(1);
    const auto second = co_await kept->change(1, {order_status::paid, {}});
    const auto third = co_await kept->change(1, {order_status::shipped, {}});
    std::string json_of_second;
    std::string json_of_third;
    write_order(json_of_second, *second);
    write_order(json_of_third, *third);
    cache.changed(*third, json_of_third);
    cache.changed(*second, json_of_second);
    EXPECT_EQ((co_await cache.get(1))->json, json_of_third);
  });
}

TEST(order_cache, what_may_be_lost_is_not_shown_and_what_was_before_is_with_a_mark) {
  const temporary_directory directory;
  with_store(directory, 2, [](store* kept) -> levity::task<> {
    order_cache cache(*kept, nullptr, {.ttl = 20ms});
    const new_order wanted = one_tea();
    (void)co_await kept->place(wanted, {});
    (void)co_await kept->place(wanted, {});
    const auto before = co_await cache.get(1);
    EXPECT_TRUE(before);
    {
      const file_size_limit full{64};
      EXPECT_FALSE(co_await kept->change(1, {order_status::paid, {}}));
      EXPECT_FALSE(co_await kept->change(2, {order_status::paid, {}}));
    }
    co_await levity::sleep(30ms);
    const auto after = co_await cache.get(1);
    EXPECT_TRUE(after);
    if (after) {
      EXPECT_EQ(after->json, before->json);
      EXPECT_EQ(after->degraded, "stale; age=0");
    }
    EXPECT_EQ(cache.look().stale, 1u);
  });
}

TEST(order_cache, an_order_that_does_not_exist_is_not_looked_for_elsewhere) {
  const temporary_directory directory;
  with_store(directory, 2, [](store* kept) -> levity::task<> {
    order_cache cache(*kept, nullptr);
    const auto read = co_await cache.get(7);
    EXPECT_FALSE(read);
    if (!read) { EXPECT_EQ(read.error().status, 404); }
    EXPECT_EQ(cache.look().gets, 1u);
  });
}

}  // namespace
}  // namespace orders
