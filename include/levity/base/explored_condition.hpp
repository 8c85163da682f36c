#pragma once

// explored_condition: a std::condition_variable that asks whoever explores (explored_mutex.hpp). In an exploration a wait may end
// for no reason, as it may outside of one; its time is over only where the exploration has timeouts.

#include <chrono>
#include <condition_variable>

#include "levity/base/explored_mutex.hpp"

namespace levity::inline v0::detail {

/// std::condition_variable under an explorer, as far as the house needs it.
class explored_condition {
  using site = std::source_location;

public:
  explored_condition(site where = site::current()) noexcept {
    if (this_explorer != nullptr) this_explorer->begins(&word_, sizeof word_, where);
  }
  ~explored_condition() {
    if (this_explorer != nullptr) this_explorer->ends(&word_, sizeof word_);
  }
  explored_condition(const explored_condition&) = delete;
  explored_condition& operator=(const explored_condition&) = delete;

  void notify_one(site where = site::current()) noexcept {
    if (this_explorer != nullptr) return this_explorer->notify(&word_, false, where);
    native_.notify_one();
  }
  void notify_all(site where = site::current()) noexcept {
    if (this_explorer != nullptr) return this_explorer->notify(&word_, true, where);
    native_.notify_all();
  }

  void wait(explored_unique_guard& guard, site where = site::current()) {
    if (this_explorer != nullptr) return static_cast<void>(this_explorer->wait(&word_, guard.mutex(), false, where));
    std::unique_lock held{guard.mutex()->native(), std::adopt_lock};
    native_.wait(held);
    static_cast<void>(held.release());
  }
  template <class Predicate>
  void wait(explored_unique_guard& guard, Predicate&& holds, site where = site::current()) {
    while (!holds()) wait(guard, where);
  }
  /// Returns what `holds` says at the end.
  template <class Rep, class Period, class Predicate>
  bool wait_for(explored_unique_guard& guard, std::chrono::duration<Rep, Period> limit, Predicate&& holds,
                site where = site::current()) {
    if (this_explorer != nullptr) {
      while (!holds()) {
        if (!this_explorer->wait(&word_, guard.mutex(), true, where)) return holds();
      }
      return true;
    }
    std::unique_lock held{guard.mutex()->native(), std::adopt_lock};
    const bool held_at_last = native_.wait_for(held, limit, holds);
    static_cast<void>(held.release());
    return held_at_last;
  }

private:
  std::uint32_t word_ = 0;  // as what the explorer knows it
  std::condition_variable native_;
};

}  // namespace levity::detail
