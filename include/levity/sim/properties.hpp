#pragma once

// What must hold in a world, and what must be able to happen. Called from wherever it is known, a task of any host, a program's
// main() or the scenario; sim::check() (levity/sim/check.hpp) listens.
//
//     lv::sim::always(balance >= 0, "no account is overdrawn");
//     lv::sim::sometimes(retries > 2, "a payment needs three attempts");
//     lv::sim::reachable("the breaker opens");

#include <source_location>
#include <string_view>

namespace levity::inline v0 {
namespace detail {

void always_failed(std::string_view what, const std::source_location& where);

}  // namespace detail

namespace sim {

/// What must be true whenever it is asked. If it is not, this seed of the check has failed: it is told where and when, and the run
/// is broken off as soon as the turn of whoever runs is over, so code behind it may still run. Outside of a check it is an
/// assertion: the process ends. Costs a comparison while it is true. Any thread; says nothing from a program that was killed.
inline void always(bool holds, std::string_view what, const std::source_location& where = std::source_location::current()) {
  if (!holds) [[unlikely]] detail::always_failed(what, where);
}

/// What must be true at least once in all the seeds of a check, if it is asked in one: else the check tests less than it is meant
/// to, and fails at its end. Outside of a check it does nothing. Costs a look-up by its text.
void sometimes(bool holds, std::string_view what);

/// What must be come by: sometimes() that is true. Of use with check_run::expect_sometimes(), or nobody knows that it is missing.
void reachable(std::string_view what);

}  // namespace sim
}  // namespace levity
