// Tasks, scopes, combinators, cancellation: what a service author relies on, on a real runtime.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

lv::task<int> answer() { co_return 42; }
lv::task<int> plus_one(int n) { co_return n + 1; }
lv::task<int> depth(int n) {
  // Not `n == 0 ? 0 : 1 + co_await ...`: g++ 12 evaluates an await inside a conditional expression on both sides.
  if (n == 0) co_return 0;
  co_return 1 + co_await depth(n - 1);
}
lv::task<> sleeps(lv::duration time) { co_await lv::sleep(time); }
lv::task<> fails(std::string with) {
  co_await lv::sleep(1ms);
  throw std::runtime_error(with);
}
lv::task<> counts(lv::atomic<int>* counter) {
  counter->fetch_add(1, std::memory_order_relaxed);
  co_return;
}

}  // namespace

TEST(task, hands_its_value_to_who_awaits_it) {
  EXPECT_EQ(run_tasks(1, []() -> lv::task<int> { co_return co_await answer(); }), 42);
}

TEST(task, moves_values_that_cannot_be_copied) {
  struct probe {
    static lv::task<std::unique_ptr<int>> make() { co_return std::make_unique<int>(7); }
    static lv::task<int> take(std::unique_ptr<int> owned) { co_return *owned; }
  };
  EXPECT_EQ(run_tasks(1, []() -> lv::task<int> { co_return co_await probe::take(co_await probe::make()); }), 7);
}

TEST(task, returns_what_empty_braces_make_of_its_result) {
  struct probe {
    static lv::task<lv::io_result<void>> done() { co_return {}; }
    static lv::task<std::string> nothing() { co_return {}; }
    static lv::task<std::pair<int, std::string>> both() { co_return {7, "seven"}; }
  };
  run_tasks(1, []() -> lv::task<> {
    const lv::io_result<void> done = co_await probe::done();
    EXPECT_TRUE(done.has_value());
    EXPECT_EQ(co_await probe::nothing(), "");
    const std::pair<int, std::string> both = co_await probe::both();
    EXPECT_EQ(both.second, "seven");
  });
}

TEST(task, hands_its_exception_to_who_awaits_it) {
  run_tasks(1, []() -> lv::task<> {
    std::string caught;
    try {
      co_await fails("boom");
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "boom");
  });
}

TEST(task, dropped_before_its_start_destroys_its_arguments_only) {
  auto shared = std::make_shared<int>(1);
  {
    auto never = [](std::shared_ptr<int> held) -> lv::task<> {
      (*held)++;
      co_return;
    }(shared);
    EXPECT_EQ(shared.use_count(), 2);
  }
  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_EQ(*shared, 1);
}

TEST(task, a_hundred_million_awaits_run_in_constant_stack) {
  run_tasks(1, []() -> lv::task<> {
    const int awaits = 100'000'000 / (slow_build_factor * slow_build_factor);
    long sum = 0;
    for (int i = 0; i < awaits; i++) sum += co_await plus_one(i) - i;
    EXPECT_EQ(sum, awaits);
  });
}

TEST(task, a_chain_a_million_deep_runs_and_unwinds) {
  run_tasks(1, []() -> lv::task<> { EXPECT_EQ(co_await depth(1'000'000), 1'000'000); });
}

TEST(task, an_exception_crosses_a_deep_chain) {
  struct probe {
    static lv::task<int> down(int n) {
      if (n == 0) throw std::logic_error("bottom");
      co_return co_await down(n - 1);
    }
  };
  run_tasks(1, []() -> lv::task<> {
    bool caught = false;
    try {
      co_await probe::down(1000);
    } catch (const std::logic_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
  });
}

TEST(scope, joins_every_child) {
  for (unsigned workers : {1U, 2U, 4U}) {
    lv::atomic<int> ran{0};
    run_tasks(workers, [](lv::atomic<int>* counter) -> lv::task<> {
      lv::scope children;
      for (int i = 0; i < 10'000; i++) children.spawn(counts, counter);
      co_await children.join();
      EXPECT_EQ(counter->load(std::memory_order_relaxed), 10'000);
    }, &ran);
  }
}

TEST(scope, keeps_a_callable_with_state_and_arguments_by_reference_alive) {
  run_tasks(2, []() -> lv::task<> {
    std::string state;
    std::string argument;
    lv::scope children;
    {
      std::string captured = "a long enough string to live on the heap";
      children.spawn([captured](std::string* out) -> lv::task<> {
        co_await lv::sleep(1ms);
        *out = captured;
      }, &state);
      children.spawn([](const std::string& by_reference, std::string* out) -> lv::task<> {
        co_await lv::sleep(1ms);
        *out = by_reference;
      }, std::string("an argument that is a reference to a string"), &argument);
    }
    co_await children.join();
    EXPECT_EQ(state, "a long enough string to live on the heap");
    EXPECT_EQ(argument, "an argument that is a reference to a string");
  });
}

TEST(scope, rethrows_the_first_failure_and_cancels_the_siblings) {
  run_tasks(2, []() -> lv::task<> {
    const auto started = lv::clock::now();
    lv::scope children;
    children.spawn(sleeps, 1h);
    children.spawn(fails, std::string("first"));
    std::string caught;
    try {
      co_await children.join();
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "first");
    EXPECT_LT(lv::clock::now() - started, 1min);
  });
}

TEST(scope, keeps_going_when_told_to) {
  run_tasks(2, []() -> lv::task<> {
    lv::atomic<int> ran{0};
    lv::scope children{lv::on_failure::keep_going};
    children.spawn(fails, std::string("one"));
    children.spawn([](lv::atomic<int>* counter) -> lv::task<> {
      co_await lv::sleep(20ms);
      counter->fetch_add(1, std::memory_order_relaxed);
    }, &ran);
    bool caught = false;
    try {
      co_await children.join();
    } catch (const std::runtime_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
    EXPECT_EQ(ran.load(std::memory_order_relaxed), 1);
  });
}

TEST(scope, reports_failures_that_nobody_joins_for) {
  testing::internal::CaptureStderr();
  run_tasks(1, []() -> lv::task<> {
    lv::scope children{lv::on_failure::report};
    children.spawn("the failing one", fails, std::string("told on standard error"));
    co_await children.join();
  });
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("the failing one"), std::string::npos) << said;
  EXPECT_NE(said.find("told on standard error"), std::string::npos) << said;
  EXPECT_NE(said.find("task_test.cpp"), std::string::npos) << said;
}

TEST(scope, cancel_reaches_children_and_those_to_come) {
  run_tasks(2, []() -> lv::task<> {
    lv::scope children;
    for (int i = 0; i < 100; i++) children.spawn(sleeps, 1h);
    children.cancel();
    for (int i = 0; i < 100; i++) children.spawn(sleeps, 1h);
    co_await children.join();
  });
}

TEST(scope, cancelled_while_joined_cancels_its_children_and_still_waits) {
  run_tasks(2, []() -> lv::task<> {
    lv::atomic<int> ended{0};
    lv::scope outer;
    outer.spawn([](lv::atomic<int>* done) -> lv::task<> {
      lv::scope inner;
      for (int i = 0; i < 10; i++) {
        inner.spawn([](lv::atomic<int>* counter) -> lv::task<> {
          try {
            co_await lv::sleep(1h);
          } catch (const lv::cancelled&) {
            counter->fetch_add(1, std::memory_order_relaxed);
            throw;
          }
        }, done);
      }
      co_await inner.join();
      EXPECT_EQ(done->load(std::memory_order_relaxed), 10);
    }, &ended);
    co_await lv::sleep(10ms);
    outer.cancel();
    co_await outer.join();
    EXPECT_EQ(ended.load(std::memory_order_relaxed), 10);
  });
}

TEST(scope, left_by_an_exception_ends_before_its_owner_does) {
  for (int round = 0; round < 200 / slow_build_factor + 1; round++) {
    run_tasks(2, []() -> lv::task<> {
      lv::atomic<int> ended{0};
      lv::scope outer{lv::on_failure::keep_going};
      outer.spawn([](lv::atomic<int>* counter) -> lv::task<> {
        lv::scope inner;
        for (int i = 0; i < 8; i++) {
          inner.spawn([](lv::atomic<int>* each) -> lv::task<> {
            try {
              co_await lv::sleep(1h);
            } catch (const lv::cancelled& why) {
              EXPECT_EQ(why.reason(), lv::cancel_reason::abandoned);
            }
            each->fetch_add(1, std::memory_order_relaxed);
          }, counter);
        }
        throw std::runtime_error("past the join");
        co_return;
      }, &ended);
      try {
        co_await outer.join();
      } catch (const std::runtime_error&) {
      }
      EXPECT_EQ(ended.load(std::memory_order_relaxed), 8);
    });
  }
}

TEST(scope, tasks_that_spawn_while_it_is_cancelled_all_end) {
  struct probe {
    static lv::task<> breeds(lv::scope* nest, int generations) {
      if (generations > 0) {
        nest->spawn(breeds, nest, generations - 1);
        nest->spawn(breeds, nest, generations - 1);
      }
      co_await lv::sleep(1h);
    }
  };
  run_tasks(4, []() -> lv::task<> {
    lv::scope nest;
    nest.spawn(probe::breeds, &nest, 10);
    nest.cancel();
    co_await nest.join();
    EXPECT_EQ(nest.size_approx(), 0U);
  });
}

TEST(when_all, returns_every_result_in_order) {
  run_tasks(2, []() -> lv::task<> {
    auto [a, b, c] = co_await lv::when_all(answer(), sleeps(1ms), plus_one(1));
    EXPECT_EQ(a, 42);
    EXPECT_EQ(b, std::monostate{});
    EXPECT_EQ(c, 2);
    std::vector<lv::task<int>> many;
    for (int i = 0; i < 100; i++) many.push_back(plus_one(i));
    const auto results = co_await lv::when_all(std::move(many));
    for (int i = 0; i < 100; i++) EXPECT_EQ(results[static_cast<std::size_t>(i)], i + 1);
  });
}

TEST(when_all, fails_with_the_first_failure_and_cancels_the_rest) {
  run_tasks(2, []() -> lv::task<> {
    bool caught = false;
    try {
      co_await lv::when_all(sleeps(1h), fails("first"), answer());
    } catch (const std::runtime_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
  });
}

TEST(race, the_first_branch_decides_and_the_others_have_ended) {
  run_tasks(2, []() -> lv::task<> {
    lv::atomic<int> lost{0};
    auto loser = [](lv::atomic<int>* counter) -> lv::task<int> {
      try {
        co_await lv::sleep(1h);
      } catch (const lv::cancelled& why) {
        EXPECT_EQ(why.reason(), lv::cancel_reason::lost_race);
        counter->fetch_add(1, std::memory_order_relaxed);
        throw;
      }
      co_return 0;
    };
    auto won = co_await lv::race(loser(&lost), answer(), loser(&lost));
    EXPECT_EQ(won.index(), 1U);
    EXPECT_EQ(std::get<1>(won), 42);
    EXPECT_EQ(lost.load(std::memory_order_relaxed), 2);
  });
}

TEST(race, a_failure_decides_too) {
  run_tasks(2, []() -> lv::task<> {
    bool caught = false;
    try {
      co_await lv::race(sleeps(1h), fails("lost all"));
    } catch (const std::runtime_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
  });
}

TEST(deadline, ends_a_wait_and_says_why) {
  run_tasks(1, []() -> lv::task<> {
    lv::cancel_reason why = lv::cancel_reason::none;
    try {
      co_await lv::with_deadline(5ms, sleeps(1h));
    } catch (const lv::cancelled& ended) {
      why = ended.reason();
    }
    EXPECT_EQ(why, lv::cancel_reason::deadline);
    co_await lv::sleep(1ms);  // and the task itself goes on
  });
}

TEST(deadline, the_nearest_of_two_counts_and_the_outer_one_stays) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> inner_first() {
        bool inner = false;
        try {
          co_await lv::with_deadline(5ms, sleeps(1h));
        } catch (const lv::cancelled&) {
          inner = true;
        }
        EXPECT_TRUE(inner);
        co_await lv::sleep(1ms);
        bool outer = false;
        try {
          co_await lv::sleep(1h);
        } catch (const lv::cancelled&) {
          outer = true;
        }
        EXPECT_TRUE(outer);
      }
    };
    co_await lv::with_deadline(50ms, probe::inner_first());
  });
}

TEST(shield, lets_what_it_covers_finish) {
  run_tasks(2, []() -> lv::task<> {
    lv::atomic<int> finished{0};
    lv::scope children;
    children.spawn([](lv::atomic<int>* counter) -> lv::task<> {
      co_await lv::shield(sleeps(30ms));
      counter->fetch_add(1, std::memory_order_relaxed);
      bool cancelled = false;
      try {
        co_await lv::sleep(1h);
      } catch (const lv::cancelled&) {
        cancelled = true;
      }
      EXPECT_TRUE(cancelled);
      counter->fetch_add(1, std::memory_order_relaxed);
    }, &finished);
    co_await lv::sleep(5ms);
    children.cancel();
    co_await children.join();
    EXPECT_EQ(finished.load(std::memory_order_relaxed), 2);
  });
}

TEST(yield, lets_the_others_run) {
  run_tasks(1, []() -> lv::task<> {
    std::vector<int> order;
    lv::scope children;
    for (int who = 0; who < 3; who++) {
      children.spawn([](std::vector<int>* log, int me) -> lv::task<> {
        for (int i = 0; i < 3; i++) {
          log->push_back(me);
          co_await lv::yield();
        }
      }, &order, who);
    }
    co_await children.join();
    EXPECT_EQ(order.size(), 9U);
    // Nobody ran three times before everybody ran once.
    std::vector<int> first(order.begin(), order.begin() + 3);
    std::sort(first.begin(), first.end());
    EXPECT_EQ(first, (std::vector<int>{0, 1, 2}));
  });
}

TEST(yield, throws_once_the_task_is_cancelled) {
  run_tasks(2, []() -> lv::task<> {
    lv::scope children;
    children.spawn([]() -> lv::task<> {
      for (;;) co_await lv::yield();
    });
    co_await lv::sleep(2ms);
    children.cancel();
    co_await children.join();
  });
}

#ifndef LEVITY_ASAN
TEST(memory, comes_back_after_a_crowd_has_left) {
  run_tasks(2, []() -> lv::task<> {
    const auto before = lv::frame_statistics().bytes_mapped;
    {
      lv::scope crowd;
      for (int i = 0; i < 100'000 / slow_build_factor; i++) crowd.spawn(sleeps, 20ms);
      co_await crowd.join();
    }
    // The workers tidy up once they have had nothing to do for a while.
    for (int i = 0; i < 100 && lv::frame_statistics().bytes_mapped > before + (1 << 20); i++) co_await lv::sleep(100ms);
    EXPECT_LE(lv::frame_statistics().bytes_mapped, before + (1 << 20));
  });
}
#endif

TEST(run, returns_what_the_main_task_returns) {
  EXPECT_EQ(run_tasks(1, []() -> lv::task<int> { co_return 3; }), 3);
  EXPECT_EQ(run_tasks(1, []() -> lv::task<> { co_return; }), 0);
}

TEST(run, reports_an_exception_of_the_main_task) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_tasks(1, []() -> lv::task<> {
    throw std::runtime_error("nobody catches this");
    co_return;
  }), 1);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("nobody catches this"), std::string::npos);
}

TEST(cancellation, races_with_completion_without_losing_a_task) {
  const int rounds = 20'000 / slow_build_factor;
  run_tasks(4, [](int times) -> lv::task<> {
    for (int i = 0; i < times; i++) {
      lv::scope children;
      for (int child = 0; child < 4; child++) children.spawn(sleeps, lv::duration{i % 3 * 30'000});
      if (i % 2 == 0) co_await lv::sleep(lv::duration{i % 7 * 10'000});
      children.cancel();
      co_await children.join();
    }
  }, rounds);
}

TEST(cancellation, deadlines_race_with_completion_without_losing_a_task) {
  const int rounds = 5'000 / slow_build_factor;
  run_tasks(4, [](int times) -> lv::task<> {
    lv::scope children;
    for (int child = 0; child < 8; child++) {
      children.spawn([](int n, int seed) -> lv::task<> {
        for (int i = 0; i < n; i++) {
          try {
            co_await lv::with_deadline(lv::duration{100'000}, sleeps(lv::duration{(i + seed) % 5 * 50'000}));
          } catch (const lv::cancelled& why) {
            EXPECT_EQ(why.reason(), lv::cancel_reason::deadline);
          }
        }
      }, times / 8, child);
    }
    co_await children.join();
  }, rounds);
}

// The destructor of a local may throw after the value was made, be caught, and another value be returned.
TEST(task, the_value_of_a_return_that_was_left_by_an_exception_dies) {
  const auto counted = std::make_shared<int>(0);
  run_tasks(1, [](std::shared_ptr<int> value) -> lv::task<> {
    struct thrower {
      ~thrower() noexcept(false) { throw 1; }
    };
    const auto twice = [](std::shared_ptr<int> made) -> lv::task<std::shared_ptr<int>> {
      try {
        thrower at_the_end;
        co_return made;
      } catch (int) {
      }
      co_return nullptr;
    };
    EXPECT_EQ(co_await twice(value), nullptr);
  }, counted);
  EXPECT_EQ(counted.use_count(), 1);
}
