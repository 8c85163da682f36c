#pragma once

// contest: which of several branches decides. What race() and when_any() have in common.
//
//   rule            who decides
//   first_end       the first branch to end, however it does
//   first_success   the first branch to succeed; when none does, the last one to fail
//
// A branch succeeds when it returns a value that is no std::expected with an error in it.
//
// Only the branch that decides writes a result, and it is read after the join, which orders it (E30): one word is raced for,
// and nothing needs more than its atomicity.

#include <cstddef>
#include <exception>
#include <expected>
#include <type_traits>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0::detail {

enum class contest_rule : unsigned char { first_end, first_success };

/// Of its branches, and of the scope that they run in.
constexpr const char* name_of(contest_rule rule) noexcept { return rule == contest_rule::first_end ? "race" : "when_any"; }

class contest {
public:
  static constexpr std::ptrdiff_t nobody = -1;

  contest(contest_rule rule, std::size_t branches) noexcept : branches_(branches), rule_(rule) {}
  contest(const contest&) = delete;
  contest& operator=(const contest&) = delete;

  /// Branch `number` has ended. True: it decides, and writes the result. Once a branch.
  bool ends(std::ptrdiff_t number, bool success) noexcept {
    if (rule_ == contest_rule::first_success && !success) {
      if (failed_.fetch_add(1, std::memory_order_relaxed) + 1 != branches_) return false;
    }
    std::ptrdiff_t expected = nobody;
    return winner_.compare_exchange_strong(expected, number, std::memory_order_relaxed, std::memory_order_relaxed);
  }

  /// The branch that decides, or nobody yet.
  [[nodiscard]] std::ptrdiff_t winner() const noexcept { return winner_.load(std::memory_order_relaxed); }

private:
  atomic<std::ptrdiff_t> winner_{nobody};
  atomic<std::size_t> failed_{0};
  const std::size_t branches_;
  const contest_rule rule_;
};

template <class T>
struct is_expected : std::false_type {};
template <class T, class E>
struct is_expected<std::expected<T, E>> : std::true_type {};

template <class T>
bool is_success(const T& value) noexcept {
  if constexpr (is_expected<T>::value) {
    return value.has_value();
  } else {
    return true;
  }
}

template <class T>
task<> run_branch(task<T> branch, std::ptrdiff_t number, contest& among, scope& others, result_slot<T>& slot) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(branch);
      if (!among.ends(number, true)) co_return;
      slot.set_value();
    } else {
      T value = co_await std::move(branch);
      if (!among.ends(number, is_success(value))) co_return;
      slot.set_value(std::move(value));
    }
  } catch (...) {
    // The winner may fail yet, when its value is moved.
    if (among.winner() != number && !among.ends(number, false)) co_return;
    slot.set_failure(std::current_exception());
  }
  others.cancel(cancel_reason::lost_race);
}

}  // namespace levity::detail
