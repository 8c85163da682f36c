#pragma once

// awaited_callable: what g++ before 13 gets wrong of a callable that is written inside a co_await expression.
//
// It makes variables of the frame of what such a lambda captures, and destroys that twice: as those, and with the lambda (GCC bug
// 99576). What has no destructor bears that; what has a name is no temporary.
//
// A coroutine that takes a callable by value cannot refuse this: it is never told whether its argument had a name. So such a
// function f is a front that is no coroutine: it takes F&&, checks it, and gives the callable to the coroutine f_kept.
//
// Refused too is what would be right: a lambda with such captures outside of a co_await, and std::move of one that has a name. They
// look the same from here.

#include <type_traits>

namespace levity::inline v0::detail {

/// Refuses, where the compiler would destroy it twice, a callable that was given as F&&.
template <class F>
constexpr void check_callable() noexcept {
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
  static_assert(std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<F>,
                "this compiler destroys a lambda with such captures twice when it is written inside a co_await: pass what it "
                "captures as arguments, where the function takes some, or name the lambda before and pass the name or std::ref() "
                "of it");
#endif
}

}  // namespace levity::detail
