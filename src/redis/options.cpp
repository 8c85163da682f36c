#include "levity/redis/options.hpp"

#include <charconv>

namespace levity::inline v0::redis {

namespace {

int hex(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::expected<std::string, std::string> decode(std::string_view text, const char* what) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex(text[i + 2]) : -1;
    if (high < 0 || low < 0)
      return std::unexpected(std::string("a % in the ") + what + " stands in front of two hexadecimal digits");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

}  // namespace

std::expected<options, std::string> options::parse(std::string_view text) {
  options read;
  if (text.empty()) return std::unexpected(std::string("an address of redis is empty; write host:port or redis://host:port"));
  if (text.starts_with("unix://")) {
    auto path = decode(text.substr(7), "path");
    if (!path) return std::unexpected(path.error());
    if (!path->starts_with('/')) return std::unexpected(std::string("unix:// is followed by a path that begins with /"));
    read.address = std::move(*path);
    return read;
  }
  if (text.starts_with("rediss://")) {
    return std::unexpected(std::string("rediss:// asks for TLS, which this client does not have; use redis:// or a Unix socket"));
  }
  if (!text.starts_with("redis://")) {
    if (text.find("://") != std::string_view::npos) {
      return std::unexpected(std::string("the scheme is neither redis:// nor unix://"));
    }
    read.address = std::string(text);
    return read;
  }
  text.remove_prefix(8);
  std::string_view path;
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    path = text.substr(slash + 1);
    text = text.substr(0, slash);
  }
  if (const std::size_t at = text.rfind('@'); at != std::string_view::npos) {
    const std::string_view who = text.substr(0, at);
    text.remove_prefix(at + 1);
    const std::size_t colon = who.find(':');
    auto user = decode(who.substr(0, colon), "user");
    if (!user) return std::unexpected(user.error());
    read.user = std::move(*user);
    if (colon != std::string_view::npos) {
      auto password = decode(who.substr(colon + 1), "password");
      if (!password) return std::unexpected(password.error());
      read.password = std::move(*password);
    }
  }
  if (text.empty()) return std::unexpected(std::string("there is no host behind redis://"));
  const bool in_brackets = text.starts_with('[');
  const std::size_t behind = in_brackets ? text.find(']') : 0;
  if (behind == std::string_view::npos) return std::unexpected(std::string("the address in [ has no ]"));
  read.address = std::string(text);
  if (text.find(':', behind) == std::string_view::npos) read.address += ":6379";
  if (!path.empty()) {
    const auto [end, wrong] = std::from_chars(path.data(), path.data() + path.size(), read.database);
    if (wrong != std::errc{} || end != path.data() + path.size()) {
      return std::unexpected(std::string("behind the host stands /NUMBER, the database"));
    }
  }
  return read;
}

}  // namespace levity::redis
