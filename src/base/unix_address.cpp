#include "levity/base/unix_address.hpp"

#include <cstring>

#include "base/quoted_text.hpp"

namespace levity::inline v0 {

std::expected<unix_address, std::string> unix_address::make(std::string_view name, bool abstract) {
  const auto wrong = [name, abstract](std::string_view why) {
    const std::string text = (abstract ? "@" : "") + std::string(name);
    return std::unexpected(detail::quoted_text(text) + " is no name of a Unix socket: " + std::string(why) +
                           "; write a path or @name");
  };
  if (name.empty()) return wrong("it is empty");
  if (name.size() > name_max) {
    return wrong("it has " + std::to_string(name.size()) + " bytes, and the kernel has room for " + std::to_string(name_max));
  }
  if (!abstract && name.find('\0') != std::string_view::npos) return wrong("a path holds no zero byte");
  unix_address result;
  std::memcpy(result.name_, name.data(), name.size());
  result.size_ = static_cast<std::uint8_t>(name.size());
  result.abstract_ = abstract;
  return result;
}

std::expected<unix_address, std::string> unix_address::parse(std::string_view text) {
  return text.starts_with('@') ? make(text.substr(1), true) : make(text, false);
}

std::expected<unix_address, std::string> unix_address::path(std::string_view text) { return make(text, false); }

std::expected<unix_address, std::string> unix_address::abstract(std::string_view name) { return make(name, true); }

std::string unix_address::to_string() const {
  std::string text = is_abstract() ? "@" : name().starts_with('@') ? "./" : "";
  for (const char each : name()) {
    const auto byte = static_cast<unsigned char>(each);
    text += byte < 0x20 || byte == 0x7f ? '?' : each;
  }
  return text;
}

}  // namespace levity
