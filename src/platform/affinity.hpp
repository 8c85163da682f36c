#pragma once

// affinity: a worker's thread is kept near the memory of its slot.
//
// A new thread has the affinity of who starts it. Those that levity starts for something else (spares, the watchdog, the
// threads of blocking calls and of rings) shall not inherit what was meant for one slot, whichever worker happened to start them.
// So a thread that is narrowed remembers what it had before, and start_thread() gives that to the threads it starts there.
// Threads that a program starts itself inside a task inherit the narrow one.

#include <memory>

#include "platform/cpu_set.hpp"

namespace levity::inline v0::detail {

/// Lets the calling thread run on `cpus` alone, until it is narrowed to others or widened. False, and nothing has changed, if the
/// kernel refuses: none of them is allowed to this process any more.
bool narrow_affinity(const cpu_set& cpus);
/// Gives the calling thread back what it had before it was narrowed first.
void widen_affinity() noexcept;
/// What the calling thread had before it was narrowed; null if it is not.
std::shared_ptr<const cpu_set> wide_affinity() noexcept;

}  // namespace levity::detail
