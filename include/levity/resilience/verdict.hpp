#pragma once

#include <cstdint>
#include <string_view>

namespace levity::inline v0 {

/// What a call that a policy let through came to, as far as that policy is concerned.
enum class verdict : std::uint8_t {
  success,  ///< the other side did what it is there for
  failure,  ///< it did not: an error, no answer, too late
  neutral,  ///< says nothing about it: the caller gave up, or too soon, it was refused on this side, it asked wrongly
};

/// The enumerator's name, for metrics and logs.
[[nodiscard]] std::string_view to_string(verdict of) noexcept;

}  // namespace levity
