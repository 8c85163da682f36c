#include "levity/base/spin_lock.hpp"

#include <sched.h>

namespace levity::inline v0::detail {

void spin_lock::lock_slowly() noexcept {
  constexpr int spins_before_yield = 100;
  for (int spins = 0;; spins++) {
    if (try_lock()) return;
    if (spins < spins_before_yield) {
      spin_hint();
    } else {
      ::sched_yield();
    }
  }
}

}  // namespace levity::detail
