#pragma once

// spin_guard: holds a spin_lock as long as it lives. A name for std::lock_guard<spin_lock>, but where a build explores: there it is
// the place of the lock, so that the edge that a section of its own relies on can be taken away at that section alone.

#ifdef LEVITY_MODEL
#include "base/explored_spin_guard.hpp"
#else
#include <mutex>

#include "levity/base/spin_lock.hpp"
#endif

namespace levity::inline v0::detail {

#ifdef LEVITY_MODEL
using spin_guard = explored_spin_guard;
#else
using spin_guard = std::lock_guard<spin_lock>;
#endif

}  // namespace levity::detail
