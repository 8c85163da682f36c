#include "levity/redis/error.hpp"

namespace levity::inline v0::redis {

std::string_view to_string(failure of) noexcept {
  switch (of) {
    case failure::io: return "io";
    case failure::server: return "server";
    case failure::protocol: return "protocol";
    case failure::refused: return "refused";
    case failure::mismatch: return "mismatch";
  }
  return "unknown";
}

std::string_view error::code() const noexcept {
  if (kind_ != failure::server) return {};
  const std::string_view all = text_;
  return all.substr(0, all.find(' '));
}

std::string error::message() const {
  switch (kind_) {
    case failure::io: return io_.message() + (sent_ ? " (the server may have carried it out)" : " (nothing was sent)");
    case failure::server: return "redis answers: " + text_;
    case failure::protocol: return "redis broke the protocol: " + text_ + "; the connection was closed";
    case failure::refused: return "not sent to redis: " + text_;
    case failure::mismatch: return "redis answers with another type: " + text_;
  }
  return text_;
}

}  // namespace levity::redis
