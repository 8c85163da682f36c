#pragma once

#include <cstdint>
#include <string_view>

namespace levity::inline v0 {

/// Why a call is not made again.
enum class retry_stop : std::uint8_t {
  final,             ///< another attempt would come to the same
  repetitions_used,  ///< as many as the policy allows were made
  past_deadline,     ///< it would begin when nobody waits for it any more
  asked_to_wait,     ///< the other side asked to be left alone for longer than the policy follows
  budget_spent,      ///< too large a part of all calls are repetitions
  not_repeatable,    ///< nobody said that it may be, or nothing repeats
  refused,           ///< a policy did not let it through
  cancelled,         ///< its task was told to end, or a deadline further out passed
};

/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(retry_stop why) noexcept;

}  // namespace levity
