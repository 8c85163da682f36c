#pragma once

#include <cstdint>
#include <string_view>

#include "levity/base/clock.hpp"

namespace levity::inline v0 {

/// What a call says of itself where not all of them can be served.
struct call_class {
  /// How many priorities there are. 0 is the most important.
  static constexpr unsigned priorities = 6;
  /// How many cohorts there are.
  static constexpr unsigned cohorts = 128;

  /// 0 to 5; what is greater counts as 5. A lower number is served first, and shed last.
  std::uint8_t priority = 3;
  /// 0 to 127; what is greater counts as 127. Under overload, within one priority, lower cohorts are served first: so the same
  /// users get all of their calls through, rather than all users some of theirs. cohort_of() spreads users over them.
  std::uint8_t cohort = 0;
  /// When the answer is worth nothing any more; time_point::max(): never.
  time_point deadline = time_point::max();
};

/// The cohort of a user, tenant or session, by its number. Another `epoch`, the hour for one, shuffles them anew, so that nobody is
/// always the last.
[[nodiscard]] std::uint8_t cohort_of(std::uint64_t user, std::uint64_t epoch = 0) noexcept;
/// The same by name.
[[nodiscard]] std::uint8_t cohort_of(std::string_view user, std::uint64_t epoch = 0) noexcept;

}  // namespace levity
