#pragma once

// explored_spin_guard: the guard of a spin_lock in a build that explores, see spin_guard.hpp; in others there is none. It takes the
// word by operations of its own place, not of the lock's.

#ifdef LEVITY_MODEL

#include "levity/base/spin_lock.hpp"

namespace levity::inline v0::detail {

class [[nodiscard]] explored_spin_guard {
public:
  explicit explored_spin_guard(spin_lock& held, std::source_location where = std::source_location::current()) noexcept
      : word_(held.word_), where_(where) {
    while (word_.exchange(1, std::memory_order_acquire, where_) != 0) spin_hint();
  }
  explored_spin_guard(const explored_spin_guard&) = delete;
  explored_spin_guard& operator=(const explored_spin_guard&) = delete;
  // An exchange, so that one whose order is taken away still hands on what others have handed on.
  ~explored_spin_guard() { word_.exchange(0, std::memory_order_release, where_); }

private:
  atomic<std::uint8_t>& word_;
  const std::source_location where_;
};

}  // namespace levity::detail

#endif
