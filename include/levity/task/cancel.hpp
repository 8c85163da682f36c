#pragma once

// Cancellation: a reason that is raised from outside a task and answered at its waits.
//
// How it reaches a task: every wait inside a cancelled task ends at once. Waits that have a value for it (I/O, channels)
// return it: io_failure::cancelled, or io_failure::timed_out when the reason is a deadline. Waits that have none (sleep,
// lock, event, yield) throw `cancelled`, which unwinds like any exception and ends the task without counting as failure.

#include <cstdint>
#include <exception>
#include <string_view>

#include "levity/base/error.hpp"

namespace levity::inline v0 {

/// Why a task was told to end. The first reason a task is given stays.
enum class cancel_reason : std::uint8_t {
  none,            ///< it was not
  requested,       ///< somebody called cancel()
  deadline,        ///< a deadline around it passed
  sibling_failed,  ///< another task of its scope failed
  abandoned,       ///< its scope was destroyed without join
  lost_race,       ///< another branch of a race was first
  shutdown,        ///< the runtime ends
};

/// The reason in words. Never null.
std::string_view to_string(cancel_reason reason) noexcept;

/// Thrown by waits that have no value to say "cancelled" with. Catch it only to clean up, then rethrow.
class cancelled : public std::exception {
public:
  /// For waits that are made by hand.
  explicit cancelled(cancel_reason reason) noexcept : reason_(reason) {}
  /// Why the task was told to end.
  [[nodiscard]] cancel_reason reason() const noexcept { return reason_; }
  /// The reason in a sentence; a literal.
  [[nodiscard]] const char* what() const noexcept override;

private:
  cancel_reason reason_;
};

/// What an I/O operation returns for a reason: timed_out for a deadline, cancelled for all others.
constexpr io_error to_io_error(cancel_reason reason, const char* doing = nullptr) noexcept {
  return {reason == cancel_reason::deadline ? io_failure::timed_out : io_failure::cancelled, 0, doing};
}

}  // namespace levity
