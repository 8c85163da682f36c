// Goal: of several branches exactly one decides, the one that the rule names, and the others have ended when the call returns.
// Method: branches that end at once, later or never, with values, errors and exceptions, cancelled before, while and as they end.
#include <gtest/gtest.h>

#include <expected>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/death_style.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

using answer = std::expected<int, std::string>;

lv::task<answer> says(answer what) { co_return what; }
lv::task<answer> says_later(answer what, lv::duration span) {
  co_await lv::sleep(span);
  co_return what;
}
lv::task<int> gives(int value) { co_return value; }
lv::task<int> gives_later(int value, lv::duration span) {
  co_await lv::sleep(span);
  co_return value;
}
lv::task<int> throws(std::string what) {
  throw std::runtime_error(what);
  co_return 0;
}

// Never ends by itself; notes why it ended.
lv::task<int> hangs(lv::atomic<int>* lost) {
  try {
    co_await lv::sleep(1h);
  } catch (const lv::cancelled& why) {
    if (why.reason() == lv::cancel_reason::lost_race) lost->fetch_add(1, std::memory_order_relaxed);
    throw;
  }
  co_return -1;
}

template <class F>
int simulate(F f, std::uint64_t seed) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  options.seed = seed;
  return lv::run_with(options, std::move(f));
}

}  // namespace

TEST(when_any, a_failure_leaves_the_others_to_try) {
  run_tasks(2, []() -> lv::task<> {
    const auto won = co_await lv::when_any(throws("at once"), gives_later(7, 2ms));
    EXPECT_EQ(won.index(), 1U);
    EXPECT_EQ(std::get<1>(won), 7);
    std::vector<lv::task<answer>> branches;
    branches.push_back(says(std::unexpected("refused")));
    branches.push_back(says_later(answer{8}, 2ms));
    const auto many = co_await lv::when_any(std::move(branches));
    EXPECT_EQ(many.index, 1U);
    EXPECT_EQ(many.value, answer{8});
  });
}

TEST(when_any, when_all_fail_the_last_failure_is_the_outcome) {
  simulate([]() -> lv::task<> {
    std::vector<lv::task<answer>> branches;
    branches.push_back(says_later(std::unexpected("slow"), 5ms));
    branches.push_back(says(std::unexpected("quick")));
    const auto won = co_await lv::when_any(std::move(branches));
    EXPECT_EQ(won.index, 0U);
    EXPECT_EQ(won.value, answer{std::unexpected("slow")});
    std::string what;
    try {
      (void)co_await lv::when_any(throws("the only one"));
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "the only one");
  }, 7);
}

TEST(when_any, losers_were_cancelled_and_have_ended_when_it_returns) {
  run_tasks(2, []() -> lv::task<> {
    lv::atomic<int> lost{0};
    std::vector<lv::task<int>> branches;
    for (int i = 0; i < 20; i++) branches.push_back(hangs(&lost));
    branches.push_back(gives_later(3, 2ms));
    const auto won = co_await lv::when_any(std::move(branches));
    EXPECT_EQ(won.index, 20U);
    EXPECT_EQ(won.value, 3);
    EXPECT_EQ(lost.load(std::memory_order_relaxed), 20);
  });
}

TEST(when_any, cancelled_while_all_wait_ends_all_and_throws) {
  run_tasks(2, []() -> lv::task<> {
    struct probe {
      static lv::task<> asks(bool* thrown) {
        lv::atomic<int> lost{0};
        try {
          (void)co_await lv::when_any(hangs(&lost), hangs(&lost));
        } catch (const lv::cancelled& why) {
          *thrown = why.reason() == lv::cancel_reason::requested;
        }
        EXPECT_EQ(lost.load(std::memory_order_relaxed), 0) << "nobody won";
      }
    };
    for (const bool before : {true, false}) {
      bool thrown = false;
      lv::scope tasks;
      if (before) tasks.cancel();
      tasks.spawn(probe::asks, &thrown);
      if (!before) co_await lv::sleep(2ms);
      tasks.cancel();
      co_await tasks.join();
      EXPECT_TRUE(thrown) << (before ? "cancelled before" : "cancelled while");
    }
  });
}

TEST(when_any, cancelled_as_a_value_comes_returns_the_value_or_throws_and_keeps_nothing) {
  run_tasks(4, []() -> lv::task<> {
    struct probe {
      static lv::task<std::shared_ptr<int>> makes(std::shared_ptr<int> what, lv::duration span) {
        co_await lv::sleep(span);
        co_return what;
      }
      static lv::task<> asks(std::shared_ptr<int> what, lv::duration span) {
        try {
          std::vector<lv::task<std::shared_ptr<int>>> branches;
          for (int i = 0; i < 3; i++) branches.push_back(makes(what, span));
          const auto won = co_await lv::when_any(std::move(branches));
          EXPECT_EQ(won.value, what);
        } catch (const lv::cancelled&) {
        }
      }
    };
    const auto what = std::make_shared<int>(1);
    for (int i = 0; i < 2000 / slow_build_factor; i++) {
      lv::scope tasks;
      tasks.spawn(probe::asks, what, lv::duration{i % 5 * 30'000});
      co_await lv::sleep(lv::duration{i % 7 * 20'000});
      tasks.cancel();
      co_await tasks.join();
      EXPECT_EQ(what.use_count(), 1);
    }
  });
}

TEST(when_any, void_branches_say_which_one_it_was) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> waits(lv::duration span) { co_await lv::sleep(span); }
    };
    std::vector<lv::task<>> branches;
    branches.push_back(probe::waits(1h));
    branches.push_back(probe::waits(1ms));
    const auto won = co_await lv::when_any(std::move(branches));
    EXPECT_EQ(won.index, 1U);
  });
}

TEST(race, among_many_the_first_to_end_decides_be_it_by_failing) {
  run_tasks(2, []() -> lv::task<> {
    lv::atomic<int> lost{0};
    std::vector<lv::task<int>> branches;
    branches.push_back(hangs(&lost));
    branches.push_back(gives(5));
    const auto won = co_await lv::race(std::move(branches));
    EXPECT_EQ(won.index, 1U);
    EXPECT_EQ(won.value, 5);
    std::vector<lv::task<int>> doomed;
    doomed.push_back(hangs(&lost));
    doomed.push_back(throws("first"));
    std::string what;
    try {
      (void)co_await lv::race(std::move(doomed));
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "first");
    EXPECT_EQ(lost.load(std::memory_order_relaxed), 2);
  });
}

TEST(race, among_none_is_refused) {
  testing::FLAGS_gtest_death_test_style = levity::test::death_style();
  EXPECT_DEATH(run_tasks(1, []() -> lv::task<> { (void)co_await lv::race(std::vector<lv::task<int>>{}); }), "at least one branch");
}
