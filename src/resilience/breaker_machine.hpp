#pragma once

// breaker_machine: what is behind a breaker. One kind judges by a word (judging_machine), the other does what gobreaker does.
//
// All of it is called by any thread at any time. What a change of state is told to is called by whoever made the change, after it,
// and never under a lock.

#include <cstdint>
#include <expected>
#include <utility>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/base/clock.hpp"
#include "levity/resilience/breaker.hpp"

namespace levity::inline v0::detail {

class breaker_machine : public breaker_gate {
public:
  explicit breaker_machine(breaker_settings settings) : settings_(std::move(settings)) {}
  /// One whose state is a breaker_word.
  breaker_machine(breaker_settings settings, std::uint64_t word) : breaker_gate(word), settings_(std::move(settings)) {}
  breaker_machine(const breaker_machine&) = delete;
  breaker_machine& operator=(const breaker_machine&) = delete;
  virtual ~breaker_machine() = default;

  /// Where the gate was not seen closed.
  virtual std::expected<breaker_pass, rejection> admit(time_point now) noexcept = 0;
  /// Where it was not seen calm.
  virtual void record(breaker_pass pass, verdict said, duration took, time_point now) noexcept = 0;
  /// The call was neutral; nobody says at what time.
  virtual void give_back(breaker_pass pass) noexcept = 0;
  virtual breaker_state state(time_point now) noexcept = 0;
  /// To one of the forced states, or from one of them to closed.
  virtual void force(breaker_state to, time_point now) noexcept = 0;
  /// All but the counters.
  virtual void show(breaker_look& into) const noexcept = 0;

  [[nodiscard]] const breaker_settings& settings() const noexcept { return settings_; }

  void count_refused() noexcept { refused_.fetch_add(1, std::memory_order_relaxed); }
  void count_would_have_refused() noexcept { would_have_refused_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] breaker_look look() const noexcept;

protected:
  void count_stale(verdict said) noexcept {
    if (said != verdict::neutral) stale_results_.fetch_add(1, std::memory_order_relaxed);
  }
  /// Counts a change that is the `generation`th, of which the lower 16 bits are known, and tells it.
  void tell(breaker_transition told, std::uint32_t generation) noexcept;

private:
  const breaker_settings settings_;
  // Written where something is wrong, and so apart from what every call reads.
  alignas(cache_line_bytes) atomic<std::uint64_t> refused_{0};
  atomic<std::uint64_t> would_have_refused_{0};
  atomic<std::uint64_t> stale_results_{0};
  atomic<std::uint64_t> transitions_{0};
};

}  // namespace levity::detail
