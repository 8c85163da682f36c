// socket_ring_bench [MEBIBYTES] - what sending costs by each means, by size: nanoseconds of the sender's CPU for a KiB, over
// loopback to a thread that reads and throws away. `zero copied` is how many of the zero-copy sends the kernel copied all the same,
// in percent.
//
//   call        send(2): the attempt that try_write makes
//   ring        IORING_OP_SEND, submitted and waited for alone
//   ring zc     IORING_OP_SEND_ZC, until the notification that the bytes are free again
//   own + zc    the same from a copy of the bytes, as the runtime has to send: it must not use a caller's memory after the call
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "levity/base/address.hpp"
#include "platform/ring.hpp"
#include "platform/socket.hpp"

namespace {

using levity::detail::completion;
using levity::detail::ring;

// Since Linux 6.2; liburing 2.3 has no names for them.
constexpr unsigned report_usage = 1U << 3;          // IORING_SEND_ZC_REPORT_USAGE
constexpr std::uint32_t usage_copied = 1U << 31;    // IORING_NOTIF_USAGE_ZC_COPIED

enum class means { call, ring, zero_copy, own_zero_copy };

double thread_cpu_ns() {
  rusage used{};
  ::getrusage(RUSAGE_THREAD, &used);
  return (static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
          static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec)) *
         1e3;
}

struct result {
  double ns_per_kib;
  double copied_percent;
};

result measure(ring& on, int fd, means by, std::size_t size, std::size_t total) {
  std::vector<std::byte> bytes(size, std::byte{7});
  std::vector<std::byte> own(size);
  std::size_t sends = 0;
  std::size_t copied = 0;
  const double before_ns = thread_cpu_ns();
  for (std::size_t moved = 0; moved < total; moved += size) {
    sends++;
    if (by == means::call) {
      if (::send(fd, bytes.data(), size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) std::abort();
      continue;
    }
    const std::byte* from = bytes.data();
    if (by == means::own_zero_copy) {
      std::memcpy(own.data(), bytes.data(), size);
      from = own.data();
    }
    io_uring_sqe& entry = on.next_entry();
    if (by == means::ring) {
      io_uring_prep_send(&entry, fd, from, size, MSG_NOSIGNAL | MSG_WAITALL);
    } else {
      io_uring_prep_send_zc(&entry, fd, from, size, MSG_NOSIGNAL | MSG_WAITALL, report_usage);
    }
    for (bool last = false; !last;) {
      on.submit_and_wait();
      on.reap([&](const completion& what) {
        const bool notice = (what.flags & IORING_CQE_F_NOTIF) != 0;
        if (notice && (static_cast<std::uint32_t>(what.result) & usage_copied) != 0) copied++;
        if (!notice && what.result != static_cast<std::int32_t>(size)) std::abort();
        last = what.is_last();
      });
    }
  }
  const double used_ns = thread_cpu_ns() - before_ns;
  return {used_ns / (static_cast<double>(sends * size) / 1024), 100.0 * static_cast<double>(copied) / static_cast<double>(sends)};
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t total = (argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 64) << 20;
  const auto listener = levity::detail::open_listening_socket({levity::address::loopback(0), 1, false});
  if (!listener) std::abort();
  sockaddr_storage at;
  const socklen_t at_size = levity::detail::to_kernel(levity::detail::socket_local_address(*listener), at);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&at), at_size) != 0) std::abort();
  const int peer = ::accept4(*listener, nullptr, nullptr, SOCK_CLOEXEC);
  std::thread reader([peer] {
    std::vector<std::byte> sink(1 << 20);
    while (::recv(peer, sink.data(), sink.size(), 0) > 0) continue;
  });
  ring on;
  if (!on.open(64)) {
    std::fputs("socket_ring_bench: io_uring is refused\n", stderr);
    return 1;
  }
  std::printf("%8s %10s %10s %10s %10s %12s\n", "bytes", "call", "ring", "ring zc", "own + zc", "zero copied");
  for (std::size_t size = 1024; size <= 64 * 1024; size *= 4) {
    const result call = measure(on, fd, means::call, size, total);
    const result plain = measure(on, fd, means::ring, size, total);
    const result zero = measure(on, fd, means::zero_copy, size, total);
    const result own = measure(on, fd, means::own_zero_copy, size, total);
    std::printf("%8zu %10.0f %10.0f %10.0f %10.0f %11.0f%%\n", size, call.ns_per_kib, plain.ns_per_kib, zero.ns_per_kib,
                own.ns_per_kib, zero.copied_percent);
  }
  ::close(fd);
  reader.join();
  ::close(peer);
  ::close(*listener);
}
