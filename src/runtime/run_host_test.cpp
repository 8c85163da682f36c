// Goal: an unmodified main() on a thread of a host finds the host wherever it would find the kernel, before, in and after lv::run.
// Method: a host that has one worker, turned by a thread of its own, over a network that is made up.

#include "runtime/run_host.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "io/host_files.hpp"
#include "levity/levity.hpp"
#include "levity/runtime/runtime.hpp"
#include "reactor/sim/sim_reactor.hpp"
#include "runtime/refusal.hpp"
#include "runtime/runtime_core.hpp"

namespace levity::inline v0::detail {
namespace {

// Of any two threads that touch it one waits for the other.
class fake_host final : public run_host {
public:
  explicit fake_host(std::uint64_t seed = 1) : core(options_of(seed)) {}

  int run(const runtime_options& options, task<> main, const main_outcome& outcome) override {
    if (std::exchange(has_run_, true)) throw std::runtime_error("levity cannot start: this host has run something already");
    asked_for = options;
    auto frame = std::move(main).release_frame();
    core.runs.root().adopt(frame, frame.promise(), "main", std::source_location{});
    std::thread world([this] {
      const host_presence here(*this);
      while (!core.runs.turn_here(64)) {
        if (between_turns) between_turns();
      }
    });
    world.join();
    return exit_code(core.runs, core.signals->code(), outcome);
  }
  reactor& home() noexcept override { return core.runs.reactor_at(0); }
  file_backend* files() noexcept override { return &core.files; }

  runtime_core core;
  runtime_options asked_for;
  std::function<void()> between_turns;

private:
  static runtime_options options_of(std::uint64_t seed) {
    runtime_options made;
    made.backend = runtime_options::sockets::sim;
    made.seed = seed;
    return made;
  }

  bool has_run_ = false;
};

// What run() would tell is kept.
class refusal_kept {
public:
  refusal_kept() {
    said.clear();
    tell_refusal = [](const std::runtime_error& why) { said = why.what(); };
  }
  refusal_kept(const refusal_kept&) = delete;
  refusal_kept& operator=(const refusal_kept&) = delete;
  ~refusal_kept() { tell_refusal = before_; }

  static inline std::string said;

private:
  decltype(tell_refusal) before_ = tell_refusal;
};

std::string refusal_of_a_runtime() {
  try {
    const runtime made;
  } catch (const std::runtime_error& refused) {
    return refused.what();
  }
  return "";
}

task<int> sleeps_an_instant() {
  EXPECT_TRUE(current_run().exec->simulated());
  const time_point began = clock::now();
  co_await sleep(1ms);
  EXPECT_GE(clock::now() - began, 1ms);
  EXPECT_LT(clock::now() - began, 2ms);
  co_return 7;
}

task<> answers_one(tcp_listener listener) {
  const address at = listener.local_address();
  auto there = co_await tcp_stream::connect(at);
  EXPECT_TRUE(there);
  auto here = co_await listener.accept();
  EXPECT_TRUE(here);
  if (!there || !here) co_return;
  EXPECT_TRUE(co_await there->write_all("x"));
  const auto read = co_await here->read_some();
  EXPECT_TRUE(read && read->size() == 1);
}

}  // namespace

TEST(run_host, gets_what_its_thread_gives_to_run_and_its_code_is_that_of_run) {
  fake_host host;
  const host_presence here(host);
  runtime_options options;
  options.workers = 3;
  EXPECT_EQ(levity::run_with(options, sleeps_an_instant), 7);
  EXPECT_EQ(host.asked_for.workers, 3U);
}

TEST(run_host, of_another_thread_or_of_before_gets_nothing) {
  fake_host host;
  {
    const host_presence here(host);
    std::thread other([] {
      EXPECT_EQ(this_run_host(), nullptr);
      EXPECT_EQ(levity::run([]() -> task<int> {
        EXPECT_FALSE(current_run().exec->simulated());
        co_return 5;
      }), 5);
    });
    other.join();
  }
  EXPECT_EQ(this_run_host(), nullptr);
  EXPECT_EQ(this_time_source(), nullptr);
  EXPECT_EQ(levity::run([]() -> task<int> { co_return 6; }), 6);
}

TEST(run_host, a_main_task_that_fails_gives_1_and_is_told_of) {
  fake_host host;
  const host_presence here(host);
  testing::internal::CaptureStderr();
  EXPECT_EQ(levity::run([]() -> task<int> {
    co_await sleep(1us);
    throw std::runtime_error("no more");
  }), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "levity: task \"main\" failed: no more\n");
}

TEST(run_host, that_cannot_run_is_told_of_and_gives_1) {
  fake_host host;
  const host_presence here(host);
  const refusal_kept kept;
  EXPECT_EQ(levity::run([]() -> task<int> { co_return 0; }), 0);
  EXPECT_EQ(levity::run([]() -> task<int> { co_return 0; }), 1);
  EXPECT_EQ(kept.said, "levity cannot start: this host has run something already");
  runtime_options embedded;
  embedded.embedded = true;
  EXPECT_EQ(levity::run_with(embedded, []() -> task<int> { co_return 0; }), 1);
  EXPECT_NE(kept.said.find("runtime_options::embedded"), std::string::npos) << kept.said;
}

TEST(run_host, time_and_chance_of_its_main_are_its_own_before_run_within_and_after) {
  struct seen {
    std::vector<std::uint64_t> seeds;
    std::vector<std::int64_t> times;
    void look() {
      seeds.push_back(random_seed());
      times.push_back(clock::now().time_since_epoch().count());
      times.push_back(wall_clock::now().time_since_epoch().count());
    }
  };
  const auto program = [](std::uint64_t seed) {
    fake_host host(seed);
    const host_presence here(host);
    seen all;
    all.look();
    EXPECT_EQ(levity::run([](seen* into) -> task<> {
      into->look();
      co_await sleep(100us);
      into->look();
    }, &all), 0);
    all.look();
    EXPECT_EQ(all.times[1], sim_reactor::wall_start_ns);
    EXPECT_GE(all.times[4] - all.times[2], 100'000);
    return std::pair(all.seeds, all.times);
  };
  EXPECT_EQ(program(1), program(1));
  EXPECT_NE(program(2), program(1));
}

TEST(run_host, files_outside_of_its_tasks_are_its_own) {
  fake_host host;
  EXPECT_EQ(host_files(), nullptr);
  {
    const host_presence here(host);
    EXPECT_EQ(host_files(), &host.core.files);
  }
  EXPECT_EQ(host_files(), nullptr);
}

TEST(run_host, a_listener_that_its_main_binds_is_in_its_network) {
  fake_host one;
  fake_host other;
  for (fake_host* host : {&one, &other}) {
    const host_presence here(*host);
    auto listener = tcp_listener::bind("10.1.2.3:80");  // in both; no address of this machine's
    ASSERT_TRUE(listener) << listener.error().message();
    EXPECT_EQ(levity::run(answers_one, std::move(*listener)), 0);
    EXPECT_EQ(host->home().endpoints_approx(), 0U);
  }
}

TEST(run_host, refuses_a_runtime_with_threads_and_a_run_within_a_task) {
  fake_host host;
  const host_presence here(host);
  EXPECT_EQ(refusal_of_a_runtime(), "levity cannot start: a lv::runtime lives among threads, and a simulated host has none besides "
                                    "its main(); use lv::run");
  EXPECT_EQ(levity::run([]() -> task<> {
    EXPECT_NE(refusal_of_a_runtime(), "");
    const refusal_kept kept;
    EXPECT_EQ(levity::run([]() -> task<int> { co_return 0; }), 1);
    EXPECT_NE(kept.said.find("inside a task of a simulated host"), std::string::npos) << kept.said;
    co_return;
  }), 0);
}

TEST(run_host, a_signal_between_two_turns_cancels_its_main_task_and_the_second_ends_it) {
  for (const int signal : {SIGINT, SIGTERM}) {
    fake_host host;
    int turns = 0;
    int ended_with = 0;
    host.between_turns = [&] {
      if (++turns == 3) host.core.signals->raise(signal);
    };
    host.core.signals->on_end = [&](int code) { ended_with = code; };
    const host_presence here(host);
    EXPECT_EQ(levity::run([]() -> task<> { co_await sleep(1h); }), 128 + signal);
    EXPECT_EQ(ended_with, 0);
    host.core.signals->raise(SIGTERM);
    EXPECT_EQ(ended_with, 128 + SIGTERM);
  }
}

TEST(run_host, a_signal_between_two_turns_wakes_the_set_that_names_it) {
  fake_host host;
  int turns = 0;
  host.between_turns = [&] {
    if (++turns == 3) host.core.signals->raise(SIGTERM);
  };
  const host_presence here(host);
  EXPECT_EQ(levity::run([]() -> task<int> {
    auto signals = signal_set::open({SIGTERM}).value();
    const auto came = co_await signals.next();
    co_return came.value_or(0);
  }), SIGTERM);
}

}  // namespace levity::detail
