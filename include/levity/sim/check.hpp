#pragma once

// sim::check: plays a scenario in many worlds, each from a seed of its own and with a fault plan of its own, until something is
// wrong. Then it looks for the least of that plan that still brings it about, and says how to meet it again.
//
//     const auto result = lv::sim::check({.seeds = 200}, [](lv::sim::check_run& run) {
//       lv::sim::host& orders = run.world().add_host("orders", "10.0.0.1");
//       orders.start([] { return run_orders(); });
//       run.play([&]() -> lv::task<> {                       // while the plan is followed
//         for (int i = 0; i < 100; i++) co_await order_something();
//         co_await run.healed();
//         lv::sim::always(co_await orders_agree(), "no order is lost");
//       });
//     });
//     EXPECT_TRUE(result) << result.message;
//
// The environment has the last word:
//
//     LEVITY_SIM_SEEDS=5000                     so many seeds
//     LEVITY_SIM_SEED=42                        only this one, with its timeline
//     LEVITY_SIM_KNOWN=0                        without the known cases: what the seeds find by themselves
//     LEVITY_SIM_PLAN='2.5s kill orders 300ms'  this fault plan instead of the ones that would be drawn; empty: none
//     LEVITY_SIM_SCHEDULE=pct:3                 this schedule: random, fifo, pct:DEPTH, pct:DEPTH:STEPS, exhaustive; and +detaching
//     LEVITY_SIM_LINES=400                      so many lines of a timeline instead of 40
//     LEVITY_SIM_CHOICES=0,1,0,2                of an exhaustive one and a seed only the run of these choices; all others are 0

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "levity/base/clock.hpp"
#include "levity/runtime/run.hpp"
#include "levity/sim/fault_plan.hpp"
#include "levity/sim/properties.hpp"
#include "levity/sim/schedule.hpp"
#include "levity/sim/timeline.hpp"
#include "levity/sim/world.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::sim {

/// What has failed once, as its replay line says it. A seed by itself is another world as soon as a program draws once more, or
/// this library does; a plan of faults stays what it is.
struct known_case {
  std::uint64_t seed = 1;              ///< of the world
  std::optional<std::string> plan{};   ///< as LEVITY_SIM_PLAN; nothing: the one that is drawn from the seed
  std::string what{};                  ///< was wrong, in a few words; told when it fails again
};

/// How a check goes about it.
struct check_options {
  std::uint64_t first_seed = 1;        ///< the others follow it
  unsigned seeds = 100;                ///< how many
  duration limit = 30min;              ///< of a world's time: a run that takes longer has failed
  plan_options plan{};                 ///< how the fault plan of each seed is drawn
  std::vector<known_case> known{};     ///< run before the seeds, besides them, unless the environment names a seed or plan
  sim::schedule schedule{};            ///< how its tasks and hosts are ordered. Exhaustive: there are many runs of each seed
  unsigned twice_every = 50;           ///< the first of so many seeds is run twice, to see that it is the same; 0: none is
  unsigned shrink_runs_max = 200;      ///< runs of a seed that failed, to find the least of its plan, and of its choices
  duration shrink_time_max = 2min;     ///< of the machine's time, for the same
  std::size_t timeline_events = 10'000;  ///< that are kept of the last run
  std::string arguments{};             ///< of the program that runs this check alone: "--gtest_filter=orders.are_kept"
  std::string trace_folder{};          ///< where the timeline of a failure is written; empty: that of temporary files
};

/// What a check came to.
struct check_result {
  bool holds = false;              ///< nothing was wrong
  std::string message{};           ///< what was, in several lines; or how much was tried, and which faults were met, in one
  std::uint64_t seed = 0;          ///< that failed, if it was a seed, of a known case or not
  fault_plan plan{};               ///< the least one with which it failed, or the smallest found within the limits
  std::uint64_t trace_hash = 0;    ///< of that run
  std::string trace_file{};        ///< the timeline of that run, for https://ui.perfetto.dev; empty: none was written
  unsigned seeds_run = 0;          ///< how many, without the known cases
  std::uint64_t runs = 0;          ///< one of each seed and known case, and more where the schedule is exhaustive
  /// Of an exhaustive schedule: no order of any seed is left within schedule::delays_max.
  bool complete = false;
  bool bounded = false;            ///< schedule::delays_max has left something out
  bool cut_short = false;          ///< schedule::runs_max has
  sim::schedule schedule{};        ///< of the run that failed
  std::vector<unsigned> choices{};  ///< of that run, if its schedule is exhaustive; those that are missing are 0

  explicit operator bool() const noexcept { return holds; }  ///< whether it holds
};

/// One run of a scenario: a world from a seed. Made by check(); on its thread, and in tasks of the scenario.
class check_run {
public:
  check_run(const check_run&) = delete;
  check_run& operator=(const check_run&) = delete;

  /// Empty as yet, but for the scenario's host.
  [[nodiscard]] sim::world& world() noexcept;
  /// That of the world.
  [[nodiscard]] std::uint64_t seed() const noexcept;
  /// What will go wrong: drawn at the first call, for the hosts that the world has by then, unless the environment gives it, or the
  /// check looks for the least one.
  const fault_plan& plan();

  /// world().play(scenario, args...), while the plan is followed from its beginning; what of it is left when the scenario has
  /// returned does not happen. An exit code other than 0 is a failure, after which, as after any, this call does not return: it
  /// ends the run by an exception that the check catches.
  template <class F, class... Args>
  void play(F scenario, Args... args) {
    begin_plan();
    task<int> (*const played)(check_run*, F, Args...) = &check_run::play_beside_plan<F, Args...>;
    conclude(world().play(played, this, std::move(scenario), std::move(args)...));
  }

  /// Kills every program that runs and has it ended when this call returns; not within play(). play() does so before it breaks a
  /// run off, check() when the scenario has returned. So who refers a program to variables of the scenario by reference
  ///
  ///     run.world().add_host("orders", "10.0.0.1").start([&] { return run_orders(of_the_scenario); });
  ///
  /// calls it in the end, or makes these variables before the check: else a program is ended when they are gone.
  void end_programs();

  /// Whether what the calling code finds is of anybody's concern: false in a program that was killed, on its way to its end.
  [[nodiscard]] static bool is_heard() noexcept;

  /// Waits until all of the plan that play() follows is over; a task of the scenario.
  task<> healed();

  /// This seed has failed, says the sentence. The run is broken off when the turn of the scenario is over. Only the first failure
  /// of a run counts.
  void fail(std::string_view sentence, const std::source_location& where = std::source_location::current());
  /// The same, with a place in words: failures of one place are taken for the same one when the least plan is looked for.
  void fail(std::string_view sentence, std::string_view place);
  [[nodiscard]] bool has_failed() const noexcept;  ///< by fail(), always() or anything else

  /// These must be true in one of the seeds of the check, though nobody may ask for them: see sometimes().
  void expect_sometimes(std::initializer_list<std::string_view> what);

private:
  friend class checker;
  struct state;
  explicit check_run(std::unique_ptr<state> made) noexcept;
  ~check_run();

  template <class F, class... Args>
  static task<int> play_beside_plan(check_run* of, F scenario, Args... args) {
    detail::main_outcome outcome;
    scope beside;
    if (of->follows_plan()) beside.spawn("fault plan", follow_plan, of);  // or a small test had one task more to order
    try {
      co_await detail::main_task(outcome, std::move(scenario), std::move(args)...);
    } catch (const cancelled&) {
      throw;
    } catch (...) {
      of->fail_by_exception();
    }
    beside.cancel();
    co_await beside.join();
    co_return outcome.code;
  }

  void begin_plan();
  [[nodiscard]] bool follows_plan() const noexcept;
  static task<> follow_plan(check_run* of);
  void fail_by_exception();  // that is being handled
  void conclude(int code);

  const std::unique_ptr<state> state_;
};

/// Runs `scenario` for each seed, or by an exhaustive schedule for each order of each seed, on this thread, until one fails. It
/// has failed when always() was false, fail() was called, an exception has left it, the world has become older than the limit or
/// come to a standstill, a property has never been true (sometimes()), or a second run of the same seed was another one. A seed
/// that fails is run again and again with parts of its plan, and finally with a timeline. Where the process is aborted, crashes
/// (unless somebody else handles that signal, as a sanitizer does) or exits in the middle of it, standard error tells at which
/// seed, when and on which host, and how to meet it again.
///
/// The scenario must depend on nothing but its run: no clock of the machine, no std::random_device, no order of addresses, no
/// thread, and no variable that keeps something from one run to the next.
///
/// A value for whatever is wrong with the scenario or the environment; throws std::bad_alloc, and what the world's constructor
/// does.
check_result check(const check_options& options, const std::function<void(check_run&)>& scenario);

}  // namespace levity::sim
