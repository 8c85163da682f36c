#pragma once

// Futexes of this process. The word must be the representation of a 4-byte atomic.

#include <cstdint>

namespace levity::inline v0::detail {

/// Sleeps while *word == expected. Returns on a wake-up, on a signal, or at once when the word differs.
void futex_wait(const std::uint32_t* word, std::uint32_t expected) noexcept;
/// The same for at most `timeout_ns`.
void futex_wait_for(const std::uint32_t* word, std::uint32_t expected, std::int64_t timeout_ns) noexcept;
void futex_wake_one(const std::uint32_t* word) noexcept;
void futex_wake_all(const std::uint32_t* word) noexcept;

}  // namespace levity::detail
