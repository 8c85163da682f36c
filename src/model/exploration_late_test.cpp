// Operations that come late (exploration_late.cpp): small programs, and all that they can end with.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/explored_mutex.hpp"
#include "levity/model/explore.hpp"
#include "model/test_support.hpp"

namespace {

namespace model = levity::model;
using model::test::acquire;
using model::test::four;
using model::test::outcomes;
using model::test::relaxed;
using model::test::release;
using model::test::seq_cst;
using model::test::word;

using buffering = model::options::buffering;

constexpr model::options by_chance{
    .how = model::options::mode::random, .executions_max = 4'000, .load_buffering = buffering::independent};

template <class Body>
outcomes seen_in(Body body, model::options wanted = by_chance) {
  outcomes seen;
  const model::result found = model::explore(wanted, [&] { seen.insert(body()); });
  EXPECT_FALSE(found.failure) << found.failure->what << '\n' << found.failure->interleaving;
  return seen;
}

// Each of two threads reads what the other one writes afterwards.
std::vector<int> read_then_write(std::memory_order reads, std::memory_order writes) {
  word x{0}, y{0};
  int seen_x = 0, seen_y = 0;
  model::together(
      [&] {
        seen_x = x.load(reads);
        y.store(1, writes);
      },
      [&] {
        seen_y = y.load(reads);
        x.store(1, writes);
      });
  return {seen_x, seen_y};
}

const outcomes three{{0, 0}, {0, 1}, {1, 0}};

TEST(load_buffering, lets_two_loads_read_what_is_written_behind_them) {
  EXPECT_EQ(seen_in([] { return read_then_write(relaxed, relaxed); }), four);
}

TEST(load_buffering, is_asked_for) {
  model::options how = by_chance;
  how.load_buffering = buffering::none;
  EXPECT_EQ(seen_in([] { return read_then_write(relaxed, relaxed); }, how), three);
  how = {.load_buffering = buffering::independent};  // in order
  EXPECT_EQ(seen_in([] { return read_then_write(relaxed, relaxed); }, how), three);
}

TEST(load_buffering, ends_at_an_order) {
  EXPECT_EQ(seen_in([] { return read_then_write(acquire, relaxed); }), three);
  EXPECT_EQ(seen_in([] { return read_then_write(relaxed, release); }), three);
  EXPECT_EQ(seen_in([] { return read_then_write(seq_cst, relaxed); }), three);
  EXPECT_EQ(seen_in([] { return read_then_write(relaxed, seq_cst); }), three);
}

TEST(load_buffering, ends_at_a_fence) {
  const auto with = [](std::memory_order order) {
    return seen_in([order] {
      word x{0}, y{0};
      int seen_x = 0, seen_y = 0;
      model::together(
          [&] {
            seen_x = x.load(relaxed);
            model::fence(order);
            y.store(1, relaxed);
          },
          [&] {
            seen_y = y.load(relaxed);
            model::fence(order);
            x.store(1, relaxed);
          });
      return std::vector{seen_x, seen_y};
    });
  };
  EXPECT_EQ(with(std::memory_order_acq_rel), three);
  EXPECT_EQ(with(seq_cst), three);
}

TEST(load_buffering, passes_no_word_by_itself) {
  const outcomes seen = seen_in([] {
    word x{0};
    int before = 0;
    model::together(
        [&] {
          before = x.load(relaxed);
          x.store(1, relaxed);
        },
        [&] { x.store(2, relaxed); });
    return std::vector{before};
  });
  EXPECT_EQ(seen, (outcomes{{0}, {2}}));
}

TEST(load_buffering, makes_nothing_out_of_thin_air) {
  const auto with = [](buffering which) {
    model::options how = by_chance;
    how.load_buffering = which;
    return seen_in([] {
      word x{0}, y{0};
      int seen_x = 0, seen_y = 0;
      const bool writes = model::choose(2) == 1;  // so that both have been 1 in some execution
      model::together(
          [&] {
            seen_x = x.load(relaxed);
            y.store(seen_x, relaxed);
          },
          [&] {
            seen_y = y.load(relaxed);
            x.store(writes ? 1 : seen_y, relaxed);
          });
      return std::vector{writes ? 1 : 0, seen_x, seen_y};
    }, how);
  };
  const outcomes all{{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {1, 1, 1}};  // the last: a late load, which the 1 does not depend on
  EXPECT_EQ(with(buffering::independent), all);
  EXPECT_EQ(with(buffering::any), all);
}

// What the first one writes depends on what it reads. `last`: of the store by the second one, behind its load.
std::vector<int> write_if_read(std::memory_order reads, std::memory_order last) {
  word x{0}, y{0};
  int seen_x = 0, seen_y = 0;
  model::together(
      [&] {
        seen_x = x.load(reads);
        if (seen_x == 1) y.store(1, relaxed);
      },
      [&] {
        seen_y = y.load(relaxed);
        x.store(1, last);
      });
  return {seen_x, seen_y};
}

TEST(load_buffering, goes_against_a_dependency_only_where_it_may) {
  model::options any = by_chance;
  any.load_buffering = buffering::any;
  const outcomes in_order{{0, 0}, {1, 0}};
  const outcomes more{{0, 0}, {1, 0}, {1, 1}};
  EXPECT_EQ(seen_in([] { return write_if_read(relaxed, relaxed); }), more) << "the second load is late, and nothing depends on it";
  EXPECT_EQ(seen_in([] { return write_if_read(relaxed, relaxed); }, any), more);
  EXPECT_EQ(seen_in([] { return write_if_read(relaxed, release); }), in_order);
  EXPECT_EQ(seen_in([] { return write_if_read(relaxed, release); }, any), more);
  EXPECT_EQ(seen_in([] { return write_if_read(acquire, release); }, any), in_order);
}

// A flag that is given back late, behind the store that lets the next one in.
std::vector<int> exchanges_then_stores(std::memory_order order) {
  word x{0}, y{0};
  bool came = false;
  model::together(
      [&] {
        x.exchange(1, relaxed);
        y.store(1, order);
      },
      [&] {
        came = y.load(acquire) == 1;
        if (came) x.exchange(2, relaxed);
      });
  return {came ? 1 : 0, x.load(relaxed)};
}

TEST(load_buffering, puts_off_exchanges) {
  EXPECT_EQ(seen_in([] { return exchanges_then_stores(relaxed); }), (outcomes{{0, 1}, {1, 1}, {1, 2}}));
  EXPECT_EQ(seen_in([] { return exchanges_then_stores(release); }), (outcomes{{0, 1}, {1, 2}}));
}

TEST(load_buffering, puts_off_compare_exchanges) {
  const auto with = [](std::memory_order order) {
    return seen_in([order] {
      word x{0}, y{0};
      bool is_first = false, is_second = false;
      model::together(
          [&] {
            int expected = 0;
            is_first = x.compare_exchange_strong(expected, 1, relaxed, relaxed);
            y.store(1, order);
          },
          [&] {
            if (y.load(acquire) != 1) return;
            int expected = 0;
            is_second = x.compare_exchange_strong(expected, 0, relaxed, relaxed);
          });
      return std::vector{is_first ? 1 : 0, is_second ? 1 : 0};
    });
  };
  EXPECT_EQ(with(relaxed), (outcomes{{1, 0}, {1, 1}}));
  EXPECT_EQ(with(release), (outcomes{{1, 0}}));
}

TEST(load_buffering, is_told_line_by_line_and_comes_again_by_its_seed) {
  const auto fails = [] {
    return model::explore(by_chance, [] {
      const std::vector<int> seen = read_then_write(relaxed, relaxed);
      model::require(seen != std::vector{1, 1}, "not both");
    });
  };
  const model::result found = fails();
  ASSERT_TRUE(found.failure);
  EXPECT_NE(found.failure->interleaving.find("comes late, and will have read 1"), std::string::npos) << found.failure->interleaving;
  const model::result again = fails();
  ASSERT_TRUE(again.failure);
  EXPECT_EQ(again.executions + again.redundant, found.executions + found.redundant);
  EXPECT_EQ(again.failure->interleaving, found.failure->interleaving);
}

// The first thread goes on with a 1 that never comes, if the second one sees what is written behind it.
TEST(load_buffering, fails_in_no_execution_that_cannot_be) {
  const model::result found = model::explore(by_chance, [] {
    word x{0}, y{0};
    model::cell<int> data{0};
    model::together(
        [&] {
          if (x.load(relaxed) == 1) static_cast<void>(data.get());
          y.store(1, relaxed);
        },
        [&] {
          if (y.load(relaxed) == 0) {
            x.store(1, relaxed);
          } else {
            data.set(1);
          }
        });
  });
  EXPECT_FALSE(found.failure) << found.failure->what << '\n' << found.failure->interleaving;
  EXPECT_GT(found.redundant, 0U);
}

// Both threads read before they do something, and write after it.
TEST(load_buffering, ends_at_whatever_others_may_notice) {
  const auto with = [](auto does) {
    return seen_in([does] {
      word x{0}, y{0};
      int seen_x = 0, seen_y = 0;
      levity::detail::explored_mutex locks[2];
      model::together(
          [&] {
            seen_x = x.load(relaxed);
            does(locks[0]);
            y.store(1, relaxed);
          },
          [&] {
            seen_y = y.load(relaxed);
            does(locks[1]);
            x.store(1, relaxed);
          });
      return std::vector{seen_x, seen_y};
    });
  };
  using levity::detail::explored_mutex;
  EXPECT_EQ(with([](explored_mutex&) {}), four);
  EXPECT_EQ(with([](explored_mutex& lock) { const levity::detail::explored_guard guard{lock}; }), three);
  EXPECT_EQ(with([](explored_mutex&) { const model::thread other([] {}); }), three);
  EXPECT_EQ(with([](explored_mutex&) { static_cast<void>(model::choose(1)); }), three);
  EXPECT_EQ(with([](explored_mutex&) {
              int* volatile made = new int;
              delete made;
            }), three);
  EXPECT_EQ(with([](explored_mutex&) { const word other{0}; }), three);
  EXPECT_EQ(with([](explored_mutex&) { levity::compiler_fence(); }), three);
  EXPECT_EQ(with([](explored_mutex&) {
              word other{0};
              model::futex_wake_one(reinterpret_cast<const model::atomic<std::uint32_t>&>(other));
            }), three);
}

// Loads pass, two at most, and a release does not.
TEST(load_buffering, lets_two_loads_pass) {
  const auto with = [](int loads, bool releases) {
    return seen_in([loads, releases] {
      word x{0}, y{0}, z{0};
      int seen_x = 0, seen_y = 0;
      model::together(
          [&] {
            seen_x = x.load(relaxed);
            for (int i = 0; i < loads; i++) static_cast<void>(z.load(relaxed));
            y.exchange(1, releases ? release : acquire);
          },
          [&] {
            seen_y = y.load(acquire);
            if (seen_y == 1) x.store(1, relaxed);
          });
      return std::vector{seen_x, seen_y};
    });
  };
  const outcomes in_order{{0, 0}, {0, 1}};
  outcomes more = in_order;
  more.insert({1, 1});
  EXPECT_EQ(with(0, false), more);
  EXPECT_EQ(with(2, false), more);
  EXPECT_EQ(with(3, false), in_order);
  EXPECT_EQ(with(0, true), in_order);
}

// What is written depends on what was promised: by what an exchange expects, by how much is added, by another load.
TEST(load_buffering, of_independent_writes_makes_nothing_out_of_thin_air) {
  const outcomes expects = seen_in([] {
    word x{0}, y{1};
    const bool writes = model::choose(2) == 1;
    int seen = 0;
    model::together(
        [&] {
          seen = x.load(relaxed);
          int expected = seen;
          y.compare_exchange_strong(expected, 5, relaxed, relaxed);
        },
        [&] {
          if (y.load(relaxed) == 5) x.store(1, relaxed);
        },
        [&] {
          if (writes) x.store(1, relaxed);
        });
    return std::vector{writes ? 1 : 0, seen};
  });
  EXPECT_EQ(expects.count({0, 1}), 0U);
  const outcomes adds = seen_in([] {
    word x{0}, y{0};
    const bool writes = model::choose(2) == 1;
    int seen = 0;
    model::together(
        [&] {
          seen = x.load(relaxed);
          y.fetch_add(seen, relaxed);
        },
        [&] { y.store(1, relaxed); },
        [&] {
          if (y.load(relaxed) == 2) x.store(1, relaxed);
        },
        [&] {
          if (writes) x.store(1, relaxed);
        });
    return std::vector{writes ? 1 : 0, seen};
  });
  EXPECT_EQ(adds.count({0, 1}), 0U);
  const outcomes sums = seen_in([] {
    word x{0}, y{0}, z{0};
    int seen_x = 0, seen_z = 0, seen_y = 0;
    model::together(
        [&] {
          seen_x = x.load(relaxed);
          seen_z = z.load(relaxed);
          y.store(seen_x + seen_z, relaxed);
        },
        [&] {
          seen_y = y.load(relaxed);
          x.store(seen_y, relaxed);
        },
        [&] { z.store(1, relaxed); }, [&] { x.store(0, relaxed); });
    return std::vector{seen_x, seen_z, seen_y};
  });
  EXPECT_EQ(sums.count({1, 0, 1}), 0U);
}

// Each execution has its nodes where the one before had others.
TEST(load_buffering, of_an_exchange_finds_what_it_expects) {
  const outcomes seen = seen_in([] {
    const std::unique_ptr<int> one(new int), other(new int);
    model::atomic<int*> head{one.get()};
    word y{0};
    bool is_taken = false;
    model::together(
        [&] {
          int* expected = one.get();
          is_taken = head.compare_exchange_strong(expected, nullptr, relaxed, relaxed);
          y.store(1, relaxed);
        },
        [&] { head.store(other.get(), relaxed); });
    return std::vector{is_taken ? 1 : 0, head.load(relaxed) == nullptr ? 1 : 0};
  }, {.how = model::options::mode::random, .executions_max = 4'000, .reorder_stores = false,
      .load_buffering = buffering::independent});
  EXPECT_EQ(seen, (outcomes{{0, 0}, {1, 0}})) << "who is taken is the one that was expected";
}

}  // namespace
