#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "levity/http/request.hpp"

namespace levity::inline v0::http {

/// Where a request goes: "http://host[:port]/path?query". A value that holds its own text; not thread-safe, as any value.
///
/// Read as strictly as a server here reads a target: what must be percent-encoded is refused, not repaired. A fragment is dropped,
/// since it is no business of the server; a user before the host is refused, for it does not belong into a URL.
class url {
public:
  /// The root of nowhere: no host. Only good for assigning to.
  url() = default;

  /// Reads an absolute URL. The error is one sentence that says what is wrong with it. O(size).
  [[nodiscard]] static std::expected<url, std::string> parse(std::string_view text);

  /// What `reference` means beside this URL (RFC 3986 5.2): "/orders", "?page=2", "items", "//other/", "http://other/".
  [[nodiscard]] std::expected<url, std::string> resolve(std::string_view reference) const;

  /// The whole of it, the host in small letters, without fragment.
  [[nodiscard]] std::string_view text() const noexcept { return text_; }
  /// The name or number, without brackets.
  [[nodiscard]] std::string_view host() const noexcept { return host_.in(text_.data()); }
  /// The port, 80 when none is written.
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// What a Host field says: the host, with the port if it is not 80.
  [[nodiscard]] std::string_view authority() const noexcept { return authority_.in(text_.data()); }
  /// What a request line says: path and query; at least "/".
  [[nodiscard]] std::string_view target() const noexcept { return target_.in(text_.data()); }
  /// Without the query; at least "/".
  [[nodiscard]] std::string_view path() const noexcept { return target().substr(0, target().find('?')); }
  /// Whether both name the same server: host and port.
  [[nodiscard]] bool same_server(const url& other) const noexcept { return authority() == other.authority(); }

private:
  std::string text_;
  detail::piece host_;
  detail::piece authority_;
  detail::piece target_;
  std::uint16_t port_ = 80;
};

}  // namespace levity::http
