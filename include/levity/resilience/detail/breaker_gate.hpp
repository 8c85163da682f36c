#pragma once

// breaker_gate: what a call meets of a breaker while all is well, where the compiler of the caller sees it: one load to go through,
// one to come back with a success that changes nothing. All else is behind it, in the machine whose base this is. What the word
// means, and why it is relaxed: src/resilience/breaker_word.hpp.

#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/resilience/breaker_state.hpp"

namespace levity::inline v0::detail {

/// What a breaker wants back with the verdict: when, in its own count, it let the call through.
struct breaker_pass {
  std::uint64_t bucket = 0;
  std::uint32_t generation = 0;
};

class breaker_gate {
public:
  static constexpr unsigned state_bits = 3;
  static constexpr unsigned generation_bits = 16;

  breaker_gate(const breaker_gate&) = delete;
  breaker_gate& operator=(const breaker_gate&) = delete;

  /// Whether it is closed; then `pass` is that of the call.
  [[nodiscard]] bool is_closed(breaker_pass& pass) const noexcept {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    pass.generation = static_cast<std::uint32_t>(word >> state_bits & ((1U << generation_bits) - 1));
    return (word & ((1U << state_bits) - 1)) == static_cast<std::uint64_t>(breaker_state::closed);
  }
  /// Whether a success of that call changes nothing, as nothing has failed lately.
  [[nodiscard]] bool is_calm(breaker_pass pass) const noexcept {
    return word_.load(std::memory_order_relaxed) == (calm_ | std::uint64_t{pass.generation} << state_bits);
  }

protected:
  /// For a machine that keeps no word: each call goes to it.
  breaker_gate() noexcept : word_(nobodys) {}
  explicit breaker_gate(std::uint64_t word) noexcept : word_(word) {}
  ~breaker_gate() = default;

  // Read by every call; written when something has failed lately.
  alignas(cache_line_bytes) atomic<std::uint64_t> word_;
  // A constant beside it: the word of generation 0 that a success leaves as it is.
  std::uint64_t calm_ = 0;

private:
  static constexpr std::uint64_t nobodys = ~std::uint64_t{0};
};

}  // namespace levity::detail
