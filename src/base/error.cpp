#include "levity/base/error.hpp"

#include <cerrno>
#include <cstring>

namespace levity::inline v0 {

std::string_view to_string(io_failure failure) noexcept {
  switch (failure) {
    case io_failure::eof: return "end of stream";
    case io_failure::reset: return "connection reset";
    case io_failure::cancelled: return "cancelled";
    case io_failure::timed_out: return "timed out";
    case io_failure::refused: return "connection refused";
    case io_failure::unreachable: return "unreachable";
    case io_failure::address_in_use: return "address in use";
    case io_failure::no_address: return "address not available";
    case io_failure::closed: return "already closed";
    case io_failure::would_block: return "would block";
    case io_failure::no_descriptors: return "out of file descriptors";
    case io_failure::no_memory: return "out of memory";
    case io_failure::no_space: return "no space left";
    case io_failure::not_found: return "not found";
    case io_failure::exists: return "already exists";
    case io_failure::permission: return "not permitted";
    case io_failure::invalid: return "invalid argument";
    case io_failure::unsupported: return "not supported here";
    case io_failure::truncated: return "ended in the middle";
    case io_failure::too_large: return "too large";
    case io_failure::unavailable: return "temporarily unavailable";
    case io_failure::other: return "failed";
  }
  return "failed";
}

namespace {

io_failure classify(int code) noexcept {
  switch (code) {
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED: return io_failure::reset;
    case ECANCELED: return io_failure::cancelled;
    case ETIMEDOUT: return io_failure::timed_out;
    case ECONNREFUSED: return io_failure::refused;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN: return io_failure::unreachable;
    case EADDRNOTAVAIL: return io_failure::no_address;
    case EADDRINUSE: return io_failure::address_in_use;
    case EBADF:
    case ENOTCONN:
    case ESHUTDOWN: return io_failure::closed;
    case EAGAIN: return io_failure::would_block;
    case EMFILE:
    case ENFILE: return io_failure::no_descriptors;
    case ENOMEM:
    case ENOBUFS: return io_failure::no_memory;
    case ENOSPC:
    case EDQUOT: return io_failure::no_space;
    case ENOENT:
    case ENOTDIR: return io_failure::not_found;
    case EEXIST: return io_failure::exists;
    case EPERM:
    case EACCES: return io_failure::permission;
    case EINVAL:
    case ENOEXEC: return io_failure::invalid;
    case E2BIG:
    case EMSGSIZE: return io_failure::too_large;
    case ENOSYS:
    case EOPNOTSUPP: return io_failure::unsupported;
    default: return io_failure::other;
  }
}

const char* remedy(io_failure failure) noexcept {
  switch (failure) {
    case io_failure::no_descriptors: return "raise `ulimit -n` or accept fewer connections";
    case io_failure::address_in_use: return "stop the process that owns it or choose another port";
    case io_failure::no_address:
      return "listen on an address of this machine (`ip address` lists them); where a connection fails so, no local port is left";
    case io_failure::refused: return "start the server there or check host and port";
    case io_failure::no_space: return "free space on the disk";
    case io_failure::permission: return "check owner, mode and the sandbox's rules";
    default: return nullptr;
  }
}

}  // namespace

io_error io_error::from_errno(int code, const char* doing) noexcept { return {classify(code), code, doing}; }

std::string io_error::message() const {
  std::string text;
  if (doing_ != nullptr) text.append(doing_).append(": ");
  text.append(to_string(failure_));
  if (code_ != 0) {
    const char* const name = ::strerrorname_np(code_);
    text.append(" (").append(name != nullptr ? name : std::to_string(code_)).append(")");
  }
  if (const char* help = remedy(failure_)) text.append("; ").append(help);
  return text;
}

}  // namespace levity
