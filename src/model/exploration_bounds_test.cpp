// What bounds, spinning and reduction must not hide: programs of which an outcome was missed once, or would be by an explorer that
// counts looks, holds spinners back or orders loads too eagerly. Explored with everything that the search leaves out, and without.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "model/test_support.hpp"

namespace {

namespace model = levity::model;

using model::test::acquire;
using model::test::all_of;
using model::test::failure_of;
using model::test::four;
using model::test::outcomes;
using model::test::relaxed;
using model::test::release;
using model::test::seq_cst;
using model::test::word;

TEST(stale_reads, are_not_used_up_by_looks_at_what_was_the_newest) {
  EXPECT_EQ(all_of([] {
    word x{0}, y{0};
    int seen_y = 1, seen_x = 1;
    model::together(
        [&] {
          for (int i = 0; i < 3; i++) y.load(relaxed);
          x.store(1, relaxed);
          seen_y = y.load(relaxed);
        },
        [&] {
          y.store(1, relaxed);
          seen_x = x.load(relaxed);
        });
    return std::vector{seen_y, seen_x};
  }), four);
}

TEST(stale_reads, that_are_used_up_do_not_keep_a_load_behind_the_store) {
  for (const bool storer_first : {false, true}) {
    const outcomes seen = all_of([storer_first] {
      word x{0};
      int sum = 0;
      const auto stores = [&] { x.store(1, relaxed); };
      const auto loads = [&] {
        for (int i = 0; i < 5; i++) sum += x.load(relaxed);
      };
      if (storer_first) model::together(stores, loads);
      else model::together(loads, stores);
      return std::vector{sum};
    });
    EXPECT_EQ(seen, (outcomes{{0}, {1}, {2}, {3}, {4}, {5}}));
  }
}

TEST(seq_cst_loads, that_sleep_wake_for_a_store_that_goes_in_early) {
  const outcomes seen = all_of([] {
    word x{0}, y{0};
    int loaded = 0, passed = 0;
    model::together(
        [&] {
          x.store(1, relaxed);
          y.store(1, relaxed);
        },
        [&] { loaded = x.load(seq_cst); },
        [&] {
          passed = y.load(relaxed);
          x.store(2, seq_cst);
        });
    return std::vector{loaded, passed, x.load(relaxed)};
  });
  EXPECT_TRUE(seen.contains({1, 1, 1})) << "the store of 2 before that of 1, and after the load in the single order";
}

TEST(weak_exchanges, fail_for_no_reason_beside_an_older_message_too) {
  const outcomes seen = all_of([] {
    word x{0}, y{0};
    int expected = 0, swapped = 1;
    bool saw = false;
    model::together(
        [&] {
          x.store(1, relaxed);
          y.store(1, relaxed);
        },
        [&] {
          saw = y.load(relaxed) == 1;
          if (saw) swapped = x.compare_exchange_weak(expected, 5, relaxed, relaxed) ? 1 : 0;
        });
    return std::vector{saw ? 1 : 0, swapped, expected};
  });
  EXPECT_TRUE(seen.contains({1, 0, 0}));
  EXPECT_TRUE(seen.contains({1, 0, 1}));
}

TEST(futexes, wake_up_for_no_reason) {
  EXPECT_NE(failure_of([] {
    model::atomic<std::uint32_t> over{0};
    model::together(
        [&] {
          if (over.load(acquire) == 0) model::futex_wait(over, 0);
          model::require(over.load(acquire) == 1, "who wakes up alone has seen nothing");
        },
        [&] {
          over.store(1, release);
          model::futex_wake_one(over);
        });
  }).find("who wakes up alone"), std::string::npos);
}

void spins_and_parks() {
  model::atomic<std::uint32_t> over{0};
  model::together(
      [&] {
        for (int i = 0; i < 2; i++) {
          if (over.load(acquire) != 0) return;
          model::spin_hint();
        }
        while (over.load(acquire) == 0) model::futex_wait(over, 0);
      },
      [&] { over.store(1, release); });  // and wakes nobody
}

TEST(hints, let_a_loop_give_up_that_has_so_many_rounds) {
  EXPECT_EQ(failure_of(spins_and_parks), "none") << "a loop that only a store ends";
  EXPECT_NE(failure_of(spins_and_parks, {.hints_max = 2}).find("nobody can go on"), std::string::npos);
}

TEST(hints, are_counted_anew_by_the_next_loop) {
  const auto spins_twice = [] {
    model::atomic<std::uint32_t> first{0}, second{0};
    model::together(
        [&] {
          for (auto* const over : {&first, &second}) {
            for (int i = 0; i < 2 && over->load(acquire) == 0; i++) model::spin_hint();
          }
          while (second.load(acquire) == 0) model::futex_wait(second, 0);
        },
        [&] { second.store(1, release); });  // and wakes nobody
  };
  EXPECT_NE(failure_of(spins_twice, {.hints_max = 2}).find("nobody can go on"), std::string::npos);
}

TEST(hints, are_no_standstill_where_the_loop_ends_by_itself) {
  EXPECT_EQ(failure_of([] {
    word x{0};
    for (int i = 0; i < 100; i++) {
      x.load(relaxed);
      model::spin_hint();
    }
  }), "none");
}

template <class Body>
std::string bounds_of(Body body, model::options wanted = {}) {
  const model::result found = model::explore(wanted, body);
  EXPECT_FALSE(found.failure) << found.failure->what;
  EXPECT_TRUE(found.complete);
  EXPECT_EQ(static_cast<bool>(found.bounded), !found.bounded.text().empty());
  return found.bounded.text();
}

// A thread that does something `times` in a row, beside another one's stores.
template <class Does>
auto beside_a_store(int times, Does does) {
  return [=] {
    word x{0};
    model::together([&] { x.store(1, relaxed); },
                    [&] {
                      for (int i = 0; i < times; i++) does(x);
                    });
  };
}

TEST(bounds, that_left_something_out_are_told_by_name) {
  const auto looks = [](word& x) { x.load(relaxed); };
  EXPECT_EQ(bounds_of(beside_a_store(3, looks)), "");
  EXPECT_EQ(bounds_of(beside_a_store(4, looks)), "stale reads");
  EXPECT_EQ(bounds_of(beside_a_store(4, looks), {.stale_reads_max = 4}), "");
  const auto swaps = [](word& x) {
    int expected = 7;
    x.compare_exchange_strong(expected, 8, relaxed, relaxed);
  };
  EXPECT_EQ(bounds_of(beside_a_store(3, swaps)), "");
  EXPECT_EQ(bounds_of(beside_a_store(4, swaps)), "stale reads");
  const auto spins = [](word& x) {
    while (x.load(acquire) == 0) model::spin_hint();
  };
  EXPECT_EQ(bounds_of(beside_a_store(1, spins)), "hints");
  const auto waits_unsaid = [](word& x) {
    while (x.load(acquire) == 0) {
    }
  };
  EXPECT_EQ(bounds_of(beside_a_store(1, waits_unsaid)), "stale reads, looks");
  const auto swaps_weakly = [](word& x) {
    for (int expected = 0; !x.compare_exchange_weak(expected, expected + 2, relaxed, relaxed);) {
    }
  };
  EXPECT_EQ(bounds_of(beside_a_store(1, swaps_weakly)), "weak exchanges");
  EXPECT_EQ(bounds_of([] {
    model::atomic<std::uint32_t> over{0};
    model::together(
        [&] {
          while (over.load(acquire) == 0) model::futex_wait(over, 0);
        },
        [&] {
          over.store(1, release);
          model::futex_wake_one(over);
        });
  }), "stale reads, waits");
}

TEST(bounds, of_preemptions_are_told_where_there_was_one_more) {
  const auto looks_twice = beside_a_store(2, [](word& x) { x.load(seq_cst); });
  EXPECT_EQ(bounds_of(looks_twice, {.preemptions_max = 0}), "preemptions");
  EXPECT_EQ(bounds_of(looks_twice, {.preemptions_max = 9}), "");
}

// Which of acquire and release keeps the compiler from what: half of the fence that a barrier of the process needs.
template <class Between>
outcomes asymmetric(Between between) {
  return all_of([between] {
    word x{0}, y{0}, z{0};
    int seen_y = 0, seen_x = 0;
    model::together(
        [&] {
          x.store(1, relaxed);
          between(z);
          seen_y = y.load(relaxed);
        },
        [&] {
          y.store(1, relaxed);
          levity::detail::this_explorer->process_barrier({});
          seen_x = x.load(relaxed);
        });
    return std::vector{seen_y, seen_x};
  });
}

TEST(asymmetric_fences, are_not_made_of_an_acquire_or_a_release) {
  EXPECT_EQ(asymmetric([](word& z) { z.load(acquire); }), four);
  EXPECT_EQ(asymmetric([](word& z) { z.store(1, release); }), four);
  EXPECT_EQ(asymmetric([](word&) { model::fence(acquire); }), four);
  EXPECT_EQ(asymmetric([](word&) { model::fence(release); }), four);
}

TEST(words, are_not_written_as_plain_data_beside_an_atomic_operation) {
  for (const bool plain_first : {false, true}) {
    EXPECT_NE(failure_of([plain_first] {
      word x{0};
      const auto plain = [&] { model::write(x); };
      const auto atomic = [&] { x.store(1, relaxed); };
      if (plain_first) model::together(plain, atomic);
      else model::together(atomic, plain);
    }).find("plain data"), std::string::npos);
  }
}

TEST(words, have_one_size) {
  EXPECT_NE(failure_of([] {
    model::atomic<std::uint64_t> x{0};
    x.store(1, relaxed);
    std::uint32_t half = 0;
    static_cast<void>(half);
    levity::detail::this_explorer->load(&x, sizeof half, relaxed, {});
  }).find("another size"), std::string::npos);
}

}  // namespace
