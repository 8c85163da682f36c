#pragma once

#include <string_view>

namespace levity::inline v0::detail {

/// The two texts in a row, for as long as the process lives; the same pointer for the same text. For what an io_error was about:
/// an address, a path. Only the first hundred or so different ones are kept: for others, and without memory, `otherwise`. Any
/// thread.
const char* lasting_text(std::string_view what, std::string_view which, const char* otherwise) noexcept;

}  // namespace levity::detail
