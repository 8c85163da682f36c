#pragma once

// The only door to the system's mutexes. Inside the rooms of levity std::mutex goes by these names, so that one build,
// LEVITY_MODEL, can put an exploring implementation behind them; in any other build they are that and nothing else.
//
// Guards are named here as well, for the place that an exploration tells of, and can take the order of a lock away at, is the one
// where the guard is made.

#ifdef LEVITY_MODEL
#include "levity/base/explored_mutex.hpp"
#else
#include <mutex>
#endif

namespace levity::inline v0::detail {

#ifdef LEVITY_MODEL
using system_mutex = explored_mutex;
using system_guard = explored_guard;
using system_unique_guard = explored_unique_guard;
#else
/// A lock that sleeps in the kernel: for what may take long, or makes system calls. For a few writes there is spin_lock.
using system_mutex = std::mutex;
/// Holds a system_mutex as long as it lives.
using system_guard = std::lock_guard<std::mutex>;
/// The same, but may let go in between, as for a system_condition.
using system_unique_guard = std::unique_lock<std::mutex>;
#endif

}  // namespace levity::detail
