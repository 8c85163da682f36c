#pragma once

namespace levity::inline v0::detail {

/// Does nothing, but brings the counting (base/held_locks.hpp) into a program that links levity as an archive. In builds with
/// LEVITY_CHECK_LOCKS.
void count_locks() noexcept;

}  // namespace levity::detail
