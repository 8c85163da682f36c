#pragma once

// Pooled buffers for bytes that came from the world. 16 KiB each; a connection holds one only while it looks at what it read.
// A few stay with each worker thread, the rest with the frame pool, whose figures include them.

#include <cstddef>

namespace levity::inline v0::detail {

inline constexpr std::size_t buffer_bytes = 16 * 1024;

/// A buffer of buffer_bytes; throws std::bad_alloc. Any thread. Contents unspecified.
[[nodiscard]] std::byte* take_buffer();
/// Any thread. In debug builds its contents are overwritten, so that a view that is kept too long is noticed.
void give_buffer(std::byte* buffer) noexcept;
/// From here on this thread keeps a few buffers that it was given; flush_buffers() gives them all back and ends that.
void keep_buffers() noexcept;
void flush_buffers() noexcept;

}  // namespace levity::detail
