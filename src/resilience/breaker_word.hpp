#pragma once

// breaker_word: all that decides about a call through a breaker, in 64 bits.
//
// Why: a breaker stands in the way of each call of a service, and nearly all of its answers are "go". So the answer is one load. A
// verdict moves the word by one compare-and-exchange, and where it would not change it, as a success does when nothing has failed
// lately, by none: as long as all is well, nobody writes what others read, and a breaker costs on many processors what it
// costs on one.
//
//   bits     0..2    3..18       19..63, by the state
//            state   generation  closed, last calls   calls 0..32 in 6 bits | the calls, 32 bits, the newest lowest, 1 failed
//                                closed, in a row     failures in a row, 32 bits
//                                closed, others       nothing: counted elsewhere, under a lock (judging_machine.cpp)
//                                open                 openings 4 | until 41, in units of 2^20 ns
//                                half_open            openings 4 | under way 6 | succeeded 6 | since 29, in units of 2^24 ns
//                                forced_*             nothing
//
//   generation   one more at each change of state, modulo 2^16. A permit that comes back after exactly 65,536 changes is taken for
//                one of this generation; at an open time of a second that is more than a day later.
//   openings     how often it opened since it was last closed for long, 15 at most: the open time doubles with each
//   until        is counted from the clock's zero and reaches 73 years
//   since        when the newest probe began, or it became half open. Nobody asks for it but where all probes that may be are under
//                way; is counted modulo 104 days, of which the last quarter is "later than now", as threads disagree about it
//
// Everything here is a function from one word to another. Whoever exchanges it is the one who made the change, so it is told once.
//
// Orders: all relaxed. Nothing is published through the word: what a change tells is computed from the two words that it lies
// between. A thread may read a word that another one has moved on from already; then its exchange fails, or, where it exchanges
// nothing, the two came in the other order.
//
// Rejected
//   a lock around the ring       a write to shared memory at each verdict of a service that is well, and waits where threads meet
//   when to try again in a word  of its own: whoever reads both sees an old time beside the new state, and probes at once; the cure
//                                is an edge, or a tag that says to which generation the time belongs
//   since in the units of until  6 days until it comes round again

#include <cstdint>

#include "levity/base/clock.hpp"
#include "levity/resilience/breaker_state.hpp"
#include "levity/resilience/detail/breaker_gate.hpp"

namespace levity::inline v0::detail {

class breaker_word {
public:
  static constexpr unsigned calls_max = 32;
  static constexpr unsigned openings_max = 15;
  static constexpr unsigned probes_max = 63;

  explicit constexpr breaker_word(std::uint64_t bits) noexcept : bits_(bits) {}

  // Of generation `of`, modulo 2^16.
  static constexpr breaker_word closed(std::uint32_t of) noexcept { return make(breaker_state::closed, of, 0); }
  static constexpr breaker_word forced(breaker_state to, std::uint32_t of) noexcept { return make(to, of, 0); }
  static constexpr breaker_word open(std::uint32_t of, unsigned openings, time_point until) noexcept {
    return make(breaker_state::open, of, bounded_openings(openings) | up(until, until_unit_bits) << 4);
  }
  static constexpr breaker_word half_open(std::uint32_t of, unsigned openings, unsigned under_way, unsigned succeeded,
                                          time_point since) noexcept {
    const std::uint64_t moment = since_units(since);
    return make(breaker_state::half_open, of,
                bounded_openings(openings) | std::uint64_t{under_way} << 4 | std::uint64_t{succeeded} << 10 | moment << 16);
  }

  [[nodiscard]] constexpr std::uint64_t bits() const noexcept { return bits_; }
  [[nodiscard]] constexpr breaker_state state() const noexcept { return static_cast<breaker_state>(bits_ & state_mask); }
  [[nodiscard]] constexpr std::uint32_t generation() const noexcept { return bits_ >> state_bits & generation_mask; }
  [[nodiscard]] constexpr std::uint32_t next_generation() const noexcept { return (generation() + 1) & generation_mask; }

  // Closed, last calls.
  [[nodiscard]] constexpr unsigned calls() const noexcept { return payload() & 63; }
  [[nodiscard]] constexpr std::uint32_t last() const noexcept { return static_cast<std::uint32_t>(payload() >> 6); }
  /// With one more call, of which `of` at most are kept.
  [[nodiscard]] constexpr breaker_word with_call(bool failed, unsigned of) const noexcept {
    const unsigned kept = calls() < of ? calls() + 1 : of;
    const std::uint64_t mask = (std::uint64_t{1} << of) - 1;
    return with_payload(kept | (((std::uint64_t{last()} << 1 | (failed ? 1U : 0U)) & mask) << 6));
  }

  /// That of generation 0 with as many calls as are kept, none of which failed.
  static constexpr breaker_word calm(unsigned calls) noexcept { return make(breaker_state::closed, 0, calls); }

  // Closed, in a row.
  [[nodiscard]] constexpr std::uint32_t row() const noexcept { return static_cast<std::uint32_t>(payload()); }
  [[nodiscard]] constexpr breaker_word with_row(std::uint32_t failures) const noexcept { return with_payload(failures); }

  // Open, half open.
  [[nodiscard]] constexpr unsigned openings() const noexcept { return payload() & 15; }

  // Open.
  [[nodiscard]] constexpr time_point until() const noexcept {
    return time_point(duration(static_cast<std::int64_t>(payload() >> 4) << until_unit_bits));
  }

  // Half open.
  [[nodiscard]] constexpr unsigned under_way() const noexcept { return payload() >> 4 & 63; }
  [[nodiscard]] constexpr unsigned succeeded() const noexcept { return payload() >> 10 & 63; }
  [[nodiscard]] constexpr breaker_word with_probes(unsigned under_way, unsigned succeeded) const noexcept {
    return with_payload((payload() >> 16 << 16) | openings() | std::uint64_t{under_way} << 4 | std::uint64_t{succeeded} << 10);
  }
  /// Whether the newest probe began `longest` ago at least; zero: never.
  [[nodiscard]] constexpr bool is_older(duration longest, time_point now) const noexcept {
    if (longest <= duration::zero()) return false;
    const std::uint64_t age = (since_units(now) - (payload() >> 16)) & since_mask;
    return age <= since_mask / 4 * 3 && age > up(time_point(longest), since_unit_bits);
  }

  friend constexpr bool operator==(breaker_word, breaker_word) noexcept = default;

private:
  static constexpr unsigned until_unit_bits = 20;
  static constexpr unsigned since_unit_bits = 24;
  static constexpr unsigned state_bits = breaker_gate::state_bits;
  static constexpr std::uint64_t state_mask = (std::uint64_t{1} << state_bits) - 1;
  static constexpr unsigned payload_at = state_bits + breaker_gate::generation_bits;
  static constexpr std::uint32_t generation_mask = (1U << breaker_gate::generation_bits) - 1;
  static constexpr std::uint64_t until_mask = (std::uint64_t{1} << 41) - 1;
  static constexpr std::uint64_t since_mask = (std::uint64_t{1} << 29) - 1;

  static constexpr breaker_word make(breaker_state state, std::uint32_t generation, std::uint64_t payload) noexcept {
    return breaker_word(static_cast<std::uint64_t>(state) | std::uint64_t{generation & generation_mask} << state_bits |
                        payload << payload_at);
  }
  [[nodiscard]] constexpr std::uint64_t payload() const noexcept { return bits_ >> payload_at; }
  [[nodiscard]] constexpr breaker_word with_payload(std::uint64_t payload) const noexcept {
    return breaker_word((bits_ & ((std::uint64_t{1} << payload_at) - 1)) | payload << payload_at);
  }
  static constexpr std::uint64_t bounded_openings(unsigned openings) noexcept {
    return openings < openings_max ? openings : openings_max;
  }
  static constexpr std::uint64_t since_units(time_point at) noexcept {
    return static_cast<std::uint64_t>(at.time_since_epoch().count() >> since_unit_bits) & since_mask;
  }
  /// Rounded up, and within what has room.
  static constexpr std::uint64_t up(time_point at, unsigned unit_bits) noexcept {
    const std::int64_t ns = at.time_since_epoch().count();
    if (ns <= 0) return 0;
    const std::uint64_t units = (static_cast<std::uint64_t>(ns) + (std::uint64_t{1} << unit_bits) - 1) >> unit_bits;
    return units < until_mask ? units : until_mask;
  }

  std::uint64_t bits_;
};

}  // namespace levity::detail
