#pragma once

#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>

#include "levity/task/detail/promise.hpp"

namespace levity::inline v0::detail {

/// A callable, what it is called with, and what comes of it. Called once.
template <class F, class... Args>
class prepared_call {
public:
  using value = std::invoke_result_t<F, Args...>;

  explicit prepared_call(F f, Args... args) : f_(std::move(f)), args_(std::move(args)...) {}

  void make() noexcept {
    try {
      if constexpr (std::is_void_v<value>) {
        std::apply(std::move(f_), std::move(args_));
        result_.set_value();
      } else {
        result_.set_value(std::apply(std::move(f_), std::move(args_)));
      }
    } catch (...) {
      result_.set_failure(std::current_exception());
    }
  }
  [[nodiscard]] bool is_over() const noexcept { return result_.has_value() || result_.has_failure(); }
  /// What it has returned; throws what it has thrown.
  value take() { return result_.take(); }

private:
  F f_;
  std::tuple<Args...> args_;
  result_slot<value> result_;
};

}  // namespace levity::detail
