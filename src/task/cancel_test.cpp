// Goal: a cause of cancellation reaches whom it concerns, however it was hidden, nested or timed; what ends early ends whole.
// Method: the smallest program for each way a cause could get lost, and trees too deep for a stack.
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

lv::task<> sleeps(lv::duration time) { co_await lv::sleep(time); }

lv::task<int> times_out() {
  co_await lv::with_deadline(1ms, sleeps(1h));
  co_return 1;
}

lv::task<int> waits_for_ever() {
  co_await lv::sleep(1h);
  co_return 2;
}

}  // namespace

TEST(cancel, raised_behind_a_shield_outlasts_a_deadline_inside_it) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> covered() {
        try {
          co_await lv::with_deadline(5ms, sleeps(1h));
        } catch (const lv::cancelled& ended) {
          EXPECT_EQ(ended.reason(), lv::cancel_reason::deadline);
        }
      }
      static lv::task<> whole(lv::cancel_reason* why) {
        co_await lv::shield(covered());
        try {
          co_await lv::sleep(1h);
        } catch (const lv::cancelled& ended) {
          *why = ended.reason();
        }
      }
    };
    auto why = lv::cancel_reason::none;
    lv::scope tasks;
    tasks.spawn(probe::whole, &why);
    co_await lv::sleep(1ms);
    tasks.cancel();
    co_await tasks.join();
    EXPECT_EQ(why, lv::cancel_reason::requested);
  });
}

TEST(cancel, a_deadline_inside_a_shield_ends_the_wait_of_a_task_that_was_cancelled_before) {
  run_tasks(2, []() -> lv::task<> {
    struct probe {
      static lv::task<> covered() {
        for (int i = 0; i < 2000 / slow_build_factor; i++) {
          try {
            // The deadline passes while the task is about to park.
            co_await lv::with_deadline(std::chrono::nanoseconds{i % 50 * 100}, sleeps(1h));
          } catch (const lv::cancelled&) {
          }
        }
      }
      static lv::task<> whole() { co_await lv::shield(covered()); }
      static lv::task<> computes(lv::atomic<bool>* done) {
        while (!done->load(std::memory_order_relaxed)) co_await lv::yield();  // keeps the timers of the other worker busy
      }
    };
    lv::atomic<bool> done{false};
    lv::scope busy;
    busy.spawn(probe::computes, &done);
    lv::scope tasks;
    for (int i = 0; i < 4; i++) tasks.spawn(probe::whole);
    co_await lv::yield();
    tasks.cancel();
    co_await tasks.join();
    done.store(true, std::memory_order_relaxed);
    co_await busy.join();
  });
}

TEST(cancel, a_branch_that_runs_out_of_its_own_deadline_fails_the_whole) {
  run_tasks(2, []() -> lv::task<> {
    auto why = lv::cancel_reason::none;
    try {
      const auto [first, second] = co_await lv::when_all(times_out(), waits_for_ever());
      ADD_FAILURE() << first << second;
    } catch (const lv::cancelled& ended) {
      why = ended.reason();
    }
    EXPECT_EQ(why, lv::cancel_reason::deadline);
    why = lv::cancel_reason::none;
    try {
      std::vector<lv::task<int>> branches;
      branches.push_back(waits_for_ever());
      branches.push_back(times_out());
      (void)co_await lv::when_all(std::move(branches));
    } catch (const lv::cancelled& ended) {
      why = ended.reason();
    }
    EXPECT_EQ(why, lv::cancel_reason::deadline);
  });
}

TEST(cancel, a_child_that_runs_out_of_its_own_deadline_has_failed_and_one_that_was_cancelled_has_not) {
  run_tasks(1, []() -> lv::task<> {
    bool failed = false;
    try {
      lv::scope tasks;
      tasks.spawn([]() -> lv::task<> { co_await lv::with_deadline(1ms, sleeps(1h)); });
      co_await tasks.join();
    } catch (const lv::cancelled&) {
      failed = true;
    }
    EXPECT_TRUE(failed);
    lv::scope tasks;
    tasks.spawn(sleeps, 1h);
    tasks.cancel();
    co_await tasks.join();
  });
}

TEST(cancel, a_main_task_that_runs_out_of_its_own_deadline_says_so) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(run_tasks(1, []() -> lv::task<> { co_await lv::with_deadline(1ms, sleeps(1h)); }), 1);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("main"), std::string::npos);
}

TEST(cancel, goes_down_a_tree_that_is_deeper_than_any_stack) {
  struct probe {
    static lv::task<> nests(int depth, int* ended) {
      lv::scope inner;
      if (depth > 0) {
        inner.spawn(nests, depth - 1, ended);
      } else {
        inner.spawn(sleeps, 1h);
      }
      co_await inner.join();
      ++*ended;
    }
  };
  const int depth = 200'000 / slow_build_factor;
  int ended = 0;
  run_tasks(1, [](int levels, int* count) -> lv::task<> {
    lv::scope tasks;
    tasks.spawn(probe::nests, levels, count);
    co_await lv::sleep(1ms);
    tasks.cancel();
    co_await tasks.join();
  }, depth, &ended);
  EXPECT_EQ(ended, depth + 1) << "a join waits for its children and then goes on";
}

TEST(cancel, the_end_of_tasks_that_left_each_other_behind_needs_no_stack) {
  struct probe {
    // Leaves its scope while the child still runs: the child's end is part of its own.
    static lv::task<> leaves(int depth) {
      lv::scope inner;
      if (depth > 0) {
        inner.spawn(leaves, depth - 1);
      } else {
        inner.spawn([]() -> lv::task<> { co_await lv::shield(sleeps(2ms)); });
      }
      co_await lv::yield();
    }
  };
  run_tasks(1, [](int levels) -> lv::task<> {
    lv::scope tasks{lv::on_failure::keep_going};
    tasks.spawn(probe::leaves, levels);
    co_await tasks.join();
  }, 100'000 / slow_build_factor);
  EXPECT_EQ(lv::live_tasks(), 0U);
}

TEST(scope, left_behind_again_and_again_by_one_task_keeps_nothing) {
  run_tasks(1, []() -> lv::task<> {
    const auto rounds = 20'000 / slow_build_factor;
    std::uint64_t before = 0;
    for (int i = 0; i < rounds; i++) {
      try {
        lv::scope inner;
        inner.spawn(sleeps, 1h);
        throw std::runtime_error("left");
      } catch (const std::runtime_error&) {
      }
      co_await lv::yield();
      co_await lv::yield();
      if (i == rounds / 2) before = lv::frame_statistics().bytes_in_use;
    }
    EXPECT_LT(lv::frame_statistics().bytes_in_use, before + 4096);
  });
}

TEST(scope, a_failure_in_a_scope_that_was_left_is_reported) {
  testing::internal::CaptureStderr();
  run_tasks(1, []() -> lv::task<> {
    try {
      lv::scope inner;
      inner.spawn([]() -> lv::task<> {
        try {
          co_await lv::sleep(1h);
        } catch (const lv::cancelled&) {
          throw std::runtime_error("while it was abandoned");
        }
      });
      co_await lv::yield();
      throw std::runtime_error("left");
    } catch (const std::runtime_error&) {
    }
  });
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("while it was abandoned"), std::string::npos) << said;
  EXPECT_NE(said.find("a task of a scope opened at "), std::string::npos) << said;
  EXPECT_NE(said.find("cancel_test.cpp:"), std::string::npos) << said;
}

TEST(scope, takes_over_what_a_parameter_only_looks_at) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> looks(std::string_view text, std::string* seen) {
        co_await lv::yield();
        *seen = text;
      }
    };
    std::string seen;
    lv::scope tasks;
    tasks.spawn(probe::looks, std::string(1000, 'x'), &seen);
    co_await tasks.join();
    EXPECT_EQ(seen, std::string(1000, 'x'));
  });
}

TEST(race, a_winner_whose_value_cannot_be_moved_fails_the_race) {
  struct heavy {
    heavy() = default;
    heavy(heavy&& other) : moves(other.moves + 1) {
      if (moves > 1) throw std::runtime_error("too heavy");
    }
    int moves = 0;
  };
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<heavy> wins() { co_return heavy{}; }
    };
    std::string what;
    try {
      (void)co_await lv::race(probe::wins(), sleeps(1h));
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "too heavy");
  });
}

TEST(fairness, neither_a_pair_that_wakes_each_other_nor_one_that_yields_keeps_the_oldest_waiting) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> plays(lv::channel<int>* in, lv::channel<int>* out, bool* stop) {
        while (!*stop) {
          const auto sent = co_await out->send(1);
          if (!sent) co_return;
          const auto ball = co_await in->receive();
          if (!ball) co_return;
        }
        out->close();
        in->close();
      }
      static lv::task<> yields(bool* stop) {
        while (!*stop) co_await lv::yield();
      }
      static lv::task<> waits(bool* stop) {
        *stop = true;
        co_return;
      }
    };
    bool stop = false;
    lv::channel<int> there{1};
    lv::channel<int> back{1};
    lv::scope tasks;
    tasks.spawn(probe::waits, &stop);  // the oldest of the queue
    tasks.spawn(probe::plays, &there, &back, &stop);
    tasks.spawn(probe::plays, &back, &there, &stop);
    tasks.spawn(probe::yields, &stop);
    co_await tasks.join();
    EXPECT_TRUE(stop);
  });
}
