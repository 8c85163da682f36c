#pragma once

// What an address says of where it is, for a simulated network.

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "levity/base/address.hpp"

namespace levity::inline v0::detail {

inline std::span<const std::uint8_t> bytes_of(const address& host) noexcept { return {host.bytes(), host.is_v6() ? 16U : 4U}; }

/// 0.0.0.0 or [::].
inline bool is_wildcard(const address& at) noexcept {
  return std::ranges::all_of(bytes_of(at), [](std::uint8_t byte) { return byte == 0; });
}

/// 127.0.0.0/8 or [::1].
inline bool is_loopback(const address& at) noexcept {
  const auto bytes = bytes_of(at);
  if (!at.is_v6()) return bytes[0] == 127;
  return bytes.back() == 1 && std::ranges::all_of(bytes.first(15), [](std::uint8_t byte) { return byte == 0; });
}

/// 255.255.255.255: every host.
inline bool is_broadcast(const address& at) noexcept {
  return !at.is_v6() && std::ranges::all_of(bytes_of(at), [](std::uint8_t byte) { return byte == 255; });
}

/// But for the port.
inline bool same_host(const address& a, const address& b) noexcept { return std::ranges::equal(bytes_of(a), bytes_of(b)); }

inline address with_port(const address& host, std::uint16_t port) noexcept {
  return address::from_bytes(host.bytes(), host.is_v6(), port);
}

/// An address of IPv4 as a socket of IPv6 sees it, ::ffff:10.0.0.1; others as they are.
inline address mapped(const address& at) noexcept {
  if (at.is_v6()) return at;
  std::array<std::uint8_t, 16> bytes{};
  bytes[10] = bytes[11] = 0xff;
  std::ranges::copy(bytes_of(at), bytes.begin() + 12);
  return address::from_bytes(bytes.data(), true, at.port());
}

/// Undoes mapped().
inline address unmapped(const address& at) noexcept {
  const auto bytes = bytes_of(at);
  const bool is_mapped = at.is_v6() && bytes[10] == 0xff && bytes[11] == 0xff &&
                         std::ranges::all_of(bytes.first(10), [](std::uint8_t byte) { return byte == 0; });
  return is_mapped ? address::from_bytes(at.bytes() + 12, false, at.port()) : at;
}

}  // namespace levity::detail
