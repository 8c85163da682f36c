// Goal: a program with threads, a main function or an event loop of its own can use tasks, and loses none.
// Method: many threads that block on tasks, a loop over poll(2), and what must be refused.
#include "levity/runtime/runtime.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "levity/levity.hpp"
#include "levity/sched/blocking.hpp"
#include "platform/cpu_set.hpp"
#include "platform/fault_plan.hpp"
#include "runtime/refusal.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::test::slow_build_factor;

namespace {

lv::task<int> doubled(int number) {
  co_await lv::yield();
  co_return 2 * number;
}

lv::task<std::string> joined(std::string left, std::string right) {
  co_await lv::sleep(1ms);
  co_return left + right;
}

lv::task<> fails() {
  co_await lv::yield();
  throw std::runtime_error("no stock");
}

lv::runtime_options embedded() {
  lv::runtime_options options;
  options.embedded = true;
  return options;
}

lv::runtime_options two_workers() {
  lv::runtime_options options;
  options.workers = 2;
  return options;
}

lv::task<> adds(lv::atomic<int>* sum) {
  co_await lv::sleep(1ms);
  sum->fetch_add(1, std::memory_order_relaxed);
}

lv::task<> tells_that_it_was_cancelled(lv::atomic<int>* told) {
  try {
    co_await lv::sleep(1h);
  } catch (const lv::cancelled& ended) {
    if (ended.reason() == lv::cancel_reason::shutdown) told->fetch_add(1, std::memory_order_relaxed);
    throw;
  }
}

}  // namespace

TEST(runtime, block_on_returns_what_the_task_does) {
  lv::runtime tasks(two_workers());
  EXPECT_EQ(tasks.block_on(doubled, 21), 42);
  EXPECT_EQ(tasks.block_on(joined, std::string("a"), std::string("b")), "ab");
  EXPECT_THROW(tasks.block_on(fails), std::runtime_error);
  EXPECT_EQ(tasks.block_on(doubled, 4), 8) << "a failure ends nothing else";
}

TEST(runtime, many_threads_block_on_it_at_a_time) {
  lv::runtime tasks(two_workers());
  std::vector<std::thread> threads;
  lv::atomic<int> wrong{0};
  for (int t = 0; t < 8; t++) {
    threads.emplace_back([&tasks, &wrong, t] {
      for (int i = 0; i < 2000 / slow_build_factor; i++) {
        if (tasks.block_on(doubled, i + t) != 2 * (i + t)) wrong.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(wrong.load(std::memory_order_relaxed), 0);
}

TEST(runtime, the_end_of_it_cancels_what_still_runs_and_waits) {
  lv::atomic<int> told{0};
  {
    lv::runtime tasks(two_workers());
    for (int i = 0; i < 100; i++) tasks.spawn(tells_that_it_was_cancelled, &told);
    while (tasks.block_on([]() -> lv::task<std::uint64_t> { co_return lv::live_tasks(); }) < 101) std::this_thread::yield();
    // All have started and wait: otherwise they would end without a word.
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_EQ(told.load(std::memory_order_relaxed), 100);
}

TEST(runtime, a_failure_that_nobody_waits_for_is_reported) {
  testing::internal::CaptureStderr();
  {
    lv::runtime tasks(two_workers());
    tasks.spawn(fails);
    tasks.block_on(doubled, 1);
    std::this_thread::sleep_for(20ms);
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("no stock"), std::string::npos) << said;
}

TEST(runtime, two_runtimes_live_side_by_side) {
  lv::runtime one(two_workers());
  lv::runtime other(two_workers());
  EXPECT_EQ(one.block_on(doubled, 1) + other.block_on(doubled, 2), 6);
}

TEST(runtime, block_on_inside_a_task_is_refused) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        lv::runtime tasks(two_workers());
        tasks.block_on([](lv::runtime* same) -> lv::task<int> { co_return same->block_on(doubled, 1); }, &tasks);
      },
      "co_await the task instead");
}

TEST(embedded, a_loop_over_poll_runs_timers_spawns_and_sockets) {
  lv::runtime tasks(embedded());
  ASSERT_GE(tasks.pollable_fd(), 0);
  lv::atomic<int> sum{0};
  for (int i = 0; i < 10; i++) tasks.spawn(adds, &sum);
  tasks.spawn([](lv::atomic<int>* counted) -> lv::task<> {
    auto bound = lv::tcp_listener::bind("127.0.0.1:0");
    lv::tcp_listener listener = std::move(bound.value());
    lv::scope ends;
    ends.spawn([](lv::address to) -> lv::task<> {
      auto peer = co_await lv::tcp_stream::connect(to);
      (void)co_await peer.value().write_all("hello");
    }, listener.local_address());
    auto peer = co_await listener.accept();
    const auto got = co_await peer.value().read_some();
    if (got.has_value() && got->size() == 5) counted->fetch_add(100, std::memory_order_relaxed);
    co_await ends.join();
  }, &sum);
  pollfd watched{tasks.pollable_fd(), POLLIN, 0};
  int turns = 0;
  while (sum.load(std::memory_order_relaxed) < 110 && turns < 10'000) {
    ASSERT_EQ(::poll(&watched, 1, 10'000), 1) << "asleep with work to do";
    tasks.run_ready();
    turns++;
  }
  EXPECT_EQ(sum.load(std::memory_order_relaxed), 110);
  // With nothing to do it is quiet.
  tasks.run_ready();
  EXPECT_EQ(::poll(&watched, 1, 50), 0);
}

TEST(embedded, a_spawn_from_another_thread_ends_the_sleep_of_the_loop) {
  lv::runtime tasks(embedded());
  lv::atomic<int> sum{0};
  const int spawns = 2000 / slow_build_factor;
  std::thread guest([&tasks, &sum, many = spawns] {
    for (int i = 0; i < many; i++) {
      tasks.spawn([](lv::atomic<int>* count) -> lv::task<> {
        count->fetch_add(1, std::memory_order_relaxed);
        co_return;
      }, &sum);
      if (i % 10 == 0) std::this_thread::yield();
    }
  });
  pollfd watched{tasks.pollable_fd(), POLLIN, 0};
  while (sum.load(std::memory_order_relaxed) < spawns) {
    ASSERT_EQ(::poll(&watched, 1, 10'000), 1) << "asleep with work to do, after " << sum.load(std::memory_order_relaxed);
    tasks.run_ready();
  }
  guest.join();
}

TEST(embedded, block_on_drives_it) {
  lv::runtime tasks(embedded());
  EXPECT_EQ(tasks.block_on(joined, std::string("x"), std::string("y")), "xy");
  EXPECT_EQ(tasks.block_on(doubled, 5), 10);
}

TEST(embedded, files_come_back_to_the_loop) {
  lv::runtime tasks(embedded());
  const auto size = tasks.block_on([]() -> lv::task<std::uint64_t> {
    lv::file_options options;
    options.read = true;
    auto opened = co_await lv::file::open("/proc/self/status", options);
    std::vector<std::byte> bytes(64);
    const auto got = co_await opened.value().read_at(0, bytes);
    co_return got.value();
  });
  EXPECT_EQ(size, 64u);
}

TEST(embedded, tasks_that_live_at_its_end_are_cancelled_there) {
  lv::atomic<int> told{0};
  {
    lv::runtime tasks(embedded());
    tasks.spawn(tells_that_it_was_cancelled, &told);
    tasks.block_on(doubled, 1);
    tasks.run_ready();
  }
  EXPECT_EQ(told.load(std::memory_order_relaxed), 1);
}

// The pool's thread closes it, on a reactor; in an embedded runtime all calls are made there.
lv::task<> leave_a_call_behind_with_a_socket() {
  auto listener = lv::tcp_listener::bind("127.0.0.1:0");
  EXPECT_TRUE(listener.has_value());
  try {
    co_await lv::with_deadline(5ms, [](lv::tcp_listener with) -> lv::task<> {
      co_await lv::blocking({.slow = true, .abandon_on_cancel = true}, [](const lv::tcp_listener&) { ::usleep(100'000); },
                            std::move(with));
    }(std::move(*listener)));
  } catch (const lv::cancelled&) {
  }
}

TEST(runtime, a_call_that_is_left_behind_may_own_a_socket) {
  lv::run_with(two_workers(), leave_a_call_behind_with_a_socket);
  lv::runtime inside(embedded());
  inside.block_on(leave_a_call_behind_with_a_socket);
}

TEST(runtime, a_second_signal_ends_a_process_whose_calls_were_left_behind) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    lv::run_with(two_workers(), [](int say) -> lv::task<> {
      co_await lv::with_deadline(1ms, [](int to) -> lv::task<> {
        co_await lv::blocking({.abandon_on_cancel = true}, [](int into) {
          (void)!::write(into, "x", 1);
          ::sleep(60);
        }, to);
      }(say));
    }, ends[1]);
    ::_exit(0);
  }
  char begun = 0;
  ASSERT_EQ(::read(ends[0], &begun, 1), 1);
  std::this_thread::sleep_for(300ms);
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < 100 && ended == 0; i++) {
    ::kill(child, SIGTERM);
    std::this_thread::sleep_for(100ms);
    ended = ::waitpid(child, &status, WNOHANG);
  }
  if (ended == 0) {
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
  }
  EXPECT_TRUE(ended == child && WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGTERM) << status;
  ::close(ends[0]);
  ::close(ends[1]);
}

namespace {

// What run() would tell is thrown instead.
class refusal_thrown {
public:
  refusal_thrown() { lv::detail::tell_refusal = [](const std::runtime_error& why) { throw why; }; }
  refusal_thrown(const refusal_thrown&) = delete;
  refusal_thrown& operator=(const refusal_thrown&) = delete;
  ~refusal_thrown() { lv::detail::tell_refusal = before_; }

private:
  decltype(lv::detail::tell_refusal) before_ = lv::detail::tell_refusal;
};

}  // namespace

TEST(runtime, that_cannot_start_is_told_by_run_and_gives_1) {
  const auto run_refused = [] {
    lv::detail::tell_refusal = lv::detail::print_refusal;
    lv::runtime_options options = two_workers();
    options.embedded = true;
    ::_exit(lv::run_with(options, []() -> lv::task<int> { co_return 3; }));
  };
  EXPECT_EXIT(run_refused(), ::testing::ExitedWithCode(1), "^levity cannot start: lv::run is asked for runtime_options::embedded");
}

TEST(runtime, options_that_are_out_of_range_are_refused_and_named) {
  const auto why_not = [](auto change) -> std::string {
    lv::runtime_options options = two_workers();
    change(options);
    try {
      const lv::runtime refused(options);
    } catch (const std::runtime_error& why) {
      return why.what();
    }
    return "it started";
  };
  EXPECT_EQ(why_not([](auto& of) { of.workers = 257; }),
            "levity cannot start: runtime_options::workers is 257; make it 256 at most, or 0: as many as this process may use "
            "CPUs");
  EXPECT_EQ(why_not([](auto& of) { of.stuck_threads_max = 16'385; }),
            "levity cannot start: runtime_options::stuck_threads_max is 16385; make it 16384 at most");
  EXPECT_EQ(why_not([](auto& of) { of.affinity = lv::runtime_options::worker_affinity{99}; }),
            "levity cannot start: runtime_options::affinity has no value 99");
  EXPECT_EQ(why_not([](auto& of) { of.backend = lv::runtime_options::sockets{99}; }),
            "levity cannot start: runtime_options::backend has no value 99");
  EXPECT_EQ(why_not([](auto& of) { of.files = lv::file_means{99}; }),
            "levity cannot start: runtime_options::files has no value 99");
  EXPECT_EQ(why_not([](auto& of) { of.stuck_threads_max = 16'384; }), "it started");
}

TEST(runtime, without_descriptors_does_not_start_and_says_what_for_and_what_helps) {
  if (std::getenv("LEVITY_FAULTS") != nullptr) GTEST_SKIP() << "a lane has its plan already";
  using lv::detail::fault_plan;
  namespace kernel = lv::detail::kernel;
  const auto why_not = [](const auto& start) -> std::string {
    try {
      start();
    } catch (const std::runtime_error& refused) {
      return refused.what();
    }
    return "it started";
  };
  const auto runs = [] {
    const refusal_thrown throws;
    lv::run([]() -> lv::task<> { co_return; });
  };
  for (std::uint64_t number = 1; number <= 2; number++) {
    fault_plan::install_one(EMFILE, 1, number == 1 ? kernel::call::signalfd : kernel::call::eventfd);
    const std::string said = why_not(runs);
    fault_plan::remove();
    EXPECT_EQ(said.find("levity cannot start: watching for signals: out of file descriptors"), 0U) << said;
    EXPECT_NE(said.find("ulimit -n"), std::string::npos) << said;
  }
  fault_plan::install_one(EMFILE, 1, kernel::call::timerfd);
  const std::string said = why_not([] { const lv::runtime tasks(embedded()); });
  fault_plan::remove();
  EXPECT_EQ(said.find("levity cannot start: creating a timer descriptor: out of file descriptors"), 0U) << said;
  EXPECT_NO_THROW(runs());
}

namespace {

using lv::detail::cpu_set;

struct meeting {
  lv::atomic<unsigned> here{0};
  unsigned workers;
};

// One on each worker at a time.
lv::task<cpu_set> affinity_of_one_worker(meeting* all) {
  all->here.fetch_add(1, std::memory_order_relaxed);
  while (all->here.load(std::memory_order_relaxed) < all->workers) std::this_thread::yield();
  co_return cpu_set::of_this_thread();
}

lv::task<std::vector<cpu_set>> affinity_of_both_workers() {
  meeting both{.workers = 2};
  auto [one, other] = co_await lv::when_all(affinity_of_one_worker(&both), affinity_of_one_worker(&both));
  co_return {one, other};
}

std::vector<cpu_set> affinities(lv::runtime_options::worker_affinity affinity) {
  lv::runtime_options options = two_workers();
  options.affinity = affinity;
  lv::runtime tasks(options);
  return tasks.block_on(affinity_of_both_workers);
}

lv::task<cpu_set> affinity_here() { co_return cpu_set::of_this_thread(); }

// The call lasts until somebody else has run in its worker's place.
lv::task<std::vector<cpu_set>> affinity_before_and_after_a_slot_has_changed_hands() {
  std::vector<cpu_set> seen{cpu_set::of_this_thread()};
  lv::atomic<bool> has_run{false};
  lv::scope others;
  others.spawn([](std::vector<cpu_set>* into, lv::atomic<bool>* ran) -> lv::task<> {
    into->push_back(co_await affinity_here());
    ran->store(true, std::memory_order_release);  // E331 release.
  }, &seen, &has_run);
  co_await lv::blocking([&has_run] {
    while (!has_run.load(std::memory_order_acquire)) std::this_thread::yield();  // E331 acquire.
  });
  co_await others.join();
  co_return seen;
}

}  // namespace

TEST(worker_affinity, none_and_on_one_node_automatic_leave_threads_where_they_are) {
  using affinity = lv::runtime_options::worker_affinity;
  const cpu_set all = cpu_set::of_this_thread();
  for (const cpu_set& each : affinities(affinity::none)) EXPECT_EQ(each, all);
  for (const cpu_set& each : affinities(affinity::automatic)) {
    EXPECT_EQ(each & all, each);
    EXPECT_FALSE(each.empty());
  }
}

TEST(worker_affinity, of_one_cpu_gives_each_worker_another_one) {
  const cpu_set all = cpu_set::of_this_thread();
  if (all.count() < 2) GTEST_SKIP() << "two workers need two CPUs to be on different ones";
  const std::vector<cpu_set> both = affinities(lv::runtime_options::worker_affinity::cpu);
  for (const cpu_set& each : both) {
    EXPECT_EQ(each.count(), 1U);
    EXPECT_EQ(each & all, each);
  }
  EXPECT_NE(both[0], both[1]);
  EXPECT_EQ(cpu_set::of_this_thread(), all);
}

TEST(worker_affinity, goes_with_the_slot_when_a_blocking_call_loses_it) {
  if (cpu_set::of_this_thread().count() < 2) GTEST_SKIP() << "an affinity of one CPU cannot be narrowed";
  lv::runtime_options options;
  options.workers = 1;
  options.affinity = lv::runtime_options::worker_affinity::cpu;
  lv::runtime tasks(options);
  const std::vector<cpu_set> seen = tasks.block_on(affinity_before_and_after_a_slot_has_changed_hands);
  EXPECT_EQ(seen[0].count(), 1U);
  EXPECT_EQ(seen[1], seen[0]);
}
