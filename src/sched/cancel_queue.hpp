#pragma once

// cancel_queue: cancelled scopes whose children have not all been told yet. Workers go on with them between tasks, a slice at a
// time, see scope_state::cancel().

#include "levity/base/atomic.hpp"
#include "levity/base/spin_lock.hpp"
#include "levity/task/detail/scope_state.hpp"

namespace levity::inline v0::detail {

class cancel_queue {
public:
  /// Any thread.
  void push(scope_state& scope) noexcept {
    scope.next_to_cancel = nullptr;
    lock_.lock();
    (last_ != nullptr ? last_->next_to_cancel : first_) = &scope;
    last_ = &scope;
    empty_.store(false, std::memory_order_relaxed);
    lock_.unlock();
  }

  /// Null: there is none. Any thread.
  scope_state* pop() noexcept {
    if (empty_approx()) return nullptr;
    lock_.lock();
    scope_state* const scope = first_;
    if (scope != nullptr) first_ = scope->next_to_cancel;
    if (first_ == nullptr) {
      last_ = nullptr;
      empty_.store(true, std::memory_order_relaxed);
    }
    lock_.unlock();
    return scope;
  }

  [[nodiscard]] bool empty_approx() const noexcept { return empty_.load(std::memory_order_relaxed); }

private:
  spin_lock lock_;
  scope_state* first_ = nullptr;  // guarded by lock_
  scope_state* last_ = nullptr;   // guarded by lock_
  atomic<bool> empty_{true};
};

}  // namespace levity::detail
