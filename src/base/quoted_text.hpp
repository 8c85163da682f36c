#pragma once

#include <string>
#include <string_view>

namespace levity::inline v0::detail {

/// What a user has given us, for a message of one line: in quotes, what cannot be printed as "?", and no more of it than a line
/// holds.
std::string quoted_text(std::string_view text);

}  // namespace levity::detail
