#include "levity/io/descriptor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "platform/syscall.hpp"

namespace levity::inline v0 {

using namespace detail;

io_result<descriptor> descriptor::duplicate(int fd) noexcept {
  const int copy = kernel::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return std::unexpected(io_error::from_errno(errno, "duplicating a descriptor"));
  return descriptor{copy};
}

void descriptor::close() noexcept {
  if (const int fd = release(); fd >= 0) kernel::close(fd);
}

}  // namespace levity
