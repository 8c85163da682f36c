#pragma once

#include <type_traits>
#include <utility>

#include "levity/base/invoke.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::detail {

// A parameter that is the argument's own type, or a number made of a number: nothing of the argument is left behind. A view
// of an argument, say a std::string_view made of a std::string, would be.
template <class Parameter, class Argument>
inline constexpr bool takes_over =
    std::is_same_v<Parameter, Argument> || (std::is_arithmetic_v<Parameter> && std::is_arithmetic_v<Argument>);

template <class F>
struct call_signature {
  template <class... Arguments>
  static constexpr bool takes = false;
};
template <class R, class... P>
struct call_signature<R (*)(P...)> {
  template <class... Arguments>
  static constexpr bool takes = [] {
    if constexpr (sizeof...(P) == sizeof...(Arguments)) {
      return (takes_over<P, Arguments> && ...);
    } else {
      return false;
    }
  }();
};
template <class R, class... P>
struct call_signature<R (*)(P...) noexcept> : call_signature<R (*)(P...)> {};

template <class F>
concept has_one_call_operator = requires { &F::operator(); };

template <class M>
struct member_signature : call_signature<void> {};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...) const> : call_signature<R (*)(P...)> {};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...) const noexcept> : call_signature<R (*)(P...)> {};

/// Whether a call of F with such arguments keeps nothing outside the callee's own frame: no state in F, every argument moved
/// into its parameter.
template <class F, class... Arguments>
constexpr bool keeps_nothing_outside() {
  if constexpr (has_one_call_operator<F>) {
    return std::is_empty_v<F> && member_signature<decltype(&F::operator())>::template takes<Arguments...>;
  } else {
    return call_signature<F>::template takes<Arguments...>;
  }
}

/// Whether `f(args...)` can be made a task of its own. What cannot is refused here, in one sentence.
template <class F, class... Args>
consteval bool makes_task() {
  constexpr bool is_made = is_task<F>::value;
  static_assert(!is_made, "pass the function and its arguments, (f, x), and not the task (f(x)): the new task makes the call");
  constexpr bool fits = is_made || std::is_invocable_v<F&, Args...>;
  static_assert(fits, "arguments are moved into the new task, and these do not fit the callable; where a parameter is a reference "
                      "to something that outlives the task, pass a pointer or std::ref()");
  if constexpr (!is_made && fits) {
    constexpr bool gives_task = is_task<std::invoke_result_t<F&, Args...>>::value;
    static_assert(gives_task, "a callable that becomes a task must return a levity::task");
    return gives_task;
  }
  return false;
}

/// Keeps a callable and its arguments alive in a frame of its own while the call runs.
template <class F, class... Args>
std::invoke_result_t<F&, Args...> run_with(F f, Args... args) {
  co_return co_await detail::invoke(f, std::move(args)...);
}

/// `f(args...)`, of which makes_task() is true, as the root frame of a task of its own. Where the callable has no state and takes
/// each argument over as it is, the callee's own frame holds everything and is the root; else a small frame around it does.
template <class F, class... Args>
auto as_root(F f, Args&&... args) {
  if constexpr (keeps_nothing_outside<F, std::decay_t<Args>...>() && std::is_invocable_v<F&, Args...>) {
    return detail::invoke(f, std::forward<Args>(args)...);
  } else {
    return run_with(std::move(f), std::decay_t<Args>(std::forward<Args>(args))...);
  }
}

}  // namespace levity::detail
