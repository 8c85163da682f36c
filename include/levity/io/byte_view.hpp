#pragma once

#include <cstddef>
#include <span>

namespace levity::inline v0 {

/// A view of bytes in memory of somebody else: of the stream they came from, or of the caller.
using byte_view = std::span<const std::byte>;

}  // namespace levity
