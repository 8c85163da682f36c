#pragma once

// breaker: keeps calls from a service that does not answer, so that neither side drowns in them.
//
//   lv::breaker payments(lv::breaker_settings::article());
//
//   auto permit = payments.try_admit(lv::clock::now());
//   if (!permit) co_return answer_without_it(permit.error());       // 20 ns, no exception, says when to ask again
//   auto result = co_await charge(order);
//   permit->record(lv::verdict_of(result), lv::clock::now());       // from <levity/resilience/verdict_of.hpp>
//
//   state        moved by                                                                     to
//   closed       a verdict with which the rule of its settings is met                         open
//   open         the first call after its time is over, which becomes a probe                 half_open
//   half_open    the last success that was wanted                                             closed
//                a failure; a probe without an answer for too long (settings)                 open
//   forced_*     automatic()                                                                  closed, nothing counted
//   any          force_open(), force_closed()                                                 forced_open, forced_closed
//
// Each change begins a generation. A permit belongs to the generation that gave it, and its verdict counts in no other: what was
// asked before the breaker opened does not close it, and what was counted before it opened does not open it again. How often it has
// opened is remembered until it was closed for as long as it had been open last: a service that answers probes, and no more than
// those, is left alone for longer each time.
//
// How it is made, and what was rejected: src/resilience/breaker_word.hpp and docs/design/0027.

#include <cstdint>
#include <expected>
#include <utility>

#include "levity/base/clock.hpp"
#include "levity/base/owner.hpp"
#include "levity/resilience/admission.hpp"
#include "levity/resilience/breaker_look.hpp"
#include "levity/resilience/breaker_settings.hpp"
#include "levity/resilience/breaker_state.hpp"
#include "levity/resilience/detail/breaker_gate.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/resilience/verdict.hpp"

namespace levity::inline v0 {
namespace detail {

class breaker_machine;

}  // namespace detail

/// A circuit breaker. Any thread may call anything at any time; nothing blocks, waits, or allocates but the constructor. One that
/// was moved from may be destroyed or assigned to. It outlives its permits.
class breaker {
public:
  class permit;

  /// Closed, with nothing counted. The settings must make sense: breaker_settings::problem().
  explicit breaker(breaker_settings settings = breaker_settings::article());
  breaker(breaker&& other) noexcept;
  breaker& operator=(breaker&& other) noexcept;
  ~breaker();

  /// The right to one call, or why not: breaker_open, with the time that is left, or probe_under_way. Closed, a few nanoseconds
  /// without a write to shared memory; open, one counter. The first that asks when an open one's time is over gets a probe.
  [[nodiscard]] std::expected<permit, rejection> try_admit(time_point now) noexcept;

  /// The state at `now`. Makes the changes that time alone makes, which otherwise wait for the next call: one whose open time is
  /// over is half open. For a gauge that is to be right without traffic.
  breaker_state state(time_point now) noexcept;
  /// What it shows of itself; changes nothing.
  [[nodiscard]] breaker_look look() const noexcept;
  /// As its settings say; for as long as the breaker lives.
  [[nodiscard]] const std::string& name() const noexcept;

  /// An operator's word: nothing goes through from here on, whatever the calls come to.
  void force_open(time_point now) noexcept;
  /// An operator's word: everything goes through from here on, whatever the calls come to.
  void force_closed(time_point now) noexcept;
  /// Takes back an operator's word: it is closed, with nothing counted. Nothing, where none was given.
  void automatic(time_point now) noexcept;

private:
  std::expected<permit, rejection> admit_slowly(time_point now) noexcept;

  detail::owner<detail::breaker_machine> machine_;
  detail::breaker_gate* gate_;  // the machine's
};

/// The right to one call through a breaker. Told once what became of the call; dropped untold, it was neutral: a probe's place is
/// free again at once. Moved, never copied; one thread at a time. Gone before its breaker.
class [[nodiscard]] breaker::permit {
public:
  permit(permit&& other) noexcept
      : gate_(std::exchange(other.gate_, nullptr)), admitted_at_(other.admitted_at_), pass_(other.pass_) {}
  permit& operator=(permit&& other) noexcept {
    if (this == &other) return *this;
    if (gate_ != nullptr) give_back();
    gate_ = std::exchange(other.gate_, nullptr);
    admitted_at_ = other.admitted_at_;
    pass_ = other.pass_;
    return *this;
  }
  ~permit() {
    if (gate_ != nullptr) give_back();
  }

  /// What became of the call. The first time counts; if the breaker's state has changed since the call began, it is counted as
  /// stale and changes nothing. May make the change that this verdict brings about, and tell on_transition.
  void record(verdict said, time_point now) noexcept {
    if (gate_ == nullptr) return;
    if (said == verdict::success && gate_->is_calm(pass_)) [[likely]] {
      gate_ = nullptr;
    } else {
      record_slowly(said, now);
    }
  }

private:
  friend class breaker;
  permit(detail::breaker_gate* gate, detail::breaker_pass pass, time_point now) noexcept
      : gate_(gate), admitted_at_(now), pass_(pass) {}

  void record_slowly(verdict said, time_point now) noexcept;
  void give_back() noexcept;

  detail::breaker_gate* gate_;  // null: told, moved from, or let through only because the breaker observes
  time_point admitted_at_;
  detail::breaker_pass pass_;
};

inline std::expected<breaker::permit, rejection> breaker::try_admit(time_point now) noexcept {
  if (detail::breaker_pass pass; gate_->is_closed(pass)) [[likely]] return permit(gate_, pass, now);
  return admit_slowly(now);
}

static_assert(admission_policy<breaker>);

}  // namespace levity
