#pragma once

// What every policy that lets calls through has in common, so that they can be put one behind the other.
//
// A policy is a state machine that is told the time: nobody in this room looks at a clock but the coroutines that wait. A permit
// is the right to one call. Who drops it without a word has said `neutral`, so no way out of a call can leak one.

#include <concepts>
#include <expected>
#include <type_traits>

#include "levity/base/clock.hpp"
#include "levity/resilience/rejection.hpp"
#include "levity/resilience/verdict.hpp"

namespace levity::inline v0 {

/// The right to one call: moved, never copied; told once what became of the call. Dropped untold, it is given back as neutral.
template <class Permit>
concept admission_permit = std::movable<Permit> && !std::copyable<Permit> && std::is_nothrow_move_constructible_v<Permit> &&
                           requires(Permit& permit, verdict said, time_point now) {
                             { permit.record(said, now) } noexcept -> std::same_as<void>;
                           };

/// A permit that paid for its call before it was made, as that of a token bucket did, and takes that back where the call is not
/// made because another policy refused it: `withdraw()`, instead of record().
template <class Permit>
concept withdrawable_permit = admission_permit<Permit> && requires(Permit& permit) {
  { permit.withdraw() } noexcept -> std::same_as<void>;
};

/// A policy that answers at once whether a call may be made. `now` never goes back by more than threads disagree about it.
template <class Policy>
concept admission_policy = requires(Policy& policy, time_point now) {
  { policy.try_admit(now) } noexcept -> std::same_as<std::expected<typename Policy::permit, rejection>>;
} && admission_permit<typename Policy::permit>;

}  // namespace levity
