// Signals as values. Each test raises what it waits for in this very process.

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "levity/base/atomic.hpp"
#include "levity/io/signal_set.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_tasks.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::test::run_tasks;

TEST(signal_set, gives_each_signal_to_the_task_that_waits) {
  for (const unsigned workers : {1u, 2u}) {
    run_tasks(workers, []() -> lv::task<> {
      auto signals = lv::signal_set::open({SIGUSR1, SIGHUP}).value();
      for (int i = 0; i < 50; i++) {
        const int sent = i % 2 == 0 ? SIGUSR1 : SIGHUP;
        const auto send = [](int signal) -> lv::task<> {
          ::kill(::getpid(), signal);
          co_return;
        };
        lv::scope sending;
        sending.spawn(send, sent);
        EXPECT_EQ((co_await signals.next()).value(), sent);
        co_await sending.join();
      }
    });
  }
}

TEST(signal_set, what_came_before_the_wait_is_not_lost_and_two_sets_both_see_it) {
  run_tasks(1, []() -> lv::task<> {
    auto one = lv::signal_set::open({SIGUSR1, SIGUSR2}).value();
    auto other = lv::signal_set::open({SIGUSR2}).value();
    ::raise(SIGUSR1);
    ::raise(SIGUSR2);
    EXPECT_EQ((co_await one.next()).value(), SIGUSR1);
    EXPECT_EQ((co_await one.next()).value(), SIGUSR2);
    EXPECT_EQ((co_await other.next()).value(), SIGUSR2);
    one.close();
    one.close();
    EXPECT_EQ((co_await one.next()).error(), io_failure::closed);
    ::raise(SIGUSR2);
    EXPECT_EQ((co_await other.next()).value(), SIGUSR2);
  });
}

namespace {
volatile sig_atomic_t handled = 0;
void own_handler(int) { handled = handled + 1; }
}  // namespace

TEST(signal_set, the_last_set_restores_what_was_installed) {
  struct sigaction own {};
  handled = 0;
  own.sa_handler = &own_handler;
  struct sigaction before;
  ASSERT_EQ(::sigaction(SIGUSR1, &own, &before), 0);
  run_tasks(1, []() -> lv::task<> {
    {
      auto first = lv::signal_set::open({SIGUSR1}).value();
      {
        auto second = lv::signal_set::open({SIGUSR1}).value();
      }
      ::raise(SIGUSR1);
      EXPECT_EQ((co_await first.next()).value(), SIGUSR1);
      EXPECT_EQ(handled, 0);
    }
    ::raise(SIGUSR1);
    EXPECT_EQ(handled, 1);
  });
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(signal_set, what_cannot_be_caught_is_refused_and_leaves_the_others_as_they_were) {
  struct sigaction before;
  ::sigaction(SIGUSR1, nullptr, &before);
  run_tasks(1, []() -> lv::task<> {
    for (const int signal : {SIGKILL, SIGSTOP, SIGSEGV, 0, -1, 1000}) {
      EXPECT_EQ(lv::signal_set::open({SIGUSR1, signal}).error(), io_failure::invalid);
    }
    co_return;
  });
  struct sigaction after;
  ::sigaction(SIGUSR1, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

TEST(signal_set, cancelled_before_while_and_by_a_deadline_takes_no_signal) {
  run_tasks(1, []() -> lv::task<> {
    auto signals = lv::signal_set::open({SIGUSR1}).value();
    const auto wait = [](lv::signal_set* from) -> lv::task<> {
      EXPECT_EQ((co_await from->next()).error(), io_failure::cancelled);
    };
    lv::scope early;
    early.cancel();
    early.spawn(wait, &signals);
    co_await early.join();
    lv::scope waiting;
    waiting.spawn(wait, &signals);
    co_await lv::sleep(1ms);
    waiting.cancel();
    co_await waiting.join();
    EXPECT_EQ((co_await lv::with_deadline(1ms, signals.next())).error(), io_failure::timed_out);
    ::raise(SIGUSR1);
    EXPECT_EQ((co_await signals.next()).value(), SIGUSR1);
  });
}

TEST(signal_set, cancellation_racing_a_signal_loses_none) {
  run_tasks(2, []() -> lv::task<> {
    auto signals = lv::signal_set::open({SIGUSR1}).value();
    const auto wait = [](lv::signal_set* from, int* got) -> lv::task<> {
      const auto signal = co_await from->next();
      if (signal) ++*got;
    };
    for (int i = 0; i < 1000 / levity::test::slow_build_factor; i++) {
      int got = 0;
      lv::scope waiting;
      waiting.spawn(wait, &signals, &got);
      if (i % 2 == 0) co_await lv::yield();
      ::kill(::getpid(), SIGUSR1);
      waiting.cancel();
      co_await waiting.join();
      if (got == 0) {
        EXPECT_EQ((co_await signals.next()).value(), SIGUSR1);
      }
    }
  });
}

TEST(signal_set, what_the_sender_wrote_before_is_seen_after) {
  run_tasks(1, []() -> lv::task<> {
    auto signals = lv::signal_set::open({SIGUSR1}).value();
    int written = 0;
    lv::atomic<int> taken{0};
    lv::atomic<int> sent{0};
    constexpr int rounds = 500 / levity::test::slow_build_factor;
    std::thread sender([&] {
      for (int i = 1; i <= rounds; i++) {
        written = i;
        ::pthread_kill(::pthread_self(), SIGUSR1);
        sent.store(i, std::memory_order_relaxed);  // carries nothing
        while (taken.load(std::memory_order_acquire) != i) std::this_thread::yield();
      }
    });
    for (int i = 1; i <= rounds; i++) {
      // Every other time there is no wait that could order anything.
      while (i % 2 == 0 && sent.load(std::memory_order_relaxed) != i) co_await lv::yield();
      EXPECT_EQ((co_await signals.next()).value(), SIGUSR1);
      EXPECT_EQ(written, i);
      taken.store(i, std::memory_order_release);
    }
    sender.join();
  });
}

TEST(signal_set, takes_the_signals_of_the_runtime_while_it_lives) {
  lv::runtime_options options;
  options.workers = 2;
  const int code = lv::run_with(options, []() -> lv::task<int> {
    constexpr int all[] = {SIGTERM, SIGINT, SIGQUIT};
    for (const int signal : all) {
      auto signals = lv::signal_set::open({signal}).value();
      for (int i = 0; i < 3; i++) {
        ::kill(::getpid(), signal);
        EXPECT_EQ((co_await signals.next()).value(), signal);
      }
    }
    // Without a set the runtime shuts down as ever.
    ::kill(::getpid(), SIGTERM);
    co_await lv::sleep(1h);
    co_return 1;
  });
  EXPECT_EQ(code, 128 + SIGTERM);
}
