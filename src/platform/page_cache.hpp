#pragma once

#include <cstdint>

namespace levity::inline v0::detail {

/// Whether this part of a file lies in the page cache now, so that reading it does not wait for a disk. False also where the
/// kernel will not say (before Linux 6.5, a file that is not ours). One system call; a hint: pages may go a moment later.
[[nodiscard]] bool is_cached(int fd, std::uint64_t offset, std::uint64_t size) noexcept;

}  // namespace levity::detail
