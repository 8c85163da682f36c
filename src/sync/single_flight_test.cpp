// Single flight: one call a key, its result for all, and nobody fails because somebody else gave up.

#include "levity/sync/single_flight.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "levity/base/rng.hpp"
#include "levity/levity.hpp"
#include "levity/sync/semaphore.hpp"
#include "tests/support/run_tasks.hpp"
#include "tests/support/settle.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::settle;
using levity::test::slow_build_factor;

namespace {

// A place to fetch from: each fetch waits for a permit.
struct source {
  lv::single_flight<std::string, int> flights;
  lv::semaphore gate{0};
  int fetches = 0;
  bool fails = false;
  std::vector<int> results;  // -1: failed, -2: cancelled
};

lv::task<int> fetch(source* from) {
  const int number = ++from->fetches;
  co_await from->gate.acquire();
  if (from->fails) throw std::runtime_error("as told");
  co_return number;
}

lv::task<> ask(source* from, std::string key) {
  int result = 0;
  try {
    result = co_await from->flights.run(std::move(key), [from] { return fetch(from); });
  } catch (const std::runtime_error&) {
    result = -1;
  } catch (const lv::cancelled&) {
    result = -2;
  }
  from->results.push_back(result);
}

}  // namespace

TEST(single_flight, one_fetches_and_all_get_the_result) {
  run_tasks(1, []() -> lv::task<> {
    source from;
    lv::scope askers;
    for (int i = 0; i < 100; i++) askers.spawn(ask, &from, std::string("a"));
    co_await settle();
    EXPECT_EQ(from.fetches, 1);
    EXPECT_EQ(from.flights.size_approx(), 1U);
    from.gate.release();
    co_await askers.join();
    EXPECT_EQ(from.results, std::vector<int>(100, 1));
    EXPECT_EQ(from.flights.size_approx(), 0U);
  });
}

TEST(single_flight, keys_do_not_wait_for_each_other_and_nothing_is_kept) {
  run_tasks(1, []() -> lv::task<> {
    source from;
    lv::scope askers;
    askers.spawn(ask, &from, std::string("a"));
    askers.spawn(ask, &from, std::string("b"));
    co_await settle();
    EXPECT_EQ(from.fetches, 2);
    from.gate.release(2);
    co_await askers.join();
    from.gate.release();
    co_await ask(&from, "a");
    EXPECT_EQ(from.results.back(), 3) << "fetched anew";
  });
}

TEST(single_flight, keys_with_one_hash_are_told_apart) {
  run_tasks(1, []() -> lv::task<> {
    struct same_hash {
      std::size_t operator()(int) const noexcept { return 7; }
    };
    struct town {
      lv::single_flight<int, int, same_hash> flights;
      lv::semaphore gate{0};
      int fetches = 0;
    };
    struct probe {
      static lv::task<int> fetches(town* of, int key) {
        of->fetches++;
        co_await of->gate.acquire();
        co_return key;
      }
      static lv::task<> asks(town* of, int key) {
        const int got = co_await of->flights.run(key, [of, key] { return fetches(of, key); });
        EXPECT_EQ(got, key);
      }
    };
    town of;
    lv::scope tasks;
    for (int i = 0; i < 30; i++) tasks.spawn(probe::asks, &of, i % 3);
    co_await settle();
    EXPECT_EQ(of.fetches, 3);
    EXPECT_EQ(of.flights.size_approx(), 3U);
    of.gate.release(3);
    co_await tasks.join();
    EXPECT_EQ(of.flights.size_approx(), 0U);
  });
}

TEST(single_flight, an_exception_goes_to_all) {
  run_tasks(1, []() -> lv::task<> {
    source from;
    from.fails = true;
    lv::scope askers;
    for (int i = 0; i < 3; i++) askers.spawn(ask, &from, std::string("a"));
    co_await settle();
    from.gate.release();
    co_await askers.join();
    EXPECT_EQ(from.results, std::vector<int>(3, -1));
    EXPECT_EQ(from.fetches, 1);
    EXPECT_EQ(from.flights.size_approx(), 0U);
  });
}

TEST(single_flight, a_cancelled_leader_hands_the_lead_to_who_waits_longest) {
  run_tasks(1, []() -> lv::task<> {
    source from;
    lv::scope leader;
    lv::scope followers;
    leader.spawn(ask, &from, std::string("a"));
    co_await settle();
    for (int i = 0; i < 3; i++) followers.spawn(ask, &from, std::string("a"));
    co_await settle();
    leader.cancel();
    co_await leader.join();
    EXPECT_EQ(from.results, std::vector<int>{-2});
    co_await settle();
    EXPECT_EQ(from.fetches, 2);
    from.gate.release();
    co_await followers.join();
    EXPECT_EQ(from.results, (std::vector<int>{-2, 2, 2, 2}));
    EXPECT_EQ(from.gate.available_approx(), 0U);
  });
}

TEST(single_flight, what_a_cancelled_leader_returns_is_its_own_affair) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      // Makes a value of its cancellation.
      static lv::task<int> fetches(source* from) {
        ++from->fetches;
        try {
          co_await from->gate.acquire();
        } catch (const lv::cancelled&) {
          co_return -7;
        }
        co_return 7;
      }
      static lv::task<> asks(source* from) {
        const int result = co_await from->flights.run("a", [from] { return fetches(from); });
        from->results.push_back(result);
      }
    };
    source from;
    lv::scope leader;
    lv::scope follower;
    leader.spawn(probe::asks, &from);
    co_await settle();
    follower.spawn(probe::asks, &from);
    co_await settle();
    leader.cancel();
    co_await leader.join();
    from.gate.release();
    co_await follower.join();
    EXPECT_EQ(from.results, (std::vector<int>{-7, 7}));
  });
}

TEST(single_flight, a_cancelled_follower_leaves_no_trace) {
  run_tasks(1, []() -> lv::task<> {
    source from;
    lv::scope leader;
    lv::scope follower;
    lv::scope told;
    leader.spawn(ask, &from, std::string("a"));
    co_await settle();
    follower.spawn(ask, &from, std::string("a"));
    co_await settle();
    told.spawn(ask, &from, std::string("a"));  // before it has begun
    told.cancel();
    co_await told.join();
    follower.cancel();
    co_await follower.join();
    EXPECT_EQ(from.results, (std::vector<int>{-2, -2}));
    EXPECT_EQ(from.flights.size_approx(), 1U);
    leader.cancel();
    co_await leader.join();
    EXPECT_EQ(from.flights.size_approx(), 0U);
    EXPECT_EQ(from.fetches, 1);
  });
}

TEST(single_flight, the_deadline_of_a_call_inside_is_a_failure_for_all_and_one_around_is_not) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<int> in_time(source* from) {
        const int number = co_await lv::with_deadline(1ms, fetch(from));
        co_return number;
      }
      static lv::task<> asks(source* from) {
        try {
          co_await from->flights.run("a", [from] { return in_time(from); });
        } catch (const lv::cancelled& thrown) {
          EXPECT_EQ(thrown.reason(), lv::cancel_reason::deadline);
          from->results.push_back(-3);
        }
      }
      static lv::task<> hurries(source* from) { co_await lv::with_deadline(1ms, ask(from, "b")); }
    };
    source from;
    lv::scope askers;
    askers.spawn(probe::asks, &from);
    co_await settle();
    askers.spawn(probe::asks, &from);
    co_await askers.join();
    EXPECT_EQ(from.results, (std::vector<int>{-3, -3}));
    EXPECT_EQ(from.fetches, 1);

    lv::scope others;
    others.spawn(probe::hurries, &from);
    co_await settle();
    others.spawn(ask, &from, std::string("b"));
    while (from.results.size() < 3) co_await lv::yield();
    EXPECT_EQ(from.results.back(), -2);
    from.gate.release();
    co_await others.join();
    EXPECT_EQ(from.results.back(), 3);
  });
}

TEST(single_flight, keeps_the_work_for_as_long_as_it_runs_and_no_longer) {
  run_tasks(1, []() -> lv::task<> {
    lv::single_flight<std::string, int> flights;
    const auto owned = std::make_shared<int>(7);
    const auto starts = [&] {
      const auto fetches = [owned]() -> lv::task<int> {
        co_await lv::yield();
        co_return *owned;
      };
      return flights.run("a", fetches);
    };
    const int got = co_await starts();
    EXPECT_EQ(got, 7);
    EXPECT_EQ(owned.use_count(), 1);
  });
}

TEST(single_flight, on_two_workers_a_key_is_fetched_by_one_at_a_time) {
  run_tasks(2, []() -> lv::task<> {
    struct town {
      lv::single_flight<int, int> flights;
      lv::atomic<int> fetching[3] = {};
      lv::atomic<long> cancelled{0};
      lv::atomic<long> answered{0};
    };
    struct probe {
      static lv::task<int> fetches(town* of, int key) {
        struct mark {
          lv::atomic<int>& here;
          explicit mark(lv::atomic<int>& at) : here(at) { EXPECT_EQ(here.fetch_add(1, std::memory_order_relaxed), 0); }
          ~mark() { here.fetch_sub(1, std::memory_order_relaxed); }
        };
        const mark alone(of->fetching[key]);
        co_await lv::yield();
        co_return key;
      }
      static lv::task<> asks(town* of, std::uint64_t seed) {
        lv::rng random{seed};
        try {
          for (;;) {
            const auto key = static_cast<int>(random.below(3));
            const int got = co_await of->flights.run(key, [of, key] { return fetches(of, key); });
            EXPECT_EQ(got, key);
            of->answered.fetch_add(1, std::memory_order_relaxed);
          }
        } catch (const lv::cancelled&) {
          of->cancelled.fetch_add(1, std::memory_order_relaxed);
        }
      }
      static lv::task<> disturbs(town* of, std::uint64_t seed) {
        lv::rng random{seed};
        while (of->cancelled.load(std::memory_order_relaxed) < 50'000 / slow_build_factor) {
          lv::scope askers;
          for (int i = 0; i < 6; i++) askers.spawn(asks, of, random());
          for (auto yields = random.below(6); yields > 0; yields--) co_await lv::yield();
          askers.cancel();
          co_await askers.join();
        }
      }
    };
    town of;
    lv::scope tasks;
    for (std::uint64_t i = 0; i < 3; i++) tasks.spawn(probe::disturbs, &of, i + 1);
    co_await tasks.join();
    EXPECT_GT(of.answered.load(std::memory_order_relaxed), 0);
    EXPECT_EQ(of.flights.size_approx(), 0U);
  });
}
