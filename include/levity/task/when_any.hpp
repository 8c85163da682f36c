#pragma once

// when_any: several ways to one result, the first that works is enough. What it is beside its kin, here and elsewhere:
//
//   wanted                                   levity                   tokio                      Go
//   every result                             when_all(...)            join!, try_join!           errgroup
//   the first to end, well or not            race(...)                select! over futures       select over channels
//   the first to succeed                     when_any(...)            select_ok                  a loop by hand
//   results as they come, tasks as they go   scope, channel           JoinSet                    goroutines, channel
//   one of several channel operations        select(...)              select! over recv()        select
//
// The difference to all of the others' selects: what loses has not merely been dropped or forgotten, it was told to end and
// has ended when the call returns.

#include <utility>
#include <variant>
#include <vector>

#include "levity/task/race.hpp"

namespace levity::inline v0 {

/// Runs all tasks concurrently; the first to succeed decides. A branch that throws, or returns a std::expected with an error in
/// it, has failed and only leaves the others to try; when all have failed, the last failure is the outcome: its exception is
/// thrown, its error returned. The others are cancelled with reason `lost_race` and have ended when when_any returns; a loser's
/// value that came too late is destroyed. The result is a variant whose index is the branch that decided (std::monostate for
/// void).
///
///     auto answer = co_await lv::when_any(ask(primary), ask(replica));    // task<io_result<reply>> each
///
/// When the task around it is cancelled all branches are; a value that came first is still returned, else what the last branch
/// ended with. Any task; one record and two frames a branch.
template <class... T>
task<std::variant<detail::value_or_unit<T>...>> when_any(task<T>... branches) {
  return detail::hold_contest(detail::contest_rule::first_success, std::move(branches)...);
}

/// The same among any number of tasks of one type, at least one (asserted); returns the branch's index and value.
template <class T>
task<race_winner<T>> when_any(std::vector<task<T>> branches) {
  return detail::hold_contest(detail::contest_rule::first_success, std::move(branches));
}

}  // namespace levity
