#pragma once

// judging_machine: the breaker that judges by the last calls, by rows or by a rate. State, and all that is needed to leave it, is
// in one breaker_word; see there. What does not fit into it, the calls of a rate and more than 32 of the last, is counted under a
// lock, in a window that knows of which generation it is: whoever comes first with a newer one clears it.

#include <array>
#include <cstdint>
#include <variant>

#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/base/spin_lock.hpp"
#include "resilience/breaker_machine.hpp"
#include "resilience/breaker_word.hpp"
#include "resilience/call_ring.hpp"
#include "resilience/rate_window.hpp"

namespace levity::inline v0::detail {

class judging_machine final : public breaker_machine {
public:
  explicit judging_machine(breaker_settings settings);

  std::expected<breaker_pass, rejection> admit(time_point now) noexcept override;
  void record(breaker_pass pass, verdict said, duration took, time_point now) noexcept override;
  void give_back(breaker_pass pass) noexcept override;
  breaker_state state(time_point now) noexcept override;
  void force(breaker_state to, time_point now) noexcept override;
  void show(breaker_look& into) const noexcept override;

private:
  enum class kind : std::uint8_t { last, row, elsewhere };

  [[nodiscard]] bool record_closed(breaker_word& seen, bool failed, time_point now) noexcept;
  [[nodiscard]] bool record_probe(breaker_word& seen, verdict said, time_point now) noexcept;
  void record_elsewhere(breaker_pass pass, bool failed, bool slow, time_point now) noexcept;
  /// From `seen` to `next`, and tells it; if it is not `seen` any longer, says what it is.
  [[nodiscard]] bool change(breaker_word& seen, breaker_word next, breaker_transition told) noexcept;
  [[nodiscard]] bool open(breaker_word& seen, unsigned openings, breaker_transition told) noexcept;
  [[nodiscard]] bool close(breaker_word& seen, breaker_transition told) noexcept;
  [[nodiscard]] unsigned openings_after(breaker_word seen, time_point now) const noexcept;
  [[nodiscard]] bool fall_back(breaker_word& seen, time_point now) noexcept;
  [[nodiscard]] duration span_of(unsigned openings) const noexcept;
  [[nodiscard]] duration open_time(unsigned openings, std::uint32_t generation, time_point now) const noexcept;
  [[nodiscard]] breaker_window window_of(breaker_word seen) const noexcept;

  // When it closed last, and after how many openings; of a generation, so whoever finds another one's knows of none. Written by who
  // closes it, before; read by who opens it. Relaxed: who sees it too late opens it for open_min.
  //   bits 0..15 generation   16..19 openings   20..63 moment, in units of 2^20 ns
  alignas(cache_line_bytes) atomic<std::uint64_t> closed_{0};
  // Constants.
  kind kind_ = kind::last;
  std::uint8_t calls_max_ = 0;                                        // last: in the word
  std::array<std::uint8_t, breaker_word::calls_max + 1> opens_at_{};  // last: with so many calls, at so many failures
  std::uint32_t row_ = 0;                                             // row: opens at so many
  bool heeds_slow_ = false;
  duration slow_from_{};

  mutable spin_lock lock_;  // of the two below
  std::uint16_t window_generation_ = 0;
  std::variant<std::monostate, call_ring, rate_window> window_;
};

}  // namespace levity::detail
