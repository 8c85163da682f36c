#include "platform/process_barrier.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "levity/base/assert.hpp"

#ifdef LEVITY_MODEL
#include "levity/base/explored_atomic.hpp"
#endif

namespace levity::inline v0::detail {

bool prepare_process_barrier() noexcept {
  static const bool prepared = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
  return prepared;
}

#ifdef LEVITY_MODEL
void process_barrier(std::source_location where) noexcept {
  if (this_explorer != nullptr) return this_explorer->process_barrier(where);
#else
void process_barrier() noexcept {
#endif
  const bool passed = ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
  LEVITY_ASSERT(passed, "a barrier that was prepared is passed");
}

}  // namespace levity::detail
