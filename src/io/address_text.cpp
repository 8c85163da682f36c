#include "io/address_text.hpp"

#include <new>
#include <string>

#include "levity/base/lasting_text.hpp"

namespace levity::inline v0::detail {
namespace {

// `parse` says what is wrong in a sentence that quotes the text.
template <class Address>
io_result<Address> read_by(std::expected<Address, std::string> (*parse)(std::string_view), std::string_view text,
                           const char* doing) noexcept {
  try {
    std::expected<Address, std::string> parsed = parse(text);
    if (parsed) return *parsed;
    return std::unexpected(io_error{io_failure::invalid, 0, lasting_text(doing, " (" + parsed.error() + ")", doing)});
  } catch (const std::bad_alloc&) {
    return std::unexpected(io_error{io_failure::no_memory, 0, doing});
  }
}

}  // namespace

io_result<address> read_address(std::string_view text, const char* doing) noexcept { return read_by(&address::parse, text, doing); }

io_result<unix_address> read_unix_address(std::string_view text) noexcept {
  return read_by(&unix_address::parse, text, "reading the name of a Unix socket");
}

}  // namespace levity::detail
