#pragma once

#include <utility>

#include "levity/task/task.hpp"

namespace levity::inline v0::detail {

/// A task that an awaiter starts only when it finds that it has to wait.
template <class T>
struct late_task {
  task<T> inner;
  typename task<T>::awaiter wait;

  explicit late_task(task<T> started) noexcept : inner(std::move(started)), wait(std::move(inner).operator co_await()) {}
};

}  // namespace levity::detail
