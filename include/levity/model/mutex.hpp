#pragma once

// Mutexes and condition variables of code that is to be explored (levity/model/explore.hpp).

#include "levity/base/explored_condition.hpp"
#include "levity/base/explored_mutex.hpp"

namespace levity::inline v0::model {

/// std::mutex that an exploration watches; outside of one it is the std::mutex that it contains. Locked by the guards below, whose
/// place is that of the lock in what an exploration tells.
using mutex = levity::detail::explored_mutex;
/// std::lock_guard of one.
using guard = levity::detail::explored_guard;
/// std::unique_lock of one, with lock() and unlock().
using unique_guard = levity::detail::explored_unique_guard;
/// std::condition_variable beside one. In an exploration a wait may end for no reason, once in a row, and by time only where
/// options::timeouts says so.
using condition = levity::detail::explored_condition;

}  // namespace levity::model
