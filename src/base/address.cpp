#include "levity/base/address.hpp"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

#include "base/quoted_text.hpp"

namespace levity::inline v0 {

std::expected<address, std::string> address::parse(std::string_view text) {
  const auto wrong = [text](const char* why) {
    return std::unexpected(detail::quoted_text(text) + " is no address: " + why + "; write 127.0.0.1:7000 or [::1]:7000");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong("the port is missing");
  address result;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, failed] = std::from_chars(port.data(), port.data() + port.size(), result.port_);
  if (failed != std::errc{} || end != port.data() + port.size()) return wrong("the port must be a number up to 65535");
  std::string host{text.substr(0, colon)};
  if (host.empty()) return result;
  if (host.front() == '[') {
    if (host.back() != ']') return wrong("the bracket is not closed");
    host = host.substr(1, host.size() - 2);
    result.v6_ = true;
  }
  if (::inet_pton(result.v6_ ? AF_INET6 : AF_INET, host.c_str(), result.bytes_) != 1) {
    return wrong("the host must be a number, and names need lv::resolve");
  }
  return result;
}

address address::loopback(std::uint16_t port) noexcept {
  address result;
  constexpr std::uint8_t local[4] = {127, 0, 0, 1};
  std::memcpy(result.bytes_, local, sizeof local);
  result.port_ = port;
  return result;
}

address address::from_bytes(const std::uint8_t* bytes, bool v6, std::uint16_t port) noexcept {
  address result;
  result.v6_ = v6;
  result.port_ = port;
  std::memcpy(result.bytes_, bytes, v6 ? 16 : 4);
  return result;
}

std::string address::to_string() const {
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_, text, sizeof text);
  const std::string host = v6_ ? "[" + std::string(text) + "]" : std::string(text);
  return host + ":" + std::to_string(port_);
}

}  // namespace levity
