#pragma once

// address_text: an address as a user writes it, read where something is bound or connected. What it is not is told with the text
// itself, for it may come from a file that nobody has at hand.

#include <string_view>

#include "levity/base/address.hpp"
#include "levity/base/error.hpp"
#include "levity/base/unix_address.hpp"

namespace levity::inline v0::detail {

/// As address::parse(); else io_failure::invalid, while `doing`, "reading the address to listen on".
io_result<address> read_address(std::string_view text, const char* doing) noexcept;
/// As unix_address::parse(); else the same.
io_result<unix_address> read_unix_address(std::string_view text) noexcept;

}  // namespace levity::detail
