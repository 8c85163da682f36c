#pragma once

// The only door to the system's threads, as system_mutex.hpp is to its mutexes. platform/thread.hpp starts them.

#ifdef LEVITY_MODEL
#include "base/explored_thread.hpp"
#else
#include <thread>
#endif

namespace levity::inline v0::detail {

#ifdef LEVITY_MODEL
using system_thread = explored_thread;
#else
/// A thread of the kernel's, to be joined or left to itself by whoever holds it.
using system_thread = std::thread;
#endif

}  // namespace levity::detail
