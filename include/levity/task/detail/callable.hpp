#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "levity/task/task.hpp"

namespace levity::detail {

template <class... Parameters>
inline constexpr bool all_values = (!std::is_reference_v<Parameters> && ...);

template <class F>
struct call_signature {
  static constexpr bool values = false;
};
template <class R, class... P>
struct call_signature<R (*)(P...)> {
  static constexpr bool values = all_values<P...>;
};
template <class R, class... P>
struct call_signature<R (*)(P...) noexcept> : call_signature<R (*)(P...)> {};

template <class F>
concept has_one_call_operator = requires { &F::operator(); };

template <class M>
struct member_signature {
  static constexpr bool values = false;
};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...) const> {
  static constexpr bool values = all_values<P...>;
};
template <class R, class C, class... P>
struct member_signature<R (C::*)(P...) const noexcept> : member_signature<R (C::*)(P...) const> {};

/// Whether a call of F keeps nothing outside the callee's own frame: no state in F, no reference parameter.
template <class F>
constexpr bool keeps_nothing_outside() {
  if constexpr (has_one_call_operator<F>) {
    return std::is_empty_v<F> && member_signature<decltype(&F::operator())>::values;
  } else {
    return call_signature<F>::values;
  }
}

template <class F>
inline constexpr bool takes_only_values = keeps_nothing_outside<F>();

/// Keeps a callable and its arguments alive in a frame of its own while the call runs.
template <class F, class... Args>
std::invoke_result_t<F&, Args...> run_with(F f, Args... args) {
  co_return co_await std::invoke(f, std::move(args)...);
}

}  // namespace levity::detail
