#pragma once

// spin_guard: holds a spin_lock as long as it lives. A name for std::lock_guard<spin_lock>, but where a build explores: there it is
// the place of the lock, so that the edge that a section of its own relies on can be taken away at that section alone.

#include "levity/base/spin_lock.hpp"

#ifndef LEVITY_MODEL
#include <mutex>
#endif

namespace levity::inline v0::detail {

#ifdef LEVITY_MODEL
class [[nodiscard]] spin_guard {
public:
  explicit spin_guard(spin_lock& held, std::source_location where = std::source_location::current()) noexcept
      : held_(held), where_(where) {
    held_.lock_at(where_);
  }
  spin_guard(const spin_guard&) = delete;
  spin_guard& operator=(const spin_guard&) = delete;
  ~spin_guard() { held_.unlock_at(where_); }

private:
  spin_lock& held_;
  const std::source_location where_;
};
#else
using spin_guard = std::lock_guard<spin_lock>;
#endif

}  // namespace levity::detail
