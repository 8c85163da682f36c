#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "levity/base/error.hpp"

namespace levity::inline v0 {

/// An IPv4 or IPv6 address with a port. A value; thread-safe as any value.
class address {
public:
  address() = default;

  /// "127.0.0.1:7000", "[::1]:7000", ":7000" (all IPv4 interfaces). Numbers only: names are looked up elsewhere.
  /// The error's message says what is wrong with the text.
  static std::expected<address, std::string> parse(std::string_view text);
  /// 127.0.0.1 with that port.
  static address loopback(std::uint16_t port) noexcept;

  /// The port; 0 is none, or any free one to bind to.
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// Whether it is an IPv6 address; the empty address is 0.0.0.0:0.
  [[nodiscard]] bool is_v6() const noexcept { return v6_; }
  /// "127.0.0.1:7000" or "[::1]:7000", as parse() reads it. Allocates.
  [[nodiscard]] std::string to_string() const;
  /// 4 or 16 bytes in network order.
  [[nodiscard]] const std::uint8_t* bytes() const noexcept { return bytes_; }

  /// The address in 4 bytes, or 16 with `v6`, in network order; as bytes() gives them.
  static address from_bytes(const std::uint8_t* bytes, bool v6, std::uint16_t port) noexcept;

  friend bool operator==(const address&, const address&) = default;

private:
  std::uint8_t bytes_[16]{};
  std::uint16_t port_ = 0;
  bool v6_ = false;
};

}  // namespace levity
