#pragma once

// The only door to the system's condition variables, as system_mutex.hpp is to its mutexes.

#include "base/system_mutex.hpp"

#ifdef LEVITY_MODEL
#include "levity/base/explored_condition.hpp"
#else
#include <condition_variable>
#endif

namespace levity::inline v0::detail {

#ifdef LEVITY_MODEL
using system_condition = explored_condition;
#else
/// Where threads wait, beside a system_mutex, for what it guards to change.
using system_condition = std::condition_variable;
#endif

}  // namespace levity::detail
