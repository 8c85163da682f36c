#include "load/http_workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace levity::load {

std::expected<std::string, std::string> build_request(const target& where, const std::string& method,
                                                      const std::vector<std::string>& headers, const std::string& body) {
  if (method.empty() || !std::all_of(method.begin(), method.end(), [](unsigned char c) { return std::isupper(c) != 0; }))
    return std::unexpected(fmt::format("'{}' is no method; write capital letters, for example GET", method));
  const auto given = [&headers](std::string_view name) {
    return std::any_of(headers.begin(), headers.end(), [name](const std::string& line) {
      return line.size() > name.size() && line[name.size()] == ':' &&
             std::equal(name.begin(), name.end(), line.begin(), [](unsigned char a, unsigned char b) {
               return std::tolower(a) == std::tolower(b);
             });
    });
  };
  std::string request = fmt::format("{} {} HTTP/1.1\r\n", method, where.path);
  if (!given("host")) request += fmt::format("Host: {}\r\n", where.authority);
  if (!given("user-agent")) request += "User-Agent: levity-load\r\n";
  for (const auto& line : headers) {
    const auto colon = line.find(':');
    if (colon == std::string::npos || colon == 0 || line.find_first_of(" \t\r\n") < colon ||
        line.find_first_of("\r\n") != std::string::npos)
      return std::unexpected(fmt::format("'{}' is no header; write 'Name: value'", line));
    request += line + "\r\n";
  }
  if (!body.empty() || method == "POST" || method == "PUT" || method == "PATCH") {
    if (!given("content-type") && !body.empty()) request += "Content-Type: application/json\r\n";
    if (!given("content-length") && !given("transfer-encoding"))
      request += fmt::format("Content-Length: {}\r\n", body.size());
  }
  return request + "\r\n" + body;
}

}  // namespace levity::load
