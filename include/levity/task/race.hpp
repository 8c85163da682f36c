#pragma once

#include <optional>
#include <tuple>
#include <utility>
#include <variant>

#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"
#include "levity/task/when_all.hpp"

namespace levity::inline v0 {
namespace detail {

/// Which branch of a race came first. Read after the join, which orders it.
class finish_line {
public:
  static constexpr int nobody = -1;

  /// True for the first caller.
  bool cross(int branch) noexcept {
    int expected = nobody;
    return winner_.compare_exchange_strong(expected, branch, std::memory_order_relaxed, std::memory_order_relaxed);
  }
  [[nodiscard]] int winner() const noexcept { return winner_.load(std::memory_order_relaxed); }

private:
  atomic<int> winner_{nobody};
};

template <class T>
task<> run_branch(task<T> branch, int number, finish_line& line, scope& others, result_slot<T>& slot) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(branch);
      if (!line.cross(number)) co_return;
      slot.set_value();
    } else {
      T value = co_await std::move(branch);
      if (!line.cross(number)) co_return;
      slot.set_value(std::move(value));
    }
  } catch (...) {
    // The winner may fail yet, when its value is moved.
    if (line.winner() != number && !line.cross(number)) co_return;
    slot.set_failure(std::current_exception());
  }
  others.cancel(cancel_reason::lost_race);
}

}  // namespace detail

/// Runs all tasks concurrently; the first to end, with a value or an exception, decides. The others are cancelled with
/// reason `lost_race` and have ended when race returns. The result is a variant whose index is the winning branch
/// (std::monostate for void).
template <class... T>
task<std::variant<detail::value_or_unit<T>...>> race(task<T>... branches) {
  static_assert(sizeof...(T) > 0, "a race needs at least one branch");
  using result = std::variant<detail::value_or_unit<T>...>;
  const std::source_location site = std::source_location::current();
  std::tuple<detail::result_slot<T>...> slots;
  detail::finish_line line;
  scope children{on_failure::keep_going};
  auto start = [&]<std::size_t... I>(std::index_sequence<I...>) {
    (children.adopt_frame(detail::run_branch(std::move(branches), static_cast<int>(I), line, children, std::get<I>(slots)),
                          site),
     ...);
  };
  std::exception_ptr not_started;
  try {
    start(std::index_sequence_for<T...>{});
  } catch (...) {
    // Out of memory. The branches that run already use what lives in this frame: they end first.
    not_started = std::current_exception();
    children.cancel();
  }
  co_await children.join();
  if (not_started != nullptr) std::rethrow_exception(not_started);
  std::optional<result> won;
  auto collect = [&]<std::size_t... I>(std::index_sequence<I...>) {
    ((line.winner() == static_cast<int>(I) ? (void)won.emplace(std::in_place_index<I>, detail::take_or_unit(std::get<I>(slots)))
                                           : void()),
     ...);
  };
  collect(std::index_sequence_for<T...>{});
  co_return std::move(*won);
}

}  // namespace levity
