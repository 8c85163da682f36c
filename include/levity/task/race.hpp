#pragma once

#include <cstddef>
#include <exception>
#include <optional>
#include <source_location>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "levity/base/assert.hpp"
#include "levity/task/detail/call_site.hpp"
#include "levity/task/detail/contest.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"
#include "levity/task/when_all.hpp"

namespace levity::inline v0 {

/// The branch of a contest among many tasks of one type that decided it, and its value (std::monostate for void).
template <class T>
struct race_winner {
  std::size_t index;               ///< its place among the branches, from 0
  detail::value_or_unit<T> value;  ///< what it returned
};

namespace detail {

template <class... T>
task<std::variant<value_or_unit<T>...>> hold_contest(contest_rule rule, task<T>... branches) {
  static_assert(sizeof...(T) > 0, "a race needs at least one branch");
  using result = std::variant<value_or_unit<T>...>;
  std::tuple<result_slot<T>...> slots;
  const std::source_location site = co_await call_site{};
  contest among{rule, sizeof...(T)};
  scope children{on_failure::keep_going, name_of(rule)};
  auto start = [&]<std::size_t... I>(std::index_sequence<I...>) {
    (children.adopt_frame(run_branch(std::move(branches), static_cast<std::ptrdiff_t>(I), among, children, std::get<I>(slots)),
                          name_of(rule), site),
     ...);
  };
  std::exception_ptr not_started;
  try {
    start(std::index_sequence_for<T...>{});
  } catch (...) {
    // Out of memory. The branches that run already use what lives in this frame: they end first.
    not_started = std::current_exception();
    children.cancel();
  }
  co_await children.join();
  if (not_started != nullptr) std::rethrow_exception(not_started);
  std::optional<result> won;
  auto collect = [&]<std::size_t... I>(std::index_sequence<I...>) {
    ((among.winner() == static_cast<std::ptrdiff_t>(I)
          ? (void)won.emplace(std::in_place_index<I>, take_or_unit(std::get<I>(slots)))
          : void()),
     ...);
  };
  collect(std::index_sequence_for<T...>{});
  co_return std::move(*won);
}

template <class T>
task<race_winner<T>> hold_contest(contest_rule rule, std::vector<task<T>> branches) {
  LEVITY_ASSERT(!branches.empty(), "a race needs at least one branch; nobody can win among none");
  result_slot<T> slot;  // of whoever decides
  const std::source_location site = co_await call_site{};
  contest among{rule, branches.size()};
  scope children{on_failure::keep_going, name_of(rule)};
  std::exception_ptr not_started;
  try {
    for (std::size_t i = 0; i < branches.size(); i++) {
      children.adopt_frame(run_branch(std::move(branches[i]), static_cast<std::ptrdiff_t>(i), among, children, slot), name_of(rule),
                           site);
    }
  } catch (...) {
    not_started = std::current_exception();
    children.cancel();
  }
  co_await children.join();
  if (not_started != nullptr) std::rethrow_exception(not_started);
  co_return race_winner<T>{static_cast<std::size_t>(among.winner()), take_or_unit(slot)};
}

}  // namespace detail

/// Runs all tasks concurrently; the first to end, with a value or an exception, decides. The others are cancelled with
/// reason `lost_race` and have ended when race returns. The result is a variant whose index is the winning branch
/// (std::monostate for void). When the task around it is cancelled all branches are, and race ends as the first of them does.
/// One record and two frames a branch. For the first one that succeeds: when_any().
template <class... T>
task<std::variant<detail::value_or_unit<T>...>> race(task<T>... branches) {
  return detail::hold_contest(detail::contest_rule::first_end, std::move(branches)...);
}

/// The same among any number of tasks of one type, at least one (asserted). Costs one record and two frames a branch.
template <class T>
task<race_winner<T>> race(std::vector<task<T>> branches) {
  return detail::hold_contest(detail::contest_rule::first_end, std::move(branches));
}

}  // namespace levity
