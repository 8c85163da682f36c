#pragma once

#ifdef LEVITY_MODEL
#include <source_location>
#endif

namespace levity::inline v0::detail {

/// Once, before the first process_barrier(). False: the kernel has none, or a filter of system calls refuses it.
bool prepare_process_barrier() noexcept;

/// Every thread of this process passes a full fence between this call and its return: who runs is interrupted, who does not has
/// passed one as it was descheduled. Some microseconds. After membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED.
#ifdef LEVITY_MODEL
void process_barrier(std::source_location where = std::source_location::current()) noexcept;
#else
void process_barrier() noexcept;
#endif

}  // namespace levity::detail
