#include "platform/lock_counting.hpp"

// Counts the locks that each thread holds, by standing between the program and the C library: what is called pthread_mutex_lock
// here is what the program calls, and it calls what the next library in order has under that name. Only in builds with
// LEVITY_CHECK_LOCKS; in others this file is empty.
//
// A lock costs one counter more. Nothing is allocated, nothing is locked: the name is looked up at the first call, by every
// thread that comes before it is known, with the same outcome. pthread_cond_wait lets go and takes again inside the C library,
// which is not counted, and evens out.

#if defined(LEVITY_CHECK_LOCKS)

#include <dlfcn.h>
#include <pthread.h>

#include <cerrno>
#include <ctime>

#include "base/held_locks.hpp"
#include "levity/base/assert.hpp"
#include "levity/base/atomic.hpp"

namespace {

namespace detail = levity::detail;

// The function called `name` behind this one. Relaxed: code that was there before the program began.
template <class Function>
Function* next(levity::atomic<Function*>& known, const char* name) noexcept {
  Function* found = known.load(std::memory_order_relaxed);
  if (found != nullptr) [[likely]] return found;
  found = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
  LEVITY_ASSERT(found != nullptr, "the C library has the locks that it declares");
  known.store(found, std::memory_order_relaxed);
  return found;
}

int taken(int result) noexcept {
  if (result == 0 || result == EOWNERDEAD) detail::held_locks++;
  return result;
}

int given(int result) noexcept {
  if (result == 0) detail::held_locks--;
  return result;
}

}  // namespace

#define LEVITY_COUNTED(name, counts, parameters, arguments)                  \
  extern "C" int name parameters noexcept {                                  \
    using function = int parameters;                                         \
    static constinit levity::atomic<function*> known{nullptr};               \
    return counts(next<function>(known, #name) arguments);                   \
  }

LEVITY_COUNTED(pthread_mutex_lock, taken, (pthread_mutex_t * lock), (lock))
LEVITY_COUNTED(pthread_mutex_trylock, taken, (pthread_mutex_t * lock), (lock))
LEVITY_COUNTED(pthread_mutex_timedlock, taken, (pthread_mutex_t * lock, const timespec* until), (lock, until))
LEVITY_COUNTED(pthread_mutex_clocklock, taken, (pthread_mutex_t * lock, clockid_t by, const timespec* until), (lock, by, until))
LEVITY_COUNTED(pthread_mutex_unlock, given, (pthread_mutex_t * lock), (lock))
LEVITY_COUNTED(pthread_rwlock_rdlock, taken, (pthread_rwlock_t * lock), (lock))
LEVITY_COUNTED(pthread_rwlock_wrlock, taken, (pthread_rwlock_t * lock), (lock))
LEVITY_COUNTED(pthread_rwlock_tryrdlock, taken, (pthread_rwlock_t * lock), (lock))
LEVITY_COUNTED(pthread_rwlock_trywrlock, taken, (pthread_rwlock_t * lock), (lock))
LEVITY_COUNTED(pthread_rwlock_timedrdlock, taken, (pthread_rwlock_t * lock, const timespec* until), (lock, until))
LEVITY_COUNTED(pthread_rwlock_timedwrlock, taken, (pthread_rwlock_t * lock, const timespec* until), (lock, until))
LEVITY_COUNTED(pthread_rwlock_clockrdlock, taken, (pthread_rwlock_t * lock, clockid_t by, const timespec* until), (lock, by, until))
LEVITY_COUNTED(pthread_rwlock_clockwrlock, taken, (pthread_rwlock_t * lock, clockid_t by, const timespec* until), (lock, by, until))
LEVITY_COUNTED(pthread_rwlock_unlock, given, (pthread_rwlock_t * lock), (lock))

namespace levity::inline v0::detail {
void count_locks() noexcept {}
}  // namespace levity::detail

#endif
