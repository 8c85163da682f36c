#pragma once

// load_shape: what a user's loader returns, taken apart.
//
//   task<Value>                              there always is one
//   task<std::optional<Value>>               nullopt: there is none
//   task<std::expected<Value, E>>            the load may fail by a value
//   task<std::expected<std::optional<Value>, E>>   both

#include <expected>
#include <optional>
#include <type_traits>
#include <utility>

#include "levity/cache/cached.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::detail {

template <class Load, class Key>
auto call_load(Load& load, const Key& key) {
  if constexpr (std::is_invocable_v<Load&, const Key&>) {
    return load(key);
  } else {
    return load();
  }
}

template <class T>
struct task_value;
template <class T>
struct task_value<task<T>> {
  using type = T;
};

/// What the loader's task returns.
template <class Load, class Key>
using loaded_by = typename task_value<decltype(call_load(std::declval<Load&>(), std::declval<const Key&>()))>::type;

/// What get_or_load() makes of it.
template <class Loaded, class Value>
struct load_shape {
  static_assert(std::is_same_v<Loaded, Value> || std::is_same_v<Loaded, std::optional<Value>>,
                "a loader returns a task of Value, std::optional<Value>, or std::expected of one of these");
  using answer = cached<Value>;
  static constexpr bool may_fail = false;
};
template <class Inner, class Error, class Value>
struct load_shape<std::expected<Inner, Error>, Value> : load_shape<Inner, Value> {
  using answer = std::expected<cached<Value>, Error>;
  using error = Error;
  static constexpr bool may_fail = true;
};

/// One address for each type of error.
template <class Error>
inline char error_kind{};

}  // namespace levity::detail
