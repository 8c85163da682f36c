// blocking(): calls run where they hold no worker up.

#include "levity/sched/blocking.hpp"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "levity/levity.hpp"
#include "levity/runtime/statistics.hpp"
#include "sched/blocking.hpp"
#include "sched/watchdog.hpp"
#include "tests/support/no_memory.hpp"
#include "tests/support/planned_faults.hpp"
#include "tests/support/run_tasks.hpp"

namespace {

namespace lv = levity;
using namespace std::chrono_literals;
using lv::detail::fault_plan;
using lv::test::planned_faults;
using lv::test::run_tasks;

TEST(blocking, returns_values_and_exceptions) {
  run_tasks(1, []() -> lv::task<> {
    EXPECT_EQ(co_await lv::blocking([](int a, int b) { return a + b; }, 2, 3), 5);
    EXPECT_EQ(*co_await lv::blocking([](std::unique_ptr<int> moved) { return moved; }, std::make_unique<int>(7)), 7);
    bool caught = false;
    try {
      co_await lv::blocking([] { throw std::runtime_error("inside"); });
    } catch (const std::runtime_error&) {
      caught = true;
    }
    EXPECT_TRUE(caught);
  });
}

TEST(blocking, holds_no_worker_up) {
  run_tasks(1, []() -> lv::task<> {
    int pipes[2];
    EXPECT_EQ(::pipe(pipes), 0);
    lv::scope calls;
    // All of them block until the one worker, which must be free, has written a byte for each.
    for (int i = 0; i < 20; i++) {
      calls.spawn([](int fd) -> lv::task<> {
        const auto got = co_await lv::blocking([](int from) {
          char byte;
          return ::read(from, &byte, 1);
        }, fd);
        EXPECT_EQ(got, 1);
      }, pipes[0]);
    }
    co_await lv::sleep(5ms);
    EXPECT_EQ(::write(pipes[1], "12345678901234567890", 20), 20);
    co_await calls.join();
    ::close(pipes[0]);
    ::close(pipes[1]);
  });
}

TEST(blocking, many_calls_from_many_tasks_all_return) {
  run_tasks(4, []() -> lv::task<> {
    lv::atomic<int> sum{0};
    lv::scope calls;
    const int tasks = 500 / lv::test::slow_build_factor + 10;
    for (int i = 0; i < tasks; i++) {
      calls.spawn([](lv::atomic<int>* total) -> lv::task<> {
        for (int n = 0; n < 10; n++) {
          total->fetch_add(co_await lv::blocking([](int x) { return x; }, 1), std::memory_order_relaxed);
        }
      }, &sum);
    }
    co_await calls.join();
    EXPECT_EQ(sum.load(std::memory_order_relaxed), tasks * 10);
  });
}

// On a machine that gives the thread no time a quick call looks slow, so not every one of them.
TEST(blocking, quick_calls_stay_where_they_are) {
  run_tasks(2, []() -> lv::task<> {
    int stayed = 0;
    for (int i = 0; i < 1000; i++) {
      const std::thread::id before = std::this_thread::get_id();
      const std::thread::id inside = co_await lv::blocking([] { return std::this_thread::get_id(); });
      stayed += before == inside ? 1 : 0;
    }
    EXPECT_GE(stayed, 900);
  });
}

// The call lasts until the others have run: those that were ready, that sleep, that wait for each other and for a connection.
TEST(blocking, a_call_that_lasts_strands_nobody) {
  for (const unsigned workers : {1U, 2U}) {
    run_tasks(workers, []() -> lv::task<> {
      std::counting_semaphore<16> all_ran{0};
      lv::scope others;
      lv::event rung;
      auto listener = lv::tcp_listener::bind("127.0.0.1:0");
      auto client = co_await lv::tcp_stream::connect(listener->local_address());
      auto server = co_await listener->accept();
      others.spawn([](std::counting_semaphore<16>* ran, lv::event* ring) -> lv::task<> {
        co_await lv::sleep(5ms);
        ring->set();
        ran->release();
      }, &all_ran, &rung);
      others.spawn([](std::counting_semaphore<16>* ran, lv::event* ring) -> lv::task<> {
        co_await ring->wait();
        ran->release();
      }, &all_ran, &rung);
      others.spawn([](std::counting_semaphore<16>* ran, lv::tcp_stream* from) -> lv::task<> {
        std::byte byte[1];
        const auto got = co_await from->read_some(byte);
        EXPECT_TRUE(got.has_value());
        ran->release();
      }, &all_ran, &*server);
      others.spawn([](lv::tcp_stream* to) -> lv::task<> {
        co_await lv::sleep(2ms);
        EXPECT_TRUE((co_await to->write_all("x")).has_value());
      }, &*client);
      co_await lv::yield();
      others.spawn([](std::counting_semaphore<16>* ran) -> lv::task<> {
        ran->release();
        co_return;
      }, &all_ran);
      co_await lv::blocking([](std::counting_semaphore<16>* ran) {
        for (int i = 0; i < 4; i++) ran->acquire();
      }, &all_ran);
      co_await others.join();
    });
  }
}

TEST(blocking, more_calls_at_a_time_than_there_are_spares) {
  run_tasks(2, []() -> lv::task<> {
    constexpr int calls = 100;
    std::counting_semaphore<calls> go{0};
    lv::atomic<int> begun{0};
    lv::scope all;
    for (int i = 0; i < calls; i++) {
      all.spawn([](std::counting_semaphore<calls>* let, lv::atomic<int>* count) -> lv::task<> {
        co_await lv::blocking([](std::counting_semaphore<calls>* wait, lv::atomic<int>* in) {
          in->fetch_add(1, std::memory_order_relaxed);
          wait->acquire();
        }, let, count);
      }, &go, &begun);
    }
    while (begun.load(std::memory_order_relaxed) < calls) co_await lv::sleep(1ms);
    go.release(calls);
    co_await all.join();
  });
}

TEST(blocking, a_call_may_wake_and_spawn_tasks_of_its_runtime) {
  run_tasks(1, []() -> lv::task<> {
    for (int i = 0; i < 200 / lv::test::slow_build_factor + 2; i++) {
      lv::event rung;
      lv::scope tasks;
      int ran = 0;
      auto wait = [](lv::event* on, int* count) -> lv::task<> {
        co_await on->wait();
        ++*count;
      };
      tasks.spawn(wait, &rung, &ran);
      co_await lv::yield();
      co_await lv::blocking([](lv::event* ring, lv::scope* into, decltype(wait) what, int* count, bool slow) {
        into->spawn(what, ring, count);
        ring->set();
        if (slow) ::usleep(500);
      }, &rung, &tasks, wait, &ran, i % 2 == 0);
      co_await tasks.join();
      EXPECT_EQ(ran, 2);
    }
  });
}

TEST(blocking, calls_of_a_pinned_task_leave_it_where_it_is) {
  run_tasks(2, []() -> lv::task<> {
    const int strayed = co_await lv::pinned([]() -> lv::task<int> {
      int away = 0;
      const std::thread::id here = std::this_thread::get_id();
      for (int i = 0; i < 20; i++) {
        co_await lv::blocking([] { ::usleep(300); });
        away += std::this_thread::get_id() != here ? 1 : 0;
      }
      co_return away;
    }());
    EXPECT_EQ(strayed, 0);
  });
}

TEST(blocking, a_cancelled_task_waits_for_its_call) {
  run_tasks(1, []() -> lv::task<> {
    std::binary_semaphore end{0};
    bool over = false;
    lv::scope tasks;
    tasks.spawn([](std::binary_semaphore* until, bool* done) -> lv::task<> {
      co_await lv::blocking([](std::binary_semaphore* wait) { wait->acquire(); }, until);
      *done = true;
      co_await lv::yield();
      ADD_FAILURE() << "the cancellation was lost";
    }, &end, &over);
    co_await lv::sleep(2ms);
    tasks.cancel();
    co_await lv::sleep(2ms);
    EXPECT_FALSE(over);
    end.release();
    co_await tasks.join();
    EXPECT_TRUE(over);
  });
}

#if !defined(LEVITY_ASAN) && !defined(LEVITY_TSAN)
// A stack for a new thread needs address space: in a process that may have no more of it there are neither spares nor a pool. Both
// ways that a call can take, in place and over the pool, end at the same place then.
TEST(blocking, where_no_thread_is_to_be_had_calls_are_made_all_the_same) {
  constexpr int limit_is_none = 77;
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(run_tasks(1, []() -> lv::task<int> {
      if (!levity::test::leave_no_memory()) ::_exit(limit_is_none);
      if (co_await lv::blocking([] { return 2; }) != 2) co_return 2;
      co_return co_await lv::pinned([]() -> lv::task<int> { co_return co_await lv::blocking([] { return 0; }); }());
    }));
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == limit_is_none) GTEST_SKIP() << levity::test::limits_nothing;
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}
#endif

// One thread that is refused, once: calls are made by the pool for a moment, and in place again when threads are to be had again.
TEST(blocking, after_a_thread_was_refused_calls_are_made_in_place_again) {
  run_tasks(1, []() -> lv::task<> {
    const planned_faults end_here;
    (void)co_await lv::blocking([] { return 0; });  // now somebody watches
    fault_plan::install_one(EAGAIN, 1, lv::detail::kernel::call::thread);
    const bool refused = co_await lv::blocking([] {
      const auto since = std::chrono::steady_clock::now();
      while (!fault_plan::struck_call() && std::chrono::steady_clock::now() < since + 30s) ::usleep(100);
      return fault_plan::struck_call().has_value();
    });
    EXPECT_TRUE(refused);
    int stayed = 0;
    const auto since = std::chrono::steady_clock::now();
    while (stayed < 10 && std::chrono::steady_clock::now() < since + 30s) {
      const std::thread::id before = std::this_thread::get_id();
      const std::thread::id inside = co_await lv::blocking([] { return std::this_thread::get_id(); });
      stayed = before == inside ? stayed + 1 : 0;
      co_await lv::yield();
    }
    EXPECT_EQ(stayed, 10);
  });
}

// While none is to be had at all, slow calls and quick ones return, and afterwards it is as if nothing had been.
TEST(blocking, while_threads_are_refused_again_and_again_every_call_returns) {
  run_tasks(2, []() -> lv::task<> {
    const planned_faults end_here;
    (void)co_await lv::blocking([] { return 0; });
    EXPECT_FALSE(fault_plan::install("nothread=2,seed=3").has_value());
    constexpr int count = 50;
    constexpr int rounds_max = 100;
    // Until one was refused indeed: how many a slow call asks for is a matter of how fast the machine is.
    for (int round = 0; round < rounds_max && (round < 4 || fault_plan::tallies()[0].struck == 0); round++) {
      lv::atomic<int> returned{0};
      lv::scope calls;
      for (int i = 0; i < count; i++) {
        calls.spawn([](int number, lv::atomic<int>* sum) -> lv::task<> {
          sum->fetch_add(co_await lv::blocking([](int us) {
            ::usleep(static_cast<unsigned>(us));
            return 1;
          }, number % 4 == 0 ? 1000 : 0), std::memory_order_relaxed);
        }, i, &returned);
      }
      co_await calls.join();
      EXPECT_EQ(returned.load(std::memory_order_relaxed), count);
    }
    EXPECT_GT(fault_plan::tallies()[0].struck, 0u);
  });
}

// A worker's thread is the first one to be started, the watchdog's the second; each call asks for that again.
TEST(watchdog, that_gets_no_thread_says_so_once_and_starts_when_a_call_finds_one) {
  const planned_faults end_here;
  ::testing::internal::CaptureStderr();
  fault_plan::install_one(EAGAIN, 2, lv::detail::kernel::call::thread);
  run_tasks(1, []() -> lv::task<> {
    EXPECT_TRUE(fault_plan::struck_call().has_value());
    EXPECT_EQ(fault_plan::install("nothread=1"), std::nullopt);  // three times in a row
    for (int i = 0; i < 3; i++) (void)co_await lv::blocking([] { return 0; });
    EXPECT_GE(fault_plan::tallies()[0].struck, 2U);
    fault_plan::remove();
    int stayed = 0;
    const auto since = std::chrono::steady_clock::now();
    while (stayed < 10 && std::chrono::steady_clock::now() < since + 30s) {
      const std::thread::id before = std::this_thread::get_id();
      stayed = before == co_await lv::blocking([] { return std::this_thread::get_id(); }) ? stayed + 1 : 0;
    }
    EXPECT_EQ(stayed, 10) << "it watches: calls are made in place";
  });
  const std::string told = ::testing::internal::GetCapturedStderr();
  const std::string words = "the watchdog cannot start (";
  EXPECT_NE(told.find(words), std::string::npos);
  EXPECT_EQ(told.find(words), told.rfind(words)) << told;
}

// After a stop of the whole process every call seems to have lasted, the quick ones too.
TEST(watchdog, a_look_that_comes_late_is_left_out_and_the_next_one_judges) {
  lv::detail::look_times looks;
  constexpr std::int64_t late = lv::detail::look_times::late_ns + 1;
  EXPECT_FALSE(looks.leave_out(1000, 1000));
  EXPECT_FALSE(looks.leave_out(1000, 1000 + lv::detail::look_times::late_ns));
  EXPECT_TRUE(looks.leave_out(1000, 1000 + late));
  EXPECT_FALSE(looks.leave_out(5'000'000, 5'000'000));
  EXPECT_TRUE(looks.leave_out(1000, 1000 + late));
}

TEST(watchdog, on_a_machine_where_every_look_is_late_every_second_one_judges) {
  lv::detail::look_times looks;
  int judged = 0;
  for (std::int64_t i = 0; i < 100; i++) judged += looks.leave_out(i * 10'000'000, i * 10'000'000 + 5'000'000) ? 0 : 1;
  EXPECT_EQ(judged, 50);
}

namespace {

long switches() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return used.ru_nvcsw;
}

}  // namespace

// Where timers have slack each look comes late, and after the last call the watchdog has nothing to look for.
TEST(watchdog, that_always_comes_late_falls_asleep_all_the_same) {
  const int before = ::prctl(PR_GET_TIMERSLACK);
  ASSERT_EQ(::prctl(PR_SET_TIMERSLACK, 2'000'000UL), 0);  // the runtime's threads inherit it
  run_tasks(1, []() -> lv::task<> {
    co_await lv::blocking([] {});
    long while_asleep = 1000;
    for (int i = 0; i < 100 && while_asleep > 20; i++) {
      const long from = switches();
      co_await lv::sleep(200ms);
      while_asleep = switches() - from;
    }
    EXPECT_LE(while_asleep, 20) << "voluntary context switches in 0.2 s";
  });
  ::prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(before));
}

// In a simulated run calls are made in place; what they do is no task's doing there either.
TEST(blocking, a_call_of_a_simulated_run_belongs_to_no_task) {
  lv::runtime_options options;
  options.backend = lv::runtime_options::sockets::sim;
  options.seed = 42;
  lv::run_with(options, []() -> lv::task<> {
    const lv::detail::executor* const here = lv::detail::current_run().exec;
    EXPECT_TRUE(co_await lv::blocking([] {
      return lv::detail::current_run().exec == nullptr && lv::detail::current_run().current == nullptr;
    }));
    EXPECT_EQ(lv::detail::current_run().exec, here);
    auto three = []() -> lv::task<int> { co_return 3; };
    EXPECT_EQ(co_await lv::blocking([](decltype(three) work) {
      lv::runtime_options inner_options;
      inner_options.embedded = true;
      lv::runtime inner(inner_options);
      return inner.block_on(work);
    }, three), 3);
    lv::event rung;
    lv::scope tasks;
    int ran = 0;
    auto wait = [](lv::event* on, int* count) -> lv::task<> {
      co_await on->wait();
      ++*count;
    };
    tasks.spawn(wait, &rung, &ran);
    co_await lv::sleep(1ms);
    co_await lv::blocking([](lv::event* ring, lv::scope* into, decltype(wait) what, int* count) {
      into->spawn(what, ring, count);
      ring->set();
    }, &rung, &tasks, wait, &ran);
    co_await tasks.join();
    EXPECT_EQ(ran, 2);
  });
}

// A thread in a call belongs to no runtime, so it may run another one.
TEST(blocking, a_call_may_run_a_runtime_of_its_own) {
  run_tasks(1, []() -> lv::task<> {
    auto three = []() -> lv::task<int> {
      co_await lv::sleep(1ms);
      co_return 3;
    };
    const int embedded = co_await lv::blocking([](decltype(three) work) {
      lv::runtime_options options;
      options.embedded = true;
      lv::runtime inner(options);
      return inner.block_on(work);
    }, three);
    EXPECT_EQ(embedded, 3);
    const int simulated = co_await lv::blocking([](decltype(three) work) {
      return lv::run_with({.backend = lv::runtime_options::sockets::sim}, work);
    }, three);
    EXPECT_EQ(simulated, 3);
    co_await lv::yield();
  });
}

namespace {

// What a call is given and gives: how often it was destroyed, and by whom.
struct traces {
  lv::atomic<int> destroyed{0};
  std::thread::id by;       // written before `destroyed`
  std::thread::id made_by;
};
struct traced {
  traces* leaves;
  explicit traced(traces* into) : leaves(into) {}
  traced(traced&& other) noexcept : leaves(std::exchange(other.leaves, nullptr)) {}
  traced& operator=(traced&&) = delete;
  ~traced() {
    if (leaves == nullptr) return;
    leaves->by = std::this_thread::get_id();
    leaves->destroyed.fetch_add(1, std::memory_order_release);
  }
};

struct way {
  unsigned workers;
  bool slow;
  bool pinned;
};

class apart : public ::testing::TestWithParam<way> {
protected:
  static lv::blocking_options abandons() { return {.slow = GetParam().slow, .abandon_on_cancel = true}; }
  // In a pinned task, where the test is of one.
  static lv::task<> where_it_is_made(lv::task<> what) {
    if (GetParam().pinned) {
      co_await lv::pinned(std::move(what));
    } else {
      co_await std::move(what);
    }
  }
};

std::string name_of(const ::testing::TestParamInfo<way>& of) {
  return std::to_string(of.param.workers) + (of.param.slow ? "_slow" : "") + (of.param.pinned ? "_pinned" : "");
}

}  // namespace

TEST_P(apart, a_call_with_options_returns_values_and_exceptions_and_belongs_to_no_task) {
  run_tasks(GetParam().workers, []() -> lv::task<> {
    co_await where_it_is_made([]() -> lv::task<> {
      const lv::blocking_options how = abandons();
      for (int i = 0; i < 100; i++) {
        EXPECT_EQ(co_await lv::blocking(how, [](int a, int b) { return a + b; }, 2, i), 2 + i);
        EXPECT_EQ(*co_await lv::blocking(how, [](std::unique_ptr<int> moved) { return moved; }, std::make_unique<int>(7)), 7);
        co_await lv::blocking(how, [] { EXPECT_EQ(lv::detail::current_run().exec, nullptr); });
        bool caught = false;
        try {
          co_await lv::blocking(how, [] { throw std::runtime_error("inside"); });
        } catch (const std::runtime_error&) {
          caught = true;
        }
        EXPECT_TRUE(caught);
      }
      traces left;
      co_await lv::blocking(how, [](const traced&) {}, traced(&left));
      EXPECT_EQ(left.destroyed.load(std::memory_order_relaxed), 1);
      if (GetParam().workers == 1) {
        EXPECT_EQ(left.by, std::this_thread::get_id());
      }
    }());
  });
}

// Only who is answered can let the call end.
TEST_P(apart, a_cancelled_task_is_answered_and_its_call_goes_on_by_itself) {
  run_tasks(GetParam().workers, []() -> lv::task<> {
    for (const bool throws : {false, true}) {
      std::binary_semaphore begun{0};
      std::binary_semaphore end{0};
      traces argument;
      traces result;
      {
        lv::scope tasks;
        tasks.spawn([](auto* here, auto* until, traces* in, traces* out, bool fails) -> lv::task<> {
          co_await where_it_is_made([](auto* came, auto* wait, traces* of_in, traces* of_out, bool fail) -> lv::task<> {
            bool told = false;
            try {
              const auto made = [](auto* say, auto* sleep, traces* from, traces* into, bool thrown, const traced&) {
                from->made_by = std::this_thread::get_id();
                say->release();
                sleep->acquire();
                if (thrown) throw std::runtime_error("dropped");
                return traced(into);
              };
              (void)co_await lv::blocking(abandons(), made, came, wait, of_in, of_out, fail, traced(of_in));
            } catch (const lv::cancelled& why) {
              told = why.reason() == lv::cancel_reason::requested;
            }
            EXPECT_TRUE(told);
            wait->release();
          }(here, until, in, out, fails));
        }, &begun, &end, &argument, &result, throws);
        while (!begun.try_acquire()) co_await lv::sleep(100us);
        tasks.cancel();
        co_await tasks.join();
      }
      while (argument.destroyed.load(std::memory_order_acquire) == 0) co_await lv::sleep(100us);
      EXPECT_EQ(argument.by, argument.made_by);
      EXPECT_EQ(result.destroyed.load(std::memory_order_acquire), throws ? 0 : 1);
      if (!throws) {
        EXPECT_EQ(result.by, argument.made_by);
      }
      co_await lv::sleep(1ms);
      EXPECT_EQ(argument.destroyed.load(std::memory_order_relaxed), 1);
    }
  });
}

TEST_P(apart, who_is_cancelled_before_makes_no_call) {
  const unsigned before = lv::detail::apart_call::left_behind_approx();
  run_tasks(GetParam().workers, []() -> lv::task<> {
    traces argument;
    bool made = false;
    bool told = false;
    lv::scope tasks;
    tasks.spawn([](traces* in, bool* called, bool* answered, lv::scope* of) -> lv::task<> {
      of->cancel();
      try {
        co_await lv::blocking(abandons(), [](bool* say, const traced&) { *say = true; }, called, traced(in));
      } catch (const lv::cancelled&) {
        *answered = true;
      }
    }, &argument, &made, &told, &tasks);
    co_await tasks.join();
    EXPECT_TRUE(told);
    EXPECT_FALSE(made);
    EXPECT_EQ(argument.destroyed.load(std::memory_order_relaxed), 1);
  });
  EXPECT_EQ(lv::detail::apart_call::left_behind_approx(), before);
}

TEST_P(apart, without_abandon_on_cancel_a_cancelled_task_waits_for_its_call) {
  run_tasks(GetParam().workers, []() -> lv::task<> {
    std::binary_semaphore end{0};
    bool over = false;
    lv::scope tasks;
    tasks.spawn([](std::binary_semaphore* until, bool* done) -> lv::task<> {
      co_await where_it_is_made([](auto* wait, bool* ended) -> lv::task<> {
        co_await lv::blocking({.slow = GetParam().slow}, [](auto* sleep) { sleep->acquire(); }, wait);
        *ended = true;
      }(until, done));
    }, &end, &over);
    co_await lv::sleep(2ms);
    tasks.cancel();
    co_await lv::sleep(2ms);
    EXPECT_FALSE(over);
    end.release();
    co_await tasks.join();
    EXPECT_TRUE(over);
  });
}

TEST_P(apart, the_end_of_the_runtime_waits_for_a_call_that_was_left_behind) {
  traces argument;
  bool over = false;
  run_tasks(GetParam().workers, [](traces* in, bool* done) -> lv::task<> {
    std::binary_semaphore begun{0};
    lv::scope tasks;
    tasks.spawn([](std::binary_semaphore* here, traces* leaves, bool* ends) -> lv::task<> {
      co_await where_it_is_made([](auto* came, traces* into, bool* ended) -> lv::task<> {
        co_await lv::blocking(abandons(), [](auto* say, bool* end, const traced&) {
          say->release();
          ::usleep(50'000);
          *end = true;
        }, came, ended, traced(into));
      }(here, leaves, ends));
    }, &begun, in, done);
    while (!begun.try_acquire()) co_await lv::sleep(100us);
    tasks.cancel();
    co_await tasks.join();
  }, &argument, &over);
  EXPECT_TRUE(over);
  EXPECT_EQ(argument.destroyed.load(std::memory_order_relaxed), 1);
}

INSTANTIATE_TEST_SUITE_P(calls, apart, ::testing::Values(way{1, false, false}, way{1, true, false}, way{2, false, false},
                                                         way{2, true, false}, way{1, false, true}, way{2, false, true}), name_of);

// With the only slot. Who is found to last by a look costs a spare.
TEST(blocking, a_slow_call_holds_nobody_up_and_needs_no_look) {
  for (const unsigned workers : {1U, 2U}) {
    run_tasks(workers, [](unsigned slots) -> lv::task<> {
      const unsigned before = lv::threads_of_runtime().threads;
      EXPECT_EQ(before, slots);
      lv::scope others;
      std::counting_semaphore<16> ran{0};
      for (unsigned i = 0; i < slots; i++) {
        others.spawn([](auto* say) -> lv::task<> {
          co_await lv::sleep(2ms);
          say->release();
        }, &ran);
      }
      lv::scope calls;
      for (unsigned i = 0; i < slots; i++) {
        calls.spawn([](auto* wait) -> lv::task<> {
          co_await lv::blocking({.slow = true}, [](auto* until) { until->acquire(); }, wait);
        }, &ran);
      }
      co_await calls.join();
      co_await others.join();
      EXPECT_EQ(lv::threads_of_runtime().threads, before);
    }, workers);
  }
}

// More than the pool has threads: the others are made in place, and none waits for the end of another one.
TEST(blocking, more_slow_calls_at_a_time_than_the_pool_has_threads) {
  run_tasks(2, []() -> lv::task<> {
    constexpr int calls = 80;
    static_assert(calls > lv::detail::blocking_pool::threads_max);
    std::counting_semaphore<calls> go{0};
    lv::atomic<int> begun{0};
    lv::scope all;
    for (int i = 0; i < calls; i++) {
      all.spawn([](std::counting_semaphore<calls>* let, lv::atomic<int>* count) -> lv::task<> {
        co_await lv::blocking({.slow = true}, [](std::counting_semaphore<calls>* wait, lv::atomic<int>* in) {
          in->fetch_add(1, std::memory_order_relaxed);
          wait->acquire();
        }, let, count);
      }, &go, &begun);
    }
    while (begun.load(std::memory_order_relaxed) < calls) co_await lv::sleep(1ms);
    go.release(calls);
    co_await all.join();
  });
}

// The pool makes them, and they are answered all the same.
TEST(blocking, calls_are_left_behind_while_no_spare_is_to_be_had) {
  lv::runtime_options options;
  options.workers = 1;
  options.stuck_threads_max = 0;
  options.handle_signals = false;
  lv::run_with(options, []() -> lv::task<> {
    constexpr int calls = 4;
    auto end = std::make_shared<std::counting_semaphore<calls>>(0);  // what is left behind may outlive this task
    lv::atomic<int> begun{0};
    lv::atomic<int> told{0};
    lv::scope all;
    for (int i = 0; i < calls; i++) {
      all.spawn([](auto until, auto* came, auto* answered) -> lv::task<> {
        try {
          co_await lv::blocking({.abandon_on_cancel = true}, [](const auto& wait, auto* in) {
            in->fetch_add(1, std::memory_order_relaxed);
            wait->acquire();
          }, until, came);
        } catch (const lv::cancelled&) {
          answered->fetch_add(1, std::memory_order_relaxed);
        }
      }, end, &begun, &told);
    }
    while (begun.load(std::memory_order_relaxed) < calls) co_await lv::sleep(1ms);
    all.cancel();
    co_await all.join();
    EXPECT_EQ(told.load(std::memory_order_relaxed), calls);
    end->release(calls);
    while (lv::threads_of_runtime().threads > 2) co_await lv::sleep(1ms);  // nobody was started beyond the bound
  });
}

TEST(blocking, a_deadline_leaves_a_call_behind_and_a_simulated_run_makes_it_in_place) {
  run_tasks(1, []() -> lv::task<> {
    auto end = std::make_shared<std::binary_semaphore>(0);
    bool late = false;
    try {
      co_await lv::with_deadline(5ms, [](std::shared_ptr<std::binary_semaphore> until) -> lv::task<> {
        co_await lv::blocking({.abandon_on_cancel = true}, [](const std::shared_ptr<std::binary_semaphore>& wait) {
          wait->acquire();
        }, until);
      }(end));
    } catch (const lv::cancelled& why) {
      late = why.reason() == lv::cancel_reason::deadline;
    }
    EXPECT_TRUE(late);
    end->release();
  });
  lv::run_with({.backend = lv::runtime_options::sockets::sim}, []() -> lv::task<> {
    for (const bool slow : {false, true}) {
      EXPECT_EQ(co_await lv::blocking({.slow = slow, .abandon_on_cancel = true}, [](int n) { return n + 1; }, 1), 2);
    }
  });
}

// A call that ends just when the watchdog starts a thread to take its slot: that thread is born while the runtime ends.
TEST(blocking, a_runtime_ends_while_a_spare_is_born) {
  for (int i = 0; i < 500 / lv::test::slow_build_factor; i++) {
    run_tasks(1, [](unsigned us) -> lv::task<> {
      co_await lv::blocking([](unsigned wait) { ::usleep(wait); }, us);
    }, static_cast<unsigned>(i % 100) * 5);
  }
}

// Slots change hands all the time while tasks talk, sleep, spawn and are cancelled.
TEST(blocking, slow_and_quick_calls_among_everything_else) {
  for (const unsigned workers : {1U, 2U, 4U}) {
    run_tasks(workers, []() -> lv::task<> {
      lv::channel<int> line{8};
      lv::atomic<int> received{0};
      constexpr int senders = 12;
      const int rounds = 200 / lv::test::slow_build_factor + 2;
      lv::scope all;
      for (int i = 0; i < senders; i++) {
        all.spawn([](int number, int times, lv::channel<int>* into) -> lv::task<> {
          for (int n = 0; n < times; n++) {
            if ((n + number) % 5 == 0) {
              co_await lv::blocking([](int us) { ::usleep(static_cast<unsigned>(us)); }, 50 * (number % 8));
            } else {
              (void)co_await lv::blocking([](int x) { return x + 1; }, n);
            }
            lv::scope children;
            for (int c = 0; c < 3; c++) {
              children.spawn([](int kind) -> lv::task<> {
                if (kind == 0) co_await lv::yield();
                if (kind == 1) co_await lv::blocking([] { ::usleep(20); });
                if (kind == 2) co_await lv::sleep(100us);
              }, c);
            }
            if (n % 7 == 0) children.cancel();
            co_await children.join();
            EXPECT_TRUE((co_await into->send(n)).has_value());
          }
        }, i, rounds, &line);
      }
      all.spawn([](lv::channel<int>* from, lv::atomic<int>* count, int wanted) -> lv::task<> {
        for (int n = 0; n < wanted; n++) {
          const auto got = co_await from->receive();
          if (got.has_value()) count->fetch_add(1, std::memory_order_relaxed);
        }
      }, &line, &received, senders * rounds);
      co_await all.join();
      EXPECT_EQ(received.load(std::memory_order_relaxed), senders * rounds);
    });
  }
}

}  // namespace
