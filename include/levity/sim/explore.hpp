#pragma once

// sim::explore: check() for a few tasks, without hosts, programs and faults: the unit test of what tasks do to each other.
//
//     const auto result = lv::sim::explore([]() -> lv::task<> {       // in each order of its tasks
//       account one;
//       lv::scope both;
//       both.spawn(deposit, &one, 10);
//       both.spawn(deposit, &one, 20);
//       co_await both.join();
//       lv::sim::always(one.balance == 30, "no deposit is lost");
//     });
//     EXPECT_TRUE(result) << result.message;
//
// The clock is virtual: it stands still while tasks run, and when all of them wait it jumps to the next timer. Sockets are in
// memory (127.0.0.1; stream_pair() of levity/sim/stream_pair.hpp), and so are files.

#include <utility>

#include "levity/sim/check.hpp"
#include "levity/sim/schedule.hpp"

namespace levity::inline v0::sim {

/// All orders of a small test.
inline constexpr schedule each_order{.what = schedule_kind::exhaustive};

/// Options of a check of one seed by that schedule.
[[nodiscard]] inline check_options exploring(const schedule& how) {
  check_options options;
  options.seeds = 1;
  options.schedule = how;
  options.limit = 24h * 365;  // a unit test may sleep for days
  return options;
}

/// Runs `scenario`, a task, again and again as check() does, on the scenario's host of a world that has no other, so that there is
/// nobody to have faults. Failures, the environment and the replay are check()'s; a world that stands still is one of them.
///
/// Of an exhaustive schedule the runs of a seed are the orders in which the tasks of the scenario can come: n tasks that run once
/// each after their spawning have n! of them. check_result::complete says whether all were seen. More seeds are the same orders
/// with other latencies of sockets and disks. Of another one each seed is one run.
template <class F>
check_result explore(const check_options& how, F scenario) {
  return check(how, [&scenario](check_run& run) { run.play(scenario); });
}

/// The same in each order, up to schedule::runs_max, from one seed.
template <class F>
check_result explore(F scenario) {
  return explore(exploring(each_order), std::move(scenario));
}

}  // namespace levity::sim
