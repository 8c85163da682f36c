#include "load/ask.hpp"

#include "load/response_reader.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace levity::load {

void asker::hang_up() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

std::expected<void, std::string> asker::dial() {
  const auto* address = reinterpret_cast<const sockaddr*>(&where_.address);
  fd_ = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return std::unexpected(fmt::format("no socket: {}", std::strerror(errno)));
  const timeval limit{timeout_ns_ / 1'000'000'000, timeout_ns_ % 1'000'000'000 / 1'000};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  const int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd_, address, where_.address_size) == 0) return {};
  const int error = errno;
  hang_up();
  return std::unexpected(fmt::format("{} does not take a connection: {}", where_.authority, std::strerror(error)));
}

std::expected<reply, std::string> asker::try_once(std::string_view request) {
  const auto broken = [this](const char* why) -> std::unexpected<std::string> {
    hang_up();
    return std::unexpected(fmt::format("{} gives no answer: {}", where_.authority, why));
  };
  for (std::string_view rest = request; !rest.empty();) {
    const ssize_t sent = send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return broken(std::strerror(errno));
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  response_reader reader;
  reader.start();
  std::array<char, 16384> buffer{};
  while (!reader.complete()) {
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    late_ = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (got < 0) return broken(late_ ? "its time is over" : std::strerror(errno));
    if (got == 0 && !reader.end()) return broken("it has closed");
    if (got > 0) reader.feed({buffer.data(), static_cast<std::size_t>(got)});
    if (reader.failed()) return broken(reader.reason());
  }
  reply answer{reader.status(), std::string(reader.body())};
  if (!reader.keep_alive()) hang_up();
  return answer;
}

std::expected<reply, std::string> asker::ask(std::string_view method, std::string_view path, std::string_view body) {
  std::string request = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", method, path, where_.authority);
  if (!body.empty()) request += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  request += "\r\n";
  request += body;
  // A connection that was kept may have been closed by the other side meanwhile; what was asked is asked once more then.
  const bool kept = fd_ >= 0;
  late_ = false;
  if (!kept) {
    if (auto dialled = dial(); !dialled) return std::unexpected(dialled.error());
  }
  auto answer = try_once(request);
  if (answer || !kept || late_) return answer;
  if (auto dialled = dial(); !dialled) return std::unexpected(dialled.error());
  return try_once(request);
}

}  // namespace levity::load
