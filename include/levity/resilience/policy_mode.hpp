#pragma once

#include <cstdint>

namespace levity::inline v0 {

/// Whether a policy acts or merely counts what it would have done: how one is tried on live traffic before it is trusted.
enum class policy_mode : std::uint8_t {
  enforce,  ///< what it refuses is refused
  observe,  ///< everything is let through; what would have been refused is counted
};

}  // namespace levity
