#pragma once

#include <cstdint>

namespace levity::inline v0 {

/// Tasks of the current runtime that have not ended; 0 outside a task. Racy by nature. O(open scopes).
std::uint64_t live_tasks() noexcept;

}  // namespace levity
