#pragma once

// gobreaker_machine: the breaker that does what github.com/sony/gobreaker/v2, v2.4.0, does with the same settings.
//
// All of it under one lock, as there, but for two things: a refusal while it is open reads one word, and whoever is told of a
// change, or asked whether it is to open, is so after the lock. Asked about counts that another thread has moved on from meanwhile,
// it opens only if no state has changed since: as if the two had come in the other order.
//
//   state        moved by                                                                    to
//   closed       a failure, if `trips` says so of the counts with it                         open, until now + timeout
//   closed       whoever comes later than the interval                                       closed, a new generation
//   open         whoever comes later than `until`; at that very moment it is open still      half_open
//   half_open    as many successes in a row as requests_max                                  closed
//                a failure                                                                   open
//
// The first interval begins with the first who comes: that one says what time it is.

#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/base/spin_lock.hpp"
#include "resilience/breaker_machine.hpp"
#include "resilience/rolling_counts.hpp"

namespace levity::inline v0::detail {

class gobreaker_machine final : public breaker_machine {
public:
  explicit gobreaker_machine(breaker_settings settings);

  std::expected<breaker_pass, rejection> admit(time_point now) noexcept override;
  void record(breaker_pass pass, verdict said, duration took, time_point now) noexcept override;
  void give_back(breaker_pass pass) noexcept override;
  breaker_state state(time_point now) noexcept override;
  void force(breaker_state to, time_point now) noexcept override;
  void show(breaker_look& into) const noexcept override;

private:
  /// A change that was made under the lock and is told after it; at most one a call.
  struct change {
    bool made = false;
    breaker_transition told{};
    std::uint32_t number = 0;
  };

  // Under the lock.
  void begin_if_first(time_point now) noexcept;
  void catch_up(time_point now, change& made) noexcept;
  void set(breaker_state to, transition_cause cause, const breaker_window& window, time_point now, change& made) noexcept;
  void begin_generation(time_point now) noexcept;
  [[nodiscard]] std::uint64_t calls_that_count() const noexcept;

  void tell_if_made(const change& made) noexcept {
    if (made.made) tell(made.told, made.number);
  }

  // Constants.
  std::uint32_t requests_max_;
  duration interval_;
  duration bucket_period_;
  duration timeout_;

  // While it is open, until when: whoever comes by then is refused without the lock. Else before any time there is.
  alignas(cache_line_bytes) atomic<std::int64_t> refuses_until_ns_;

  mutable spin_lock lock_;  // of all below
  breaker_state state_ = breaker_state::closed;
  bool has_begun_ = false;
  bool expires_ = false;
  std::uint32_t generation_ = 0;
  std::uint32_t changes_ = 0;
  time_point began_{};  // this generation
  time_point expires_at_{};
  rolling_counts counts_;
};

}  // namespace levity::detail
