#pragma once

#include <expected>

#include "levity/base/clock.hpp"
#include "levity/base/error.hpp"
#include "levity/resilience/verdict.hpp"

namespace levity::inline v0 {

/// What an error of the world says about the other side of a call: `neutral` where the cause lies on this side (cancelled, closed
/// here, out of descriptors, asked wrongly), else `failure`. A deadline that passed is a failure: the other side had its time.
[[nodiscard]] verdict verdict_of(const io_error& error) noexcept;

/// What the outcome of a call says about the other side: success with a value, else as its error does.
template <class T>
[[nodiscard]] verdict verdict_of(const std::expected<T, io_error>& outcome) noexcept {
  return outcome ? verdict::success : verdict_of(outcome.error());
}

/// The same for a call that was made for somebody who waits until `callers_deadline`: when that has passed at `now`, a call that
/// was timed out is neutral, for whoever wanted it had no time left to give. A time limit of the call's own, inside the caller's,
/// stays a failure.
template <class T>
[[nodiscard]] verdict verdict_of(const std::expected<T, io_error>& outcome, time_point callers_deadline, time_point now) noexcept {
  if (!outcome && outcome.error() == io_failure::timed_out && now >= callers_deadline) return verdict::neutral;
  return verdict_of(outcome);
}

}  // namespace levity
