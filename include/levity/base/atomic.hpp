#pragma once

// The only door to atomics and fences. Everything in levity that two threads touch goes through these names, so that
// one build, LEVITY_MODEL, can put an exploring implementation behind them.

#include <atomic>
#include <cstdint>

#ifdef LEVITY_MODEL
#include "levity/base/explored_atomic.hpp"
#endif

namespace levity::inline v0 {

/// std::atomic under the name by which every shared word of levity is declared. An alias: any thread, orders as written out.
template <class T>
#ifdef LEVITY_MODEL
using atomic = detail::explored_atomic<T>;
#else
using atomic = std::atomic<T>;
#endif

/// Defined when the build is one for ThreadSanitizer, whichever compiler makes it.
#if defined(__SANITIZE_THREAD__)
#define LEVITY_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) && !defined(LEVITY_MODEL)
#define LEVITY_TSAN 1
#endif
#endif

/// Defined when the build is instrumented by AddressSanitizer, whichever compiler does it.
#if defined(__SANITIZE_ADDRESS__)
#define LEVITY_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEVITY_ASAN 1
#endif
#endif

/// Adds to a word that no other thread writes, though others may read it. One plain instruction where the machine has one: for
/// an atomic load and store compilers make three.
inline void add_owned(atomic<std::uint32_t>& word, std::uint32_t delta) noexcept {
#if defined(__x86_64__) && !defined(LEVITY_TSAN) && !defined(LEVITY_ASAN) && !defined(LEVITY_MODEL)
  asm("{addl %1, %0|add %0, %1}" : "+m"(word) : "ri"(delta) : "cc");
#else
  word.store(word.load(std::memory_order_relaxed) + delta, std::memory_order_relaxed);
#endif
}

#ifdef LEVITY_MODEL

inline void full_fence(std::source_location where = std::source_location::current()) noexcept {
  detail::explored_fence(std::memory_order_seq_cst, where);
}

inline void compiler_fence(std::source_location where = std::source_location::current()) noexcept {
  if (detail::this_explorer != nullptr) return detail::this_explorer->compiler_fence(where);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

inline void spin_hint() noexcept {
  if (detail::this_explorer != nullptr) detail::this_explorer->spins();
}

#else

/// A sequentially consistent fence. The caller cites the edge it stands for.
/// Under ThreadSanitizer, which does not know fences, a read-modify-write of one shared word stands in for it.
inline void full_fence() noexcept {
#ifdef LEVITY_TSAN
  static std::atomic<int> stand_in{0};
  stand_in.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// Keeps the compiler from moving loads and stores across; the processor may. One half of a pair whose other half is a barrier that
/// interrupts this thread.
inline void compiler_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

/// Tells the processor that this thread spins.
inline void spin_hint() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

#endif

/// Gives the processor to another thread, if one is ready to run.
void give_way() noexcept;

}  // namespace levity
