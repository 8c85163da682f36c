#include "platform/datagram.hpp"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "levity/base/atomic.hpp"
#include "platform/socket.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr const char* sending = "sending a datagram";
constexpr const char* receiving = "receiving a datagram";

// What carries the size of segments: a 16-bit number on the way out, an int on the way in.
constexpr std::size_t control_bytes = CMSG_SPACE(sizeof(int));

address sender_of(const sockaddr_storage& from, socklen_t size) noexcept {
  return size >= sizeof(sockaddr_in) ? from_kernel(from) : address{};  // shorter: the kernel had none to give
}

std::size_t segment_bytes_of(const msghdr& message) noexcept {
  auto& readable = const_cast<msghdr&>(message);  // CMSG_NXTHDR takes no const
  for (cmsghdr* each = CMSG_FIRSTHDR(&readable); each != nullptr; each = CMSG_NXTHDR(&readable, each)) {
    if (each->cmsg_level != IPPROTO_UDP || each->cmsg_type != UDP_GRO) continue;
    int size = 0;
    std::memcpy(&size, CMSG_DATA(each), sizeof size);
    return static_cast<std::size_t>(std::max(size, 0));
  }
  return 0;
}

datagram_head head_of(const msghdr& message, const sockaddr_storage& from, std::size_t size) noexcept {
  const std::size_t segment_bytes = segment_bytes_of(message);
  return {size, segment_bytes < size ? segment_bytes : 0, sender_of(from, message.msg_namelen),
          (message.msg_flags & MSG_TRUNC) != 0};
}

}  // namespace

io_result<int> open_datagram_socket(const address& at, bool reuse_port) noexcept {
  constexpr const char* doing = "binding a datagram socket";
  const int fd = kernel::socket(at.is_v6() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(error_at(at, errno, "binding a datagram socket to ", doing));
  const int on = 1;
  if (reuse_port) kernel::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  sockaddr_storage name;
  const socklen_t size = to_kernel(at, name);
  if (kernel::bind(fd, reinterpret_cast<sockaddr*>(&name), size) == 0) return fd;
  const int code = errno;
  kernel::close(fd);
  return std::unexpected(error_at(at, code, "binding a datagram socket to ", doing));
}

io_result<void> connect_datagram_socket(int fd, const address& peer) noexcept {
  sockaddr_storage name;
  const socklen_t size = to_kernel(peer, name);
  int connected;
  do {
    connected = kernel::connect(fd, reinterpret_cast<sockaddr*>(&name), size);
  } while (connected != 0 && errno == EINTR);
  if (connected == 0) return {};
  return std::unexpected(io_error::from_errno(errno, "connecting a datagram socket"));
}

io_result<void> check_datagram_socket(int fd) noexcept {
  constexpr const char* doing = "adopting a datagram socket";
  const io_result<int> type = socket_option(fd, SOL_SOCKET, SO_TYPE);
  if (type && *type == SOCK_DGRAM) return {};
  const bool no_socket = type || type.error().code() == ENOTSOCK;
  return std::unexpected(no_socket ? io_error{io_failure::invalid, ENOTSOCK, doing} : type.error().during(doing));
}

io_result<void> send_datagram(int fd, std::span<const std::byte> bytes, const address* to, std::size_t segment_bytes) noexcept {
  iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
  sockaddr_storage name;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(std::uint16_t))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (to != nullptr) {
    message.msg_namelen = to_kernel(*to, name);
    message.msg_name = &name;
  }
  if (segment_bytes != 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* segmenting = CMSG_FIRSTHDR(&message);
    segmenting->cmsg_level = IPPROTO_UDP;
    segmenting->cmsg_type = UDP_SEGMENT;
    segmenting->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    const auto size = static_cast<std::uint16_t>(segment_bytes);
    std::memcpy(CMSG_DATA(segmenting), &size, sizeof size);
  }
  for (;;) {
    if (kernel::sendmsg_record(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return {};
    if (errno != EINTR) return std::unexpected(io_error::from_errno(errno, sending));
  }
}

namespace {

// A kernel that does not know the request (before 4.18) would ignore it and send all as one datagram, so it is asked first.
bool kernel_cuts() noexcept {
  enum : unsigned char { unknown, no, yes };
  static levity::atomic<unsigned char> known{unknown};
  // Relaxed: whoever finds nothing asks again and gets the same answer.
  if (const unsigned char answer = known.load(std::memory_order_relaxed); answer != unknown) return answer == yes;
  const int fd = kernel::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;  // not known this time
  const bool cuts = socket_option(fd, IPPROTO_UDP, UDP_SEGMENT).has_value();
  kernel::close(fd);
  known.store(cuts ? yes : no, std::memory_order_relaxed);
  return cuts;
}

}  // namespace

std::size_t max_segmented_bytes(std::size_t left, std::size_t segment_bytes) noexcept {
  constexpr std::size_t segments_max = 64;   // of the kernels that have the least
  constexpr std::size_t bytes_max = 65'507;  // what IPv4 carries
  if (segment_bytes > bytes_max || !kernel_cuts()) return 0;
  return std::min(left, segment_bytes * std::min(segments_max, bytes_max / segment_bytes));
}

bool refuses_segments(io_error error) noexcept {
  // EINVAL, EMSGSIZE: a segment is longer than the route carries whole, or the socket sends no checksums; EIO: nor does the device.
  return error.code() == EINVAL || error.code() == EMSGSIZE || error.code() == EIO || error.code() == EOPNOTSUPP;
}

io_result<datagram_head> receive_datagram(int fd, std::span<std::byte> into, bool wants_sender) noexcept {
  iovec piece{into.data(), into.size()};
  sockaddr_storage from;
  alignas(cmsghdr) char control[control_bytes];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_name = wants_sender ? &from : nullptr;
  message.msg_namelen = wants_sender ? sizeof from : 0;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  for (;;) {
    const ssize_t got = kernel::recvmsg_record(fd, &message, MSG_DONTWAIT);
    if (got >= 0) return head_of(message, from, static_cast<std::size_t>(got));
    if (errno != EINTR) return std::unexpected(io_error::from_errno(errno, receiving));
  }
}

io_result<void> set_coalescing(int fd, bool on) noexcept {
  constexpr const char* doing = "receiving several datagrams at once";
  const int value = on ? 1 : 0;
  if (kernel::setsockopt(fd, IPPROTO_UDP, UDP_GRO, &value, sizeof value) == 0) return {};
  if (errno == ENOPROTOOPT) return std::unexpected(io_error{io_failure::unsupported, ENOPROTOOPT, doing});
  return std::unexpected(io_error::from_errno(errno, doing));
}

io_result<std::uint64_t> dropped_datagrams(int fd) noexcept {
  std::uint32_t figures[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof figures;
  if (kernel::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, figures, &size) != 0) {
    return std::unexpected(io_error::from_errno(errno, "counting dropped datagrams"));
  }
  return figures[SK_MEMINFO_DROPS];
}

struct datagram_rows::row {
  iovec piece{};
  sockaddr_storage name;
  alignas(cmsghdr) char control[control_bytes];
};

datagram_rows::datagram_rows(std::size_t capacity)
    : headers_(std::make_unique<mmsghdr[]>(capacity)), rows_(std::make_unique_for_overwrite<row[]>(capacity)) {
  for (std::size_t i = 0; i < capacity; i++) {
    headers_[i].msg_hdr.msg_iov = &rows_[i].piece;
    headers_[i].msg_hdr.msg_iovlen = 1;
  }
}

datagram_rows::~datagram_rows() = default;

void datagram_rows::set_outgoing(std::size_t at, std::span<const std::byte> bytes, const address* to) noexcept {
  msghdr& message = headers_[at].msg_hdr;
  rows_[at].piece = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  message.msg_name = to != nullptr ? &rows_[at].name : nullptr;
  message.msg_namelen = to != nullptr ? to_kernel(*to, rows_[at].name) : 0;
}

void datagram_rows::set_incoming(std::size_t at, std::span<std::byte> into) noexcept {
  msghdr& message = headers_[at].msg_hdr;
  rows_[at].piece = {into.data(), into.size()};
  message.msg_name = &rows_[at].name;
  message.msg_namelen = sizeof rows_[at].name;
  message.msg_control = rows_[at].control;
  message.msg_controllen = sizeof rows_[at].control;
  message.msg_flags = 0;
}

io_result<std::size_t> datagram_rows::send(int fd, std::size_t first, std::size_t end) noexcept {
  const std::size_t count = std::min(end - first, call_max);
  for (;;) {
    const int sent = kernel::sendmmsg(fd, &headers_[first], static_cast<unsigned>(count), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno != EINTR) return std::unexpected(io_error::from_errno(errno, sending));
  }
}

io_result<std::size_t> datagram_rows::receive(int fd, std::size_t end) noexcept {
  const std::size_t count = std::min(end, call_max);
  for (;;) {
    const int got = kernel::recvmmsg(fd, headers_.get(), static_cast<unsigned>(count), MSG_DONTWAIT);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return std::unexpected(io_error::from_errno(errno, receiving));
  }
}

datagram_head datagram_rows::head(std::size_t at) const noexcept {
  return head_of(headers_[at].msg_hdr, rows_[at].name, headers_[at].msg_len);
}

std::span<std::byte> datagram_rows::bytes(std::size_t at) const noexcept {
  return {static_cast<std::byte*>(rows_[at].piece.iov_base), rows_[at].piece.iov_len};
}

std::optional<address> datagram_rows::receiver(std::size_t at) const noexcept {
  if (headers_[at].msg_hdr.msg_name == nullptr) return std::nullopt;
  return from_kernel(rows_[at].name);
}

void datagram_rows::set_head(std::size_t at, const datagram_head& came) noexcept {
  mmsghdr& header = headers_[at];
  header.msg_len = static_cast<unsigned>(came.size);
  header.msg_hdr.msg_namelen = to_kernel(came.from, rows_[at].name);
  header.msg_hdr.msg_flags = came.truncated ? MSG_TRUNC : 0;
  header.msg_hdr.msg_controllen = came.segment_bytes != 0 ? control_bytes : 0;
  if (came.segment_bytes == 0) return;
  cmsghdr* said = CMSG_FIRSTHDR(&header.msg_hdr);
  said->cmsg_level = IPPROTO_UDP;
  said->cmsg_type = UDP_GRO;
  said->cmsg_len = CMSG_LEN(sizeof(int));
  const auto size = static_cast<int>(came.segment_bytes);
  std::memcpy(CMSG_DATA(said), &size, sizeof size);
}

}  // namespace levity::detail
