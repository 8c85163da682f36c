#pragma once

#include <pthread.h>

#include <system_error>
#include <utility>

#include "base/system_thread.hpp"
#include "platform/affinity.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

/// A thread that runs `work`, with the affinity that the calling one had before it was narrowed. Who looks at the process from
/// outside (top -H, /proc/PID/task/ID/comm) sees its `name`, of 15 characters at most. Throws std::system_error when the kernel, or
/// a plan of faults, refuses one.
template <class F>
[[nodiscard]] system_thread start_thread(const char* name, F work) {
#ifdef LEVITY_MODEL
  if (this_explorer != nullptr) {
    explored_calls* const by = explored_calls::here();
    if (const std::exception_ptr why = by != nullptr ? by->refuses_thread() : nullptr) std::rethrow_exception(why);
    return system_thread(std::move(work));  // it has no name, and no processors
  }
#endif
  if (kernel::strikes(kernel::call::thread)) throw std::system_error(errno, std::generic_category(), "starting a thread");
  return system_thread([name, work = std::move(work), wide = wide_affinity()]() mutable {
    pthread_setname_np(pthread_self(), name);
    if (wide != nullptr) static_cast<void>(wide->apply_to_this_thread());
    work();
  });
}

}  // namespace levity::detail
