#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "levity/base/clock.hpp"

namespace levity::inline v0 {

/// Which belief of which policy kept a call back.
enum class rejection_cause : std::uint8_t {
  breaker_open,       ///< too many of the last calls failed; nothing is sent until some time has passed
  probe_under_way,    ///< the breaker is half open, and others try already whether it may close
  rate_exceeded,      ///< more calls than the rate allows
  bulkhead_full,      ///< as many calls are under way as may be, and as many wait
  limit_reached,      ///< the adaptive limit: more at once would only wait longer
  overloaded,         ///< shed: what waits has waited too long
  too_late,           ///< what is left until the deadline is less than the call takes
};

/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(rejection_cause of) noexcept;

/// Why a policy did not let a call through: a value, 16 bytes, no allocation. An outcome that is expected under load.
struct rejection {
  /// Which policy, and why.
  rejection_cause cause;
  /// How long it makes no sense to ask again, as far as the policy knows; zero: it does not know.
  duration retry_after{};

  /// One sentence: which policy, and what helps. Allocates.
  [[nodiscard]] std::string message() const;

  friend bool operator==(const rejection&, const rejection&) noexcept = default;
};

}  // namespace levity
