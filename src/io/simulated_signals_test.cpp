// Signals of a simulated world: each test raises them as the world would, and finds what a real run makes of real ones.

#include "io/simulated_signals.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <vector>

#include "levity/io/signal_set.hpp"
#include "levity/levity.hpp"
#include "tests/support/run_simulated.hpp"

namespace lv = levity;
using namespace std::chrono_literals;
using levity::io_failure;
using levity::detail::simulated_signals;
using levity::test::run_simulated;
using fate = levity::detail::simulated_signals::fate;

namespace {

simulated_signals& signals_here() { return *lv::detail::current_run().exec->signals(); }

lv::task<> raises_later(int signal, lv::duration wait, fate* became) {
  co_await lv::sleep(wait);
  *became = signals_here().raise(signal);
}

lv::task<> takes(lv::signal_set* from, int* got) {
  const auto signal = co_await from->next();
  *got = signal ? *signal : -1;
}

}  // namespace

TEST(simulated_signals, go_to_every_set_that_names_them) {
  EXPECT_EQ(run_simulated(1, []() -> lv::task<> {
    auto one = lv::signal_set::open({SIGHUP, SIGTERM}).value();
    auto other = lv::signal_set::open({SIGTERM}).value();
    int by_one = 0;
    int by_other = 0;
    lv::scope all;
    all.spawn(takes, &one, &by_one);
    all.spawn(takes, &other, &by_other);
    fate became{};
    all.spawn(raises_later, SIGTERM, 1h, &became);
    co_await all.join();
    EXPECT_EQ(became, fate::taken);
    EXPECT_EQ(by_one, SIGTERM);
    EXPECT_EQ(by_other, SIGTERM);
  }), 0);
}

TEST(simulated_signals, that_come_before_the_wait_are_not_lost_and_become_one) {
  EXPECT_EQ(run_simulated(2, []() -> lv::task<> {
    auto set = lv::signal_set::open({SIGUSR1, SIGUSR2}).value();
    EXPECT_EQ(signals_here().raise(SIGUSR2), fate::taken);
    EXPECT_EQ(signals_here().raise(SIGUSR1), fate::taken);
    EXPECT_EQ(signals_here().raise(SIGUSR1), fate::taken);
    EXPECT_EQ((co_await set.next()).value(), SIGUSR1);
    EXPECT_EQ((co_await set.next()).value(), SIGUSR2);
    EXPECT_EQ((co_await lv::with_deadline(1s, set.next())).error(), io_failure::timed_out);
    set.close();
    set.close();
    EXPECT_EQ((co_await set.next()).error(), io_failure::closed);
  }), 0);
}

TEST(simulated_signals, are_given_to_nobody_who_was_cancelled_and_stay_for_who_asks_next) {
  EXPECT_EQ(run_simulated(3, []() -> lv::task<> {
    auto set = lv::signal_set::open({SIGUSR1}).value();
    int got = 0;
    lv::scope waiting;
    waiting.spawn(takes, &set, &got);
    co_await lv::sleep(1ms);
    waiting.cancel();
    co_await waiting.join();
    EXPECT_EQ(got, -1);
    signals_here().raise(SIGUSR1);
    lv::signal_set moved = std::move(set);
    EXPECT_EQ((co_await moved.next()).value(), SIGUSR1);
  }), 0);
}

TEST(simulated_signals, that_cannot_be_caught_are_refused_to_sets) {
  EXPECT_EQ(run_simulated(4, []() -> lv::task<> {
    for (const int signal : {SIGKILL, SIGSTOP, SIGSEGV, 0, -1, 1000}) {
      EXPECT_EQ(lv::signal_set::open({SIGUSR1, signal}).error(), io_failure::invalid);
    }
    EXPECT_EQ(signals_here().raise(SIGUSR1), fate::ends);  // no set was left behind
    co_return;
  }), 0);
}

TEST(simulated_signals, that_nobody_takes_cancel_the_main_task_and_decide_the_code_if_it_ends_by_that) {
  for (const int signal : {SIGINT, SIGTERM}) {
    EXPECT_EQ(run_simulated(5, [](int which) -> lv::task<int> {
      EXPECT_EQ(signals_here().raise(which), fate::cancels);
      co_await lv::sleep(1h);
      co_return 1;
    }, signal), 128 + signal);
    EXPECT_EQ(run_simulated(5, [](int which) -> lv::task<int> {
      EXPECT_EQ(signals_here().raise(which), fate::cancels);
      try {
        co_await lv::sleep(1h);
      } catch (const lv::cancelled& ended) {
        EXPECT_EQ(ended.reason(), lv::cancel_reason::shutdown);
      }
      co_return 7;
    }, signal), 7);
  }
}

TEST(simulated_signals, a_second_one_ends_the_process_and_then_nothing_is_heard) {
  EXPECT_EQ(run_simulated(6, []() -> lv::task<int> {
    simulated_signals& here = signals_here();
    auto set = lv::signal_set::open({SIGUSR1}).value();
    std::vector<int> ended;
    here.on_end = [&ended](int code) { ended.push_back(code); };
    EXPECT_EQ(here.raise(SIGTERM), fate::cancels);
    EXPECT_EQ(here.ended_by(), 0);
    EXPECT_EQ(here.raise(SIGINT), fate::ends);
    EXPECT_EQ(here.ended_by(), SIGINT);
    EXPECT_EQ(here.raise(SIGKILL), fate::ignored);
    EXPECT_EQ(here.raise(SIGUSR1), fate::ignored);
    EXPECT_EQ(ended, std::vector<int>{128 + SIGINT});
    here.on_end = nullptr;
    co_return 3;
  }), 3);
}

TEST(simulated_signals, do_what_the_kernel_does_where_nobody_handles_them) {
  const auto became = [](int signal, bool handles) {
    fate seen{};
    lv::runtime_options options;
    options.backend = lv::runtime_options::sockets::sim;
    options.handle_signals = handles;
    EXPECT_EQ(lv::run_with(options, [](int which, fate* into) -> lv::task<> {
      int printed = 0;
      signals_here().on_quit = [&printed] { printed++; };
      *into = signals_here().raise(which);
      EXPECT_EQ(printed, *into == fate::printed ? 1 : 0);
      EXPECT_EQ(signals_here().ended_by(), *into == fate::ends ? which : 0);
      signals_here().on_quit = nullptr;
      co_return;
    }, signal, &seen), 0);
    return seen;
  };
  EXPECT_EQ(became(SIGQUIT, true), fate::printed);
  EXPECT_EQ(became(SIGQUIT, false), fate::ends);
  EXPECT_EQ(became(SIGTERM, false), fate::ends);
  for (const bool handles : {true, false}) {
    EXPECT_EQ(became(SIGHUP, handles), fate::ends);
    EXPECT_EQ(became(SIGKILL, handles), fate::ends);
    EXPECT_EQ(became(SIGPIPE, handles), fate::ignored);
    EXPECT_EQ(became(SIGCHLD, handles), fate::ignored);
    EXPECT_EQ(became(SIGWINCH, handles), fate::ignored);
  }
}

TEST(simulated_signals, a_program_that_ends_itself_in_a_world_hears_nothing_more) {
  EXPECT_EQ(run_simulated(7, []() -> lv::task<> {
    simulated_signals& here = signals_here();
    EXPECT_FALSE(here.end_program(9)) << "there is no world that could end it";
    std::vector<int> ended;
    here.on_end = [&ended](int code) { ended.push_back(code); };
    EXPECT_TRUE(here.end_program(9));
    EXPECT_TRUE(here.end_program(8));
    EXPECT_EQ(here.raise(SIGTERM), fate::ignored);
    EXPECT_EQ(ended, std::vector<int>{9});
    EXPECT_EQ(here.ended_by(), 0);
    here.on_end = nullptr;
    co_return;
  }), 0);
}

// A set that names SIGTERM has it also after main was told to end by SIGINT, as in a real run.
TEST(simulated_signals, a_set_comes_before_the_end) {
  EXPECT_EQ(run_simulated(8, []() -> lv::task<int> {
    auto set = lv::signal_set::open({SIGTERM}).value();
    EXPECT_EQ(signals_here().raise(SIGTERM), fate::taken);
    EXPECT_EQ(signals_here().raise(SIGINT), fate::cancels);
    EXPECT_EQ(signals_here().raise(SIGTERM), fate::taken);
    set.close();
    EXPECT_EQ(signals_here().raise(SIGTERM), fate::ends);
    co_return 0;
  }), 0);
}

TEST(simulated_signals, a_real_run_has_none_of_them) {
  lv::runtime_options options;
  options.workers = 1;
  lv::run_with(options, []() -> lv::task<> {
    EXPECT_EQ(lv::detail::current_run().exec->signals(), nullptr);
    co_return;
  });
}

TEST(simulated_signals, before_the_program_runs_do_what_the_kernel_does_by_default) {
  EXPECT_EQ(run_simulated(1, []() -> lv::task<> {
    auto set = lv::signal_set::open({SIGUSR1}).value();
    simulated_signals& signals = signals_here();
    int told = 0;
    signals.on_end = [&told](int code) { told = code; };
    EXPECT_EQ(signals.raise_before_run(SIGCHLD), fate::ignored);
    EXPECT_EQ(signals.raise_before_run(SIGTERM), fate::ends) << "nobody handles it yet";
    EXPECT_EQ(told, 128 + SIGTERM);
    EXPECT_EQ(signals.raise_before_run(SIGINT), fate::ignored) << "nobody is there";
    signals.on_end = {};
    co_return;
  }), 0);
}

TEST(simulated_signals, are_left_to_the_kernels_default_where_the_program_says_so_later) {
  EXPECT_EQ(run_simulated(1, []() -> lv::task<> {
    simulated_signals& signals = signals_here();
    signals.set_handles(false);
    EXPECT_EQ(signals.raise(SIGTERM), fate::ends);
    EXPECT_EQ(signals.code(), 0);
    co_return;
  }), 0);
}
