// target.hpp -- where the load goes: http://host:port/path or tcp://host:port.
#pragma once

#include <sys/socket.h>

#include <expected>
#include <string>
#include <string_view>

namespace levity::load {

enum class protocol { http, echo };

struct target {
  protocol kind = protocol::http;
  std::string host;            ///< as written, without brackets
  std::string port;
  std::string path = "/";      ///< with query
  std::string authority;       ///< what the Host header says
  sockaddr_storage address{};  ///< filled by resolve()
  socklen_t address_size = 0;
};

/// Reads a URL; no name is looked up. The error is one sentence with a remedy.
[[nodiscard]] std::expected<target, std::string> parse_target(std::string_view url);

/// Looks the host up, once, before the run: name service is not what is measured. Blocks.
[[nodiscard]] std::expected<void, std::string> resolve(target& where);

}  // namespace levity::load
