// One of each of the calls that every request makes, five in all, by the house's door to the kernel. Without a plan of faults.
#include <sys/socket.h>

#include "platform/syscall.hpp"

namespace levity::inline v0::detail::kernel {

constinit atomic<std::uint64_t> planned_calls{0};
bool struck(call, int, std::size_t&) noexcept { return false; }
ssize_t planned_message(call, int, const msghdr*, int) noexcept { return -1; }

}  // namespace levity::detail::kernel

namespace kernel = levity::detail::kernel;

int main() {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
  char byte = 'x';
  iovec piece{&byte, 1};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const bool all = kernel::write(pair[0], &byte, 1) == 1 && kernel::send(pair[0], &byte, 1, 0) == 1 &&
                   kernel::sendmsg(pair[0], &message, 0) == 1 && kernel::read(pair[1], &byte, 1) == 1 &&
                   kernel::recvmsg(pair[1], &message, 0) == 1;
  return all ? 0 : 1;
}
