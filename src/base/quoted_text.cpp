#include "base/quoted_text.hpp"

namespace levity::inline v0::detail {

std::string quoted_text(std::string_view text) {
  constexpr std::size_t most = 64;
  std::string quoted = "\"";
  for (const char each : text.substr(0, most)) {
    const auto byte = static_cast<unsigned char>(each);
    quoted += byte < 0x20 || byte == 0x7f ? '?' : each;
  }
  return quoted += text.size() > most ? "...\"" : "\"";
}

}  // namespace levity::detail
