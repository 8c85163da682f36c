#pragma once

#include <source_location>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "levity/task/detail/call_site.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"
#include "levity/task/yield.hpp"

namespace levity::inline v0 {
namespace detail {

template <class T>
using value_or_unit = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
value_or_unit<T> take_or_unit(result_slot<T>& slot) {
  LEVITY_ASSERT(slot.has_value() || slot.has_failure(), "a branch that ended without a result failed or was cancelled");
  if constexpr (std::is_void_v<T>) {
    slot.take();
    return {};
  } else {
    return slot.take();
  }
}

// The root of a branch. What the branch throws is its scope's business.
template <class T>
task<> fill(task<T> branch, result_slot<T>& slot) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(branch);
    slot.set_value();
  } else {
    slot.set_value(co_await std::move(branch));
  }
}

}  // namespace detail

/// Runs all tasks concurrently and returns their results in order (std::monostate for void). The first failure cancels the
/// others and is rethrown when all have ended; so is cancellation from outside. One record and one small frame a branch.
template <class... T>
task<std::tuple<detail::value_or_unit<T>...>> when_all(task<T>... branches) {
  const std::source_location site = co_await detail::call_site{};
  std::tuple<detail::result_slot<T>...> slots;
  scope children{on_failure::cancel_siblings, "when_all"};
  auto start = [&]<std::size_t... I>(std::index_sequence<I...>) {
    (children.adopt_frame(detail::fill(std::move(branches), std::get<I>(slots)), "when_all", site), ...);
  };
  std::exception_ptr not_started;
  try {
    start(std::index_sequence_for<T...>{});
  } catch (...) {
    // Out of memory. The branches that run already write into this frame: they end first.
    not_started = std::current_exception();
    children.cancel();
  }
  co_await children.join();
  if (not_started != nullptr) std::rethrow_exception(not_started);
  co_await detail::throw_if_cancelled();
  co_return std::apply(
      [](auto&... slot) { return std::tuple<detail::value_or_unit<T>...>(detail::take_or_unit(slot)...); }, slots);
}

/// The same for any number of tasks of one type.
template <class T>
task<std::vector<detail::value_or_unit<T>>> when_all(std::vector<task<T>> branches) {
  const std::source_location site = co_await detail::call_site{};
  std::vector<detail::result_slot<T>> slots(branches.size());
  scope children{on_failure::cancel_siblings, "when_all"};
  std::exception_ptr not_started;
  try {
    for (std::size_t i = 0; i < branches.size(); i++) {
      children.adopt_frame(detail::fill(std::move(branches[i]), slots[i]), "when_all", site);
    }
  } catch (...) {
    not_started = std::current_exception();
    children.cancel();
  }
  co_await children.join();
  if (not_started != nullptr) std::rethrow_exception(not_started);
  co_await detail::throw_if_cancelled();
  std::vector<detail::value_or_unit<T>> results;
  results.reserve(slots.size());
  for (auto& slot : slots) results.push_back(detail::take_or_unit(slot));
  co_return results;
}

}  // namespace levity
