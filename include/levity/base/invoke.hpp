#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

namespace levity::inline v0::detail {

/// std::invoke. Where that one lives, in <functional>, live hash tables, searchers and std::function too: a fifth of a second for
/// each file of a user.
template <class F, class... Args>
constexpr std::invoke_result_t<F, Args...> invoke(F&& f, Args&&... args) noexcept(std::is_nothrow_invocable_v<F, Args...>) {
  if constexpr (std::is_member_pointer_v<std::remove_cvref_t<F>>) {
    return std::apply(std::forward<F>(f), std::forward_as_tuple(std::forward<Args>(args)...));
  } else {
    return std::forward<F>(f)(std::forward<Args>(args)...);
  }
}

}  // namespace levity::detail
