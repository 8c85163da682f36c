// Goal: a bound value is seen by the block that bound it, what it awaits and whatever it spawns, and by nobody else; each value is
// destroyed once, after its last user.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::run_tasks;
using levity::test::slow_build_factor;

namespace {

const lv::task_local<std::string> request{"request"};
const lv::task_local<int> depth{"depth"};
const lv::task_local<std::shared_ptr<int>> shared;

lv::task<std::string> sees() { co_return request.value_or("none"); }
lv::task<> notes(std::string* what, lv::event* go) {
  if (go != nullptr) co_await go->wait();
  *what = request.value_or("none");
}

// Looks around when the last task that inherited it has ended.
struct last_look {
  bool* no_task_runs = nullptr;

  explicit last_look(bool* told) noexcept : no_task_runs(told) {}
  last_look(last_look&& other) noexcept : no_task_runs(std::exchange(other.no_task_runs, nullptr)) {}
  last_look& operator=(last_look&&) = delete;
  ~last_look() {
    if (no_task_runs != nullptr) *no_task_runs = request.get() == nullptr && lv::detail::current_run().current == nullptr;
  }
};
const lv::task_local<last_look> looks;

}  // namespace

TEST(task_local, is_seen_until_its_block_ends) {
  EXPECT_EQ(request.get(), nullptr) << "no task runs here";
  run_tasks(1, []() -> lv::task<> {
    EXPECT_EQ(request.get(), nullptr);
    {
      const auto bound = request.bind("a");
      EXPECT_EQ(*request.get(), "a");
      EXPECT_EQ(co_await sees(), "a");
      {
        const auto inner = request.bind("b");
        const auto other = depth.bind(3);
        co_await lv::sleep(1ms);
        EXPECT_EQ(co_await sees(), "b");
        EXPECT_EQ(depth.value_or(0), 3);
      }
      EXPECT_EQ(co_await sees(), "a");
      EXPECT_EQ(depth.get(), nullptr);
    }
    EXPECT_EQ(co_await sees(), "none");
  });
}

TEST(task_local, a_child_sees_what_was_bound_when_it_was_spawned) {
  for (unsigned workers : {1U, 4U}) {
    run_tasks(workers, []() -> lv::task<> {
      std::string first, second, third, grandchild;
      lv::event go;
      lv::scope tasks;
      struct probe {
        static lv::task<> spawns(std::string* what, lv::event* late) {
          lv::scope own;
          own.spawn(notes, what, late);
          co_await own.join();
        }
      };
      {
        const auto bound = request.bind("outer");
        tasks.spawn(notes, &first, &go);
        tasks.spawn(probe::spawns, &grandchild, &go);
        const auto inner = request.bind("inner");
        tasks.spawn(notes, &second, &go);
      }
      tasks.spawn(notes, &third, nullptr);
      go.set();
      co_await tasks.join();
      EXPECT_EQ(first, "outer");
      EXPECT_EQ(grandchild, "outer");
      EXPECT_EQ(second, "inner");
      EXPECT_EQ(third, "none");
    });
  }
}

TEST(task_local, follows_branches_and_detached_tasks_but_not_other_threads) {
  run_tasks(2, []() -> lv::task<> {
    const auto bound = request.bind("r");
    const auto [one, two] = co_await lv::when_all(sees(), sees());
    EXPECT_EQ(one, "r");
    EXPECT_EQ(two, "r");
    const auto raced = co_await lv::race(sees(), sees());
    EXPECT_EQ(std::visit([](const std::string& won) { return won; }, raced), "r");
    const auto in_time = co_await lv::with_deadline(1h, sees());
    EXPECT_EQ(in_time, "r");
    std::string detached;
    lv::event done;
    lv::detach([](std::string* what, lv::event* end) -> lv::task<> {
      *what = request.value_or("none");
      end->set();
      co_return;
    }, &detached, &done);
    co_await done.wait();
    EXPECT_EQ(detached, "r");
    const bool seen = co_await lv::blocking(+[] { return request.get() != nullptr; });
    EXPECT_FALSE(seen);
  });
}

TEST(task_local, values_are_destroyed_once_after_their_last_user) {
  const auto value = std::make_shared<int>(1);
  run_tasks(4, [](std::shared_ptr<int> what) -> lv::task<> {
    struct probe {
      static lv::task<> uses(int rounds) {
        for (int i = 0; i < rounds; i++) co_await lv::yield();
        EXPECT_EQ(**shared.get(), 1);
        if (rounds > 1) {
          lv::scope own;
          const auto again = depth.bind(rounds);
          own.spawn(uses, rounds - 2);
          own.spawn(uses, 0);
          co_await own.join();
        }
      }
    };
    lv::scope tasks;
    for (int i = 0; i < 3000 / slow_build_factor; i++) {
      const auto bound = shared.bind(what);
      tasks.spawn(probe::uses, i % 5);
      if (i % 64 == 0) co_await lv::yield();
      if (i == 2000 / slow_build_factor) tasks.cancel();
    }
    co_await tasks.join();
  }, value);
  EXPECT_EQ(value.use_count(), 1);
}

TEST(task_local, an_exception_unbinds) {
  run_tasks(1, []() -> lv::task<> {
    struct probe {
      static lv::task<> fails() {
        const auto bound = request.bind("lost");
        co_await lv::yield();
        throw 1;
      }
    };
    try {
      co_await probe::fails();
    } catch (int) {
    }
    EXPECT_EQ(request.get(), nullptr);
  });
}

// The task left a scope behind, so its end comes with that of the scope's last child, whose record is gone by then.
TEST(task_local, a_value_that_dies_after_its_task_has_ended_belongs_to_no_task) {
  bool no_task_ran = false;
  run_tasks(1, [](bool* told) -> lv::task<> {
    const auto sleeps = []() -> lv::task<> {
      try {
        co_await lv::sleep(1h);
      } catch (const lv::cancelled&) {
      }
    };
    const auto leaves = [](decltype(sleeps) child) -> lv::task<> {
      lv::scope left;
      left.spawn(child);
      co_await lv::sleep(2ms);
      throw 1;
    };
    lv::scope tasks{lv::on_failure::report};
    {
      const auto bound = looks.bind(last_look{told});
      tasks.spawn(leaves, sleeps);
    }
    co_await tasks.join();
  }, &no_task_ran);
  EXPECT_TRUE(no_task_ran);
}
