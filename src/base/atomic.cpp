#include "levity/base/atomic.hpp"

#include <sched.h>

namespace levity::inline v0 {

void give_way() noexcept {
#ifdef LEVITY_MODEL
  if (detail::this_explorer != nullptr) return detail::this_explorer->spins();
#endif
  ::sched_yield();
}

}  // namespace levity
