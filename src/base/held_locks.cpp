#include "base/held_locks.hpp"

#if defined(LEVITY_CHECK_LOCKS)

namespace levity::inline v0::detail {

constinit thread_local int held_locks [[gnu::tls_model("initial-exec")]] = 0;

}  // namespace levity::detail

#endif
