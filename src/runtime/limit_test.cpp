// Goal: as many slots are in service as the limit of CPUs allows, at any time, and nobody is stranded by a change of it. Method: a
// limit that the test writes, into files like those of cgroups. A test that hangs has found somebody stranded.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "levity/levity.hpp"
#include "levity/runtime/runtime.hpp"
#include "levity/runtime/statistics.hpp"
#include "platform/fault_plan.hpp"
#include "platform/process_barrier.hpp"
#include "sched/watchdog.hpp"
#include "sched/worker.hpp"
#include "tests/support/bustle.hpp"
#include "tests/support/limited_cpus.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/real_cgroup.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::detail::fault_plan;
using levity::test::bustle;
using levity::test::limited_cpus;
using levity::test::run_tasks;
using levity::test::slow_build_factor;
using levity::test::taking_slots;
using sockets = lv::runtime_options::sockets;

namespace {

lv::task<> until_serving(unsigned slots) {
  while (lv::threads_of_runtime().workers != slots) co_await lv::sleep(200us);
}

lv::task<> echo(lv::tcp_stream peer) {
  while (auto chunk = co_await peer.read_some()) {
    if (!co_await peer.write_all(*chunk)) co_return;
  }
}

lv::task<> accept_all(lv::tcp_listener* listener, lv::scope* connections) {
  while (auto peer = co_await listener->accept()) connections->spawn(echo, std::move(*peer));
}

lv::task<bool> round_trip(lv::tcp_stream* stream) {
  if (!co_await stream->write_all("x")) co_return false;
  const auto back = co_await stream->read_some();
  co_return back.has_value() && back->size() == 1;
}

lv::task<> for_an_hour() { co_await lv::sleep(1h); }

// As if each of so many threads ran what it has to run next.
void occupy_workers_for_a_moment(lv::scope& tasks, unsigned workers) {
  for (unsigned i = 0; i < workers; i++) {
    tasks.spawn([]() -> lv::task<> {
      ::usleep(1000);
      co_return;
    });
  }
}

class homes_of_tasks {
public:
  void add(std::thread::id home) {
    const std::lock_guard guard{lock_};
    homes_.insert(home);
  }
  std::size_t count() {
    const std::lock_guard guard{lock_};
    return homes_.size();
  }

private:
  std::mutex lock_;
  std::set<std::thread::id> homes_;
};

class limit : public ::testing::TestWithParam<sockets> {
protected:
  void SetUp() override {
    if (GetParam() != sockets::ring) return;
    try {
      lv::runtime_options options = over();
      options.workers = 1;
      const lv::runtime probe(options);
    } catch (const std::runtime_error& refused) {
      GTEST_SKIP() << refused.what();
    }
  }
  static lv::runtime_options over() {
    lv::runtime_options options;
    options.backend = GetParam();
    options.handle_signals = false;
    return options;
  }
};

}  // namespace

TEST_P(limit, slots_follow_it_down_and_up) {
  const limited_cpus cpus(3);
  lv::run_with(over(), [](const limited_cpus* may_use) -> lv::task<> {
    EXPECT_EQ(lv::threads_of_runtime().workers, 3U);
    for (const unsigned slots : {1U, 3U, 2U, 4U, 1U, 2U}) {
      may_use->set(slots);
      co_await until_serving(slots);
    }
  }, &cpus);
}

// What a slot costs that was never in service is told by the reactors, of which there is none for it.
TEST_P(limit, slots_that_were_never_in_service_have_no_thread_and_no_descriptor) {
  const limited_cpus cpus(1);
  lv::run_with(over(), [](const limited_cpus* may_use) -> lv::task<> {
    EXPECT_EQ(lv::threads_of_runtime().workers, 1U);
    EXPECT_EQ(lv::threads_of_runtime().threads, 1U);
    co_await lv::sleep(100ms);  // the limit is read once more in the beginning
    const int before = lv::test::open_descriptors();
    may_use->set(4);
    co_await until_serving(4);
    EXPECT_EQ(lv::threads_of_runtime().threads, 4U);
    const int expected = before + (GetParam() == sockets::epoll ? 3 * 2 : 0);
    while (lv::test::open_descriptors() != expected) co_await lv::sleep(1ms);  // somebody may be reading the limit
  }, &cpus);
}

TEST_P(limit, connections_and_timers_of_slots_at_rest_go_on) {
  const limited_cpus cpus(3);
  lv::run_with(over(), [](const limited_cpus* may_use) -> lv::task<> {
    auto listener = lv::tcp_listener::bind("127.0.0.1:0", {.sharding = lv::accept_sharding::round_robin});
    lv::scope connections;
    lv::scope acceptor;
    acceptor.spawn(accept_all, &*listener, &connections);
    std::vector<lv::tcp_stream> clients;
    for (int i = 0; i < 12; i++) clients.push_back(*co_await lv::tcp_stream::connect(listener->local_address()));
    for (auto& each : clients) EXPECT_TRUE(co_await round_trip(&each));
    for (const unsigned slots : {1U, 2U, 1U, 3U, 1U}) {
      lv::scope sleepers;
      lv::atomic<int> woken{0};
      for (int i = 0; i < 12; i++) {
        sleepers.spawn([](int n, lv::atomic<int>* count) -> lv::task<> {
          ::usleep(500);  // so that others take some of us
          const auto slept = co_await lv::with_timeout(std::chrono::milliseconds(n), for_an_hour());
          EXPECT_FALSE(slept.has_value());
          co_await lv::sleep(std::chrono::milliseconds(n));
          count->fetch_add(1, std::memory_order_relaxed);
        }, i, &woken);
      }
      may_use->set(slots);
      co_await until_serving(slots);
      for (auto& each : clients) EXPECT_TRUE(co_await round_trip(&each));
      co_await sleepers.join();
      EXPECT_EQ(woken.load(std::memory_order_relaxed), 12);
    }
    clients.clear();
    acceptor.cancel();
    co_await acceptor.join();
    co_await connections.join();
  }, &cpus);
}

// With one worker in service, which sleeps and has no timer of its own when the others go to rest: a reactor that nobody polled
// would keep its own waiting for ever.
TEST_P(limit, who_waits_far_ahead_on_a_slot_at_rest_is_woken_in_time) {
  const limited_cpus cpus(3);
  lv::run_with(over(), [](const limited_cpus* may_use) -> lv::task<> {
    lv::scope sleepers;
    lv::atomic<int> asleep{0};
    while (asleep.load(std::memory_order_relaxed) == 0) {
      for (int i = 0; i < 9; i++) {
        sleepers.spawn([](lv::atomic<int>* count) -> lv::task<> {
          ::usleep(1000);
          if (lv::detail::this_worker->index() == 0) co_return;
          count->fetch_add(1, std::memory_order_relaxed);
          const auto begun = std::chrono::steady_clock::now();
          co_await lv::sleep(1s);
          EXPECT_GE(std::chrono::steady_clock::now() - begun, 1s);
        }, &asleep);
      }
      co_await lv::sleep(5ms);
    }
    std::thread later([may_use] {
      std::this_thread::sleep_for(400ms);  // until workers have given memory back, too
      may_use->set(1);
    });
    co_await sleepers.join();
    later.join();
    EXPECT_EQ(lv::threads_of_runtime().workers, 1U);
  }, &cpus);
}

TEST_P(limit, what_is_pinned_stays_on_its_thread) {
  const limited_cpus cpus(3);
  lv::run_with(over(), [](const limited_cpus* may_use) -> lv::task<> {
    lv::atomic<bool> stop{false};
    homes_of_tasks homes;
    lv::scope tasks;
    while (homes.count() < 3) {
      lv::scope others;
      occupy_workers_for_a_moment(others, 3);
      tasks.spawn([](const lv::atomic<bool>* end, homes_of_tasks* all) -> lv::task<> {
        const int strayed = co_await lv::pinned([](const lv::atomic<bool>* until, homes_of_tasks* ours) -> lv::task<int> {
          const std::thread::id home = std::this_thread::get_id();
          ours->add(home);
          int away = 0;
          while (!until->load(std::memory_order_relaxed)) {
            co_await lv::sleep(50us);
            away += std::this_thread::get_id() != home ? 1 : 0;
            (void)co_await lv::blocking([] { return 1; });
            away += std::this_thread::get_id() != home ? 1 : 0;
            lv::scope children;
            children.spawn([]() -> lv::task<> { co_await lv::yield(); });
            co_await children.join();
            away += std::this_thread::get_id() != home ? 1 : 0;
          }
          co_return away;
        }(end, all));
        EXPECT_EQ(strayed, 0);
      }, &stop, &homes);
      co_await others.join();
    }
    for (const unsigned slots : {1U, 3U, 1U, 2U, 3U, 1U}) {
      may_use->set(slots);
      co_await until_serving(slots);
      co_await lv::sleep(1ms);
    }
    stop.store(true, std::memory_order_relaxed);
    co_await tasks.join();
  }, &cpus);
}

// The limit is another one every moment, while tasks talk, sleep, spawn, call, compute and are pinned; with slots being taken from
// tasks in the other half of the rounds.
TEST_P(limit, slots_that_come_and_go_at_any_moment_lose_nothing) {
  for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
    SCOPED_TRACE(seed);
    const taking_slots takes(seed % 2 == 0 ? seed : 0);
    const limited_cpus cpus(2);
    lv::atomic<bool> over_now{false};
    std::thread changes([&cpus, &over_now, seed] {
      lv::rng draw(seed);
      while (!over_now.load(std::memory_order_relaxed)) {
        cpus.set(1 + static_cast<unsigned>(draw.below(3)));
        ::usleep(static_cast<unsigned>(draw.below(3000)));
      }
    });
    lv::run_with(over(), []() -> lv::task<> {
      auto listener = lv::tcp_listener::bind("127.0.0.1:0", {.sharding = lv::accept_sharding::round_robin});
      lv::scope connections;
      lv::scope acceptor;
      acceptor.spawn(accept_all, &*listener, &connections);
      lv::channel<int> line{8};
      constexpr int senders = 12;
      const int rounds = 300 / slow_build_factor + 2;
      lv::scope all;
      for (int i = 0; i < senders; i++) all.spawn(bustle, i, rounds, &line);
      for (int i = 0; i < 6; i++) {
        all.spawn([](lv::address to, int times) -> lv::task<> {
          auto there = co_await lv::tcp_stream::connect(to);
          EXPECT_TRUE(there.has_value());
          for (int n = 0; n < times; n++) {
            EXPECT_TRUE(co_await round_trip(&*there));
            if (n % 16 == 0) co_await lv::sleep(100us);
          }
        }, listener->local_address(), rounds * 2);
      }
      for (unsigned slots = 1; slots <= 3; slots++) {
        co_await until_serving(slots);  // each number comes while they are at it
        for (int n = 0; n < senders * rounds / 3; n++) EXPECT_TRUE((co_await line.receive()).has_value());
      }
      co_await all.join();
      acceptor.cancel();
      co_await acceptor.join();
      co_await connections.join();
    });
    over_now.store(true, std::memory_order_relaxed);
    changes.join();
    if (::testing::Test::HasFailure()) return;
  }
}

TEST_P(limit, who_says_a_number_gets_it) {
  const limited_cpus cpus(3);
  lv::runtime_options options = over();
  options.workers = 2;
  lv::run_with(options, [](const limited_cpus* may_use) -> lv::task<> {
    may_use->set(1);
    co_await lv::sleep(30ms);
    EXPECT_EQ(lv::threads_of_runtime().workers, 2U);
  }, &cpus);
}

TEST_P(limit, an_embedded_runtime_has_one_slot_whatever_it_is) {
  const limited_cpus cpus(3);
  lv::runtime_options options = over();
  options.embedded = true;
  lv::runtime tasks(options);
  cpus.set(2);
  tasks.block_on([]() -> lv::task<> {
    co_await lv::sleep(30ms);
    EXPECT_EQ(lv::threads_of_runtime().workers, 1U);
    EXPECT_EQ(lv::threads_of_runtime().threads, 0U);
  });
}

namespace {

// How often threads of levity have gone to sleep: one of a sanitizer wakes up all the time.
std::uint64_t sleeps_of_threads() {
  std::uint64_t sum = 0;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(each.path() / "status");
    std::string line;
    if (!std::getline(status, line) || !line.starts_with("Name:\tlevity ")) continue;
    while (std::getline(status, line)) {
      if (line.starts_with("voluntary_ctxt_switches:")) sum += std::stoull(line.substr(line.find(':') + 1));
    }
  }
  return sum;
}

}  // namespace

TEST_P(limit, who_follows_it_and_has_nothing_to_do_does_not_wake_up) {
  const limited_cpus cpus(3);
  lv::runtime tasks(over());
  tasks.block_on([](const limited_cpus* may_use) -> lv::task<> {
    may_use->set(1);
    co_await until_serving(1);
  }, &cpus);
  std::uint64_t before = 0;
  std::uint64_t after = sleeps_of_threads();
  for (int tries = 0; tries < 50 && before != after; tries++) {  // until the watchdog sleeps, too
    before = after;
    std::this_thread::sleep_for(300ms);
    after = sleeps_of_threads();
  }
  EXPECT_EQ(after, before);
  EXPECT_GT(after, 0U);
  cpus.set(3);
  tasks.block_on(until_serving, 3U);
}

TEST_P(limit, a_thread_that_is_refused_is_asked_for_again) {
  const limited_cpus cpus(1);
  ::testing::internal::CaptureStderr();
  lv::run_with(over(), [](const limited_cpus* may_use) -> lv::task<> {
    EXPECT_EQ(fault_plan::install("nothread=1"), std::nullopt);  // three times in a row
    may_use->set(2);
    co_await lv::sleep(3s);  // nobody who works wakes the watchdog
    EXPECT_EQ(lv::threads_of_runtime().workers, 2U);
    fault_plan::remove();
  }, &cpus);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("no thread to be had"), std::string::npos);
}

// Two calls that last want a thread more than there are; when they are over, theirs wait.
TEST(limit_of_cpus, a_slot_that_comes_back_is_served_by_a_thread_that_waits_while_no_other_is_to_be_had) {
  if (!levity::detail::prepare_process_barrier()) GTEST_SKIP() << "the kernel refuses membarrier(2)";
  const limited_cpus cpus(2);
  ::testing::internal::CaptureStderr();
  run_tasks(0, [](const limited_cpus* may_use) -> lv::task<> {
    may_use->set(1);
    while (lv::threads_of_runtime().workers != 1) {
      lv::scope tasks;
      occupy_workers_for_a_moment(tasks, 2);
      co_await tasks.join();
    }
    EXPECT_EQ(fault_plan::install("nothread=1"), std::nullopt);
    lv::scope calls;
    for (int i = 0; i < 2; i++) {
      calls.spawn([]() -> lv::task<> {
        co_await lv::blocking([] {
          const auto since = std::chrono::steady_clock::now();
          while (fault_plan::tallies()[0].struck == 0 && std::chrono::steady_clock::now() < since + 10s) ::usleep(100);
        });
      });
    }
    co_await calls.join();
    EXPECT_GT(fault_plan::tallies()[0].struck, 0U);
    const unsigned threads = lv::threads_of_runtime().threads;
    may_use->set(2);
    co_await until_serving(2);
    EXPECT_EQ(lv::threads_of_runtime().threads, threads);
    fault_plan::remove();
  }, &cpus);
  ::testing::internal::GetCapturedStderr();
}

TEST(limit_of_cpus, a_reactor_that_is_refused_is_told_and_asked_for_again) {
  const limited_cpus cpus(1);
  ::testing::internal::CaptureStderr();
  run_tasks(0, [](const limited_cpus* may_use) -> lv::task<> {
    fault_plan::install_one(EMFILE, 1, lv::detail::kernel::call::epoll_create);
    may_use->set(2);
    co_await until_serving(2);
    EXPECT_EQ(fault_plan::struck_call(), lv::detail::kernel::call::epoll_create);
    fault_plan::remove();
  }, &cpus);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("may use one more CPU, and cannot"), std::string::npos);
}

TEST(limit_of_cpus, a_slot_whose_reactor_cannot_be_watched_serves_on_until_it_can) {
  const limited_cpus cpus(2);
  run_tasks(0, [](const limited_cpus* may_use) -> lv::task<> {
    auto listener = lv::tcp_listener::bind("127.0.0.1:0", {.sharding = lv::accept_sharding::round_robin});
    lv::scope connections;
    lv::scope acceptor;
    acceptor.spawn(accept_all, &*listener, &connections);
    std::vector<lv::tcp_stream> clients;
    for (int i = 0; i < 8; i++) clients.push_back(*co_await lv::tcp_stream::connect(listener->local_address()));
    for (auto& each : clients) EXPECT_TRUE(co_await round_trip(&each));
    fault_plan::install_one(ENOMEM, 1, lv::detail::kernel::call::epoll_ctl);
    may_use->set(1);
    while (lv::threads_of_runtime().workers != 1) {
      lv::scope tasks;
      occupy_workers_for_a_moment(tasks, 2);
      co_await tasks.join();
    }
    EXPECT_EQ(fault_plan::struck_call(), lv::detail::kernel::call::epoll_ctl);
    fault_plan::remove();
    for (auto& each : clients) EXPECT_TRUE(co_await round_trip(&each));
    clients.clear();
    acceptor.cancel();
    co_await acceptor.join();
    co_await connections.join();
  }, &cpus);
}

TEST(limit_of_cpus, a_quota_of_the_kernel_is_followed) {
  const lv::test::real_group group(lv::test::find_hierarchy("cpu"), lv::test::name_of_group());
  if (!group.is_made()) GTEST_SKIP() << "no group can be made in v1's hierarchy of cpu: " << group.why_not();
  const lv::test::process_in process("4:cpu:" + group.in_root());
  const lv::test::limit_source source(process.proc(), {0, 1, 2});
  run_tasks(0, [](const lv::test::real_group* in) -> lv::task<> {
    EXPECT_EQ(lv::threads_of_runtime().workers, 3U);
    in->write("cpu.cfs_quota_us", "100000");
    co_await until_serving(1);
    in->write("cpu.cfs_quota_us", "150000");
    co_await until_serving(2);
    in->write("cpu.cfs_quota_us", "-1");
    co_await until_serving(3);
  }, &group);
}

INSTANTIATE_TEST_SUITE_P(over, limit, ::testing::Values(sockets::epoll, sockets::ring), [](const auto& each) {
  return std::string(each.param == sockets::ring ? "ring" : "epoll");
});
