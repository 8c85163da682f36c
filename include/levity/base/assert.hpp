#pragma once

// Three weights of assertion: LEVITY_ASSERT (every build, our own mistakes), LEVITY_DEBUG_ASSERT (debug builds),
// check_invariants() functions (equations; called by tests). Never assert what a peer, a kernel or a disk can do.

namespace levity::inline v0::detail {

/// Prints `file:line: condition: message` to standard error and aborts. Allocates nothing.
[[noreturn]] void assertion_failed(const char* condition, const char* message, const char* file, int line) noexcept;

}  // namespace levity::detail

/// Aborts with place, condition and `message` (a literal) on standard error unless `condition` holds. In every build; about the
/// cost of the comparison. For beliefs of a program about itself, never for what a peer, a kernel or a disk can do.
#define LEVITY_ASSERT(condition, message)                                                       \
  (__builtin_expect(static_cast<bool>(condition), 1)                                            \
       ? static_cast<void>(0)                                                                   \
       : ::levity::detail::assertion_failed(#condition, message, __FILE__, __LINE__))

/// The same where it costs: evaluated in debug builds only (LEVITY_DEBUG, or without optimisation), else the condition is not
/// even evaluated.
#if defined(LEVITY_DEBUG) || !defined(__OPTIMIZE__)
#define LEVITY_DEBUG_ASSERT(condition, message) LEVITY_ASSERT(condition, message)
#else
#define LEVITY_DEBUG_ASSERT(condition, message) static_cast<void>(0)
#endif
