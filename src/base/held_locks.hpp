#pragma once

namespace levity::inline v0::detail {

/// Locks of the system (pthread_mutex, pthread_rwlock; so std::mutex) that this thread holds, as platform/lock_counting.cpp counts
/// them, in builds with LEVITY_CHECK_LOCKS. Below 0 where somebody let go of what another thread had taken.
extern constinit thread_local int held_locks [[gnu::tls_model("initial-exec")]];

}  // namespace levity::detail
