#pragma once

#include <expected>
#include <type_traits>

#include "levity/task/task.hpp"

namespace levity::inline v0::detail {

template <class T>
inline constexpr bool is_outcome = false;
template <class T, class E>
inline constexpr bool is_outcome<std::expected<T, E>> = true;

template <class Task>
struct task_outcome {
  using type = void;
};
template <class R>
struct task_outcome<task<R>> {
  using type = R;
};

/// What one call of it comes to.
template <class Work, class... Args>
using outcome_of = typename task_outcome<std::invoke_result_t<Work&, Args...>>::type;

/// What policies can be put around: a callable that gives a task<std::expected<T, E>> each time it is called.
template <class Work, class... Args>
concept repeatable_work = std::is_invocable_v<Work&, Args...> && is_outcome<outcome_of<Work, Args...>>;

}  // namespace levity::detail
