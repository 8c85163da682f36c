#pragma once

// What a parked task weighs: its record and its frames, of an optimised build without a sanitizer.

#include <levity/levity.hpp>

#include <cstdint>

#include "tests/support/settle.hpp"

namespace levity::test {

#if !defined(__OPTIMIZE__) || defined(LEVITY_ASAN) || defined(LEVITY_TSAN) || defined(LEVITY_DEBUG)
inline constexpr bool weighs_what_users_get = false;
#else
inline constexpr bool weighs_what_users_get = true;
#endif

// The record takes 96 bytes. g++ 12 needs a pointer more in a frame for each await, and another for what it awaits.
#ifdef __clang__
inline constexpr std::uint64_t parked_bytes_max = 192;
#else
inline constexpr std::uint64_t parked_bytes_max = 240;
#endif

/// On a runtime with one worker: what one of a thousand tasks takes that `spawn_into(scope)` spawns, once they are parked.
template <class SpawnInto>
task<std::uint64_t> parked_weight(SpawnInto spawn_into) {
  constexpr std::uint64_t tasks = 1000;
  scope crowd;
  const std::uint64_t before = frame_statistics().bytes_in_use;
  for (std::uint64_t i = 0; i < tasks; i++) spawn_into(crowd);
  co_await settle();
  const std::uint64_t taken = frame_statistics().bytes_in_use - before;
  crowd.cancel();
  co_await crowd.join();
  co_return taken / tasks;
}

}  // namespace levity::test
