#include "load/target.hpp"

#include <fmt/format.h>
#include <netdb.h>

#include <algorithm>
#include <cstring>

namespace levity::load {

std::expected<target, std::string> parse_target(std::string_view url) {
  target parsed;
  std::string_view rest;
  if (url.starts_with("http://")) {
    rest = url.substr(7);
    parsed.port = "80";
  } else if (url.starts_with("tcp://")) {
    rest = url.substr(6);
    parsed.kind = protocol::echo;
  } else if (url.starts_with("https://")) {
    return std::unexpected("https:// is not spoken here; put the load on the plain port behind the TLS end");
  } else {
    return std::unexpected(fmt::format("'{}' is no target; write http://host:port/path or tcp://host:port", url));
  }

  rest = rest.substr(0, rest.find('#'));
  const auto path_at = rest.find_first_of("/?");
  const std::string_view authority = rest.substr(0, path_at);
  if (path_at != std::string_view::npos) {
    if (parsed.kind == protocol::echo && rest.substr(path_at) != "/")
      return std::unexpected("a tcp:// target has no path; write tcp://host:port");
    parsed.path = rest.substr(path_at);
    if (rest[path_at] == '?') parsed.path.insert(parsed.path.begin(), '/');
  }
  if (std::any_of(url.begin(), url.end(), [](unsigned char c) { return c <= ' ' || c == 127; }))
    return std::unexpected("the target has a space or a control character in it; percent-encode it");

  std::string_view port;
  if (authority.starts_with('[')) {
    const auto close = authority.find(']');
    if (close == std::string_view::npos) return std::unexpected("the address in '[' is not closed by ']'");
    parsed.host = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
  } else {
    const auto colon = authority.find(':');
    parsed.host = authority.substr(0, colon);
    port = colon == std::string_view::npos ? std::string_view{} : authority.substr(colon);
  }
  if (port.starts_with(':')) parsed.port = port.substr(1);
  else if (!port.empty()) return std::unexpected(fmt::format("'{}' is no port; write host:port", port));
  if (parsed.host.empty()) return std::unexpected(fmt::format("'{}' names no host", url));
  if (parsed.port.empty() || parsed.port.size() > 5 || !std::all_of(parsed.port.begin(), parsed.port.end(), [](char c) {
        return c >= '0' && c <= '9';
      }) || std::stoi(parsed.port) < 1 || std::stoi(parsed.port) > 65535)
    return std::unexpected(fmt::format("'{}' names no port from 1 to 65535; write host:port", url));
  parsed.authority = authority;
  return parsed;
}

std::expected<void, std::string> resolve(target& where) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(where.host.c_str(), where.port.c_str(), &hints, &found);
  if (error != 0) return std::unexpected(fmt::format("host '{}' is not known: {}", where.host, gai_strerror(error)));
  std::memcpy(&where.address, found->ai_addr, found->ai_addrlen);
  where.address_size = found->ai_addrlen;
  freeaddrinfo(found);
  return {};
}

}  // namespace levity::load
