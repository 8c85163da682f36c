#pragma once

#include <cstdint>

namespace levity::inline v0 {

/// The calls by which a breaker judges, counted at one moment. What a rule does not look at is zero. 64 bits each: a rule of
/// gobreaker without an interval counts as long as all is well, and 32 of them are over after five days of 10,000 calls a second.
struct breaker_window {
  /// Calls in it: whose verdict is known, and in the rule of gobreaker those that are under way, too.
  std::uint64_t calls = 0;
  std::uint64_t successes = 0;  ///< of them
  std::uint64_t failures = 0;   ///< of them
  std::uint64_t neutral = 0;    ///< of them; only the rule of gobreaker counts these
  std::uint64_t slow = 0;       ///< of them, failures that took long among them; only a rate looks at that
  std::uint64_t successes_in_a_row = 0;  ///< up to the last verdict; of rows and of gobreaker
  std::uint64_t failures_in_a_row = 0;   ///< up to the last verdict; of rows and of gobreaker
  /// Of the last `calls`, 32 at most: bit 0 is the newest, and set where that call failed. Only of a rule about the last calls.
  std::uint32_t last = 0;

  friend bool operator==(const breaker_window&, const breaker_window&) noexcept = default;
};

}  // namespace levity
