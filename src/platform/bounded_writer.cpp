#include "platform/bounded_writer.hpp"

#include <limits.h>
#include <poll.h>

#include <cerrno>

#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

bool bounded_writer::write_within(std::string_view text, int patience_ms) noexcept {
  while (!text.empty()) {
    pollfd watched{fd_, POLLOUT, 0};
    const int ready = kernel::poll(&watched, 1, patience_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t written = kernel::write(fd_, text.data(), text.size() < PIPE_BUF ? text.size() : PIPE_BUF);
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

void bounded_writer::write(std::string_view text) noexcept {
  if (!gave_up_) gave_up_ = !write_within(text, patience_ms_);
}

void bounded_writer::write_last(std::string_view text) noexcept {
  write_within(text, 0);
}

}  // namespace levity::detail
