#include "platform/unix_socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

#include "levity/base/lasting_text.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::size_t name_offset = offsetof(sockaddr_un, sun_path);

socklen_t to_kernel(const unix_address& from, sockaddr_un& to) noexcept {
  std::memset(&to, 0, sizeof to);
  to.sun_family = AF_UNIX;
  const std::size_t before = from.is_abstract() ? 1 : 0;  // a zero byte
  std::memcpy(to.sun_path + before, from.name().data(), from.name().size());
  // A path ends with a zero that counts; an abstract name is as long as the size says.
  return static_cast<socklen_t>(name_offset + from.name().size() + (from.is_empty() ? 0 : 1));
}

unix_address from_kernel(const sockaddr_un& from, socklen_t size) noexcept {
  if (size <= name_offset || from.sun_family != AF_UNIX) return {};
  const std::size_t room = std::min<std::size_t>(size, sizeof from) - name_offset;
  const std::string_view bytes{from.sun_path, room};
  const auto named = bytes[0] == '\0' ? unix_address::abstract(bytes.substr(1))
                                      : unix_address::path(bytes.substr(0, bytes.find('\0')));
  return named.value_or(unix_address{});
}

io_result<void> stop_blocking(int fd) noexcept {
  const int flags = kernel::fcntl(fd, F_GETFL);
  if (flags >= 0 && kernel::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0) return {};
  return std::unexpected(io_error::from_errno(errno, "adopting a Unix socket"));
}

// Whether a socket file is left over from a process that is gone: nobody answers there.
bool is_stale(const unix_address& at, int type) noexcept {
  struct stat found;
  if (kernel::lstat(at.name().data(), &found) != 0 || !S_ISSOCK(found.st_mode)) return false;
  const io_result<int> probe = open_unix_socket(type);
  if (!probe) return false;
  const io_result<void> answered = connect_unix_socket(*probe, at);
  kernel::close(*probe);
  return !answered && answered.error().code() == ECONNREFUSED;
}

// Keeps others who replace a stale file in the same directory out. An advisory lock; never waits.
class directory_lock {
public:
  explicit directory_lock(const unix_address& at) noexcept {
    char folder[unix_address::name_max + 2] = ".";
    const std::string_view path = at.name();
    if (const std::size_t slash = path.rfind('/'); slash != std::string_view::npos) {
      const std::size_t size = slash + 1;  // with the slash: the root, too
      std::memcpy(folder, path.data(), size);
      folder[size] = '\0';
    }
    do {
      fd_ = kernel::open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (fd_ < 0 && errno == EINTR);
    int locked = fd_;
    while (locked >= 0 && (locked = kernel::flock(fd_, LOCK_EX | LOCK_NB)) < 0 && errno == EINTR) locked = fd_;
    if (locked < 0) code_ = errno;
  }
  directory_lock(const directory_lock&) = delete;
  directory_lock& operator=(const directory_lock&) = delete;
  ~directory_lock() {
    if (fd_ >= 0) kernel::close(fd_);
  }
  [[nodiscard]] int code() const noexcept { return code_; }

private:
  int fd_ = -1;
  int code_ = 0;
};

int bind_name(int fd, const unix_address& at) noexcept {
  sockaddr_un name;
  const socklen_t size = to_kernel(at, name);
  return kernel::bind(fd, reinterpret_cast<sockaddr*>(&name), size) == 0 ? 0 : errno;
}

int type_of(int fd) noexcept {
  int type = SOCK_STREAM;
  socklen_t size = sizeof type;
  kernel::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
  return type;
}

// The hint says more than the remedy that every error of the kind has.
io_error binding_error(const unix_address& at, io_failure failure, int code, std::string_view hint = {}) noexcept {
  constexpr const char* doing = "binding a Unix socket";
  const io_error plain = io_error::from_errno(code, doing);
  if (failure == io_failure::other) failure = plain.failure();
  try {
    return {failure, code, lasting_text("binding the Unix socket ", at.to_string().append(hint), doing)};
  } catch (const std::bad_alloc&) {
    return {failure, code, doing};
  }
}

io_result<socket_file> bind_and_listen(int fd, const unix_bind_request& request) noexcept {
  const auto failed = [&request](int code) { return std::unexpected(binding_error(request.at, io_failure::other, code)); };
  const char* path = request.at.name().data();
  // What bind() makes has the socket's own mode, less the umask: never more than was asked for, not even for a moment.
  if (request.mode >= 0) ::fchmod(fd, static_cast<mode_t>(request.mode));
  int code = bind_name(fd, request.at);
  if (code == EADDRINUSE && request.at.is_path()) {
    if (!request.replace_stale || !is_stale(request.at, type_of(fd))) {
      return std::unexpected(unix_name_taken(request.at, request.replace_stale));
    }
    code = kernel::unlink(path) == 0 || errno == ENOENT ? bind_name(fd, request.at) : errno;
  }
  if (code != 0) return failed(code);
  socket_file made;
  if (request.at.is_path()) {
    struct stat status;
    if (kernel::lstat(path, &status) != 0) return failed(errno);
    made = {status.st_dev, status.st_ino};
    if (request.mode >= 0 && (status.st_mode & 07777) != static_cast<mode_t>(request.mode) &&
        ::chmod(path, static_cast<mode_t>(request.mode)) != 0) {
      code = errno;
    }
  }
  if (code == 0 && request.backlog >= 0 && kernel::listen(fd, request.backlog) != 0) code = errno;
  if (code == 0) return made;
  remove_socket_file(request.at, made);
  return failed(code);
}

}  // namespace

io_result<int> open_unix_socket(int type) noexcept {
  const int fd = kernel::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) return fd;
  return std::unexpected(io_error::from_errno(errno, "opening a Unix socket"));
}

io_error unix_binding_error(const unix_address& at, int code) noexcept { return binding_error(at, io_failure::other, code); }

io_error unix_name_taken(const unix_address& at, bool replaces) noexcept {
  if (!at.is_path()) return unix_binding_error(at, EADDRINUSE);
  return binding_error(at, io_failure::address_in_use, EADDRINUSE,
                       replaces ? " (the path is no socket, or its owner answers)"
                                : " (if its owner is gone, remove the file or set replace_stale)");
}

io_result<void> open_unix_pair(int type, int (&fds)[2]) noexcept {
  if (kernel::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0) return {};
  return std::unexpected(io_error::from_errno(errno, "making a pair of Unix sockets"));
}

io_result<void> check_unix_socket(int fd, int type) noexcept {
  constexpr const char* doing = "adopting a Unix socket";
  int family = 0;
  int own_type = 0;
  socklen_t size = sizeof family;
  const bool is_socket = kernel::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 &&
                         kernel::getsockopt(fd, SOL_SOCKET, SO_TYPE, &own_type, &size) == 0;
  if (!is_socket && errno != ENOTSOCK) return std::unexpected(io_error::from_errno(errno, doing));
  if (!is_socket || family != AF_UNIX || own_type != type) return std::unexpected(io_error{io_failure::invalid, ENOTSOCK, doing});
  return stop_blocking(fd);
}

io_result<socket_file> bind_unix_socket(int fd, const unix_bind_request& request) noexcept {
  if (!request.replace_stale || !request.at.is_path()) return bind_and_listen(fd, request);
  const directory_lock alone(request.at);
  if (alone.code() == EWOULDBLOCK) {
    return std::unexpected(binding_error(request.at, io_failure::address_in_use, EADDRINUSE,
                                         " (somebody holds a lock on its directory, and may be replacing it)"));
  }
  if (alone.code() != 0) return std::unexpected(binding_error(request.at, io_failure::other, alone.code()));
  return bind_and_listen(fd, request);
}

void remove_socket_file(const unix_address& at, const socket_file& made) noexcept {
  struct stat found;
  if (made.inode == 0 || kernel::lstat(at.name().data(), &found) != 0) return;
  if (found.st_dev == made.device && found.st_ino == made.inode) kernel::unlink(at.name().data());
}

io_result<void> connect_unix_socket(int fd, const unix_address& to) noexcept {
  sockaddr_un name;
  const socklen_t size = to_kernel(to, name);
  for (;;) {
    if (kernel::connect(fd, reinterpret_cast<sockaddr*>(&name), size) == 0) return {};
    // By an attempt that was interrupted when it was done: this one, or one after which the listener had no room left, which the
    // kernel says first.
    if (errno == EISCONN) return {};
    if (errno != EINTR) return std::unexpected(io_error::from_errno(errno, "connecting to a Unix socket"));
  }
}

io_result<int> accept_unix_socket(int fd) noexcept {
  constexpr const char* doing = "accepting";
  for (bool stopped = false;;) {
    const int peer = kernel::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer >= 0) return peer;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return std::unexpected(io_error::from_errno(errno, doing));
    if (stopped) return std::unexpected(io_error{io_failure::closed, 0, doing});
    // Of an empty queue the kernel says "not now", also when nobody can come any more. Then once more, for who came just before.
    pollfd seen{fd, POLLRDHUP, 0};
    while (kernel::poll(&seen, 1, 0) < 0 && errno == EINTR) {
    }
    stopped = seen.revents != 0;
    if (!stopped) return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
  }
}

// Unlike TCP's, such a socket keeps its queue.
void stop_listening(int fd) noexcept { kernel::shutdown(fd, SHUT_RD); }

io_result<void> end_unix_stream(int fd) noexcept {
  if (kernel::shutdown(fd, SHUT_WR) == 0) return {};
  return std::unexpected(io_error::from_errno(errno, "ending the stream"));
}

io_result<std::size_t> send_unix(int fd, std::span<const iovec> pieces, std::span<const int> descriptors, unix_sending how,
                                 const unix_address* to) noexcept {
  constexpr const char* doing = "writing to a Unix socket";
  if (descriptors.size() > descriptors_max) {
    return std::unexpected(io_error{io_failure::too_large, 0, "sending descriptors (at most 253 go with one message)"});
  }
  alignas(cmsghdr) char control[CMSG_SPACE(descriptors_max * sizeof(int))];
  sockaddr_un name;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  if (to != nullptr) {
    message.msg_namelen = to_kernel(*to, name);
    message.msg_name = &name;
  }
  if (!descriptors.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  for (;;) {
    constexpr int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const ssize_t sent =
        how == unix_sending::stream ? kernel::sendmsg(fd, &message, flags) : kernel::sendmsg_record(fd, &message, flags);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EINTR) continue;
    if (errno == ETOOMANYREFS) {
      return std::unexpected(
          io_error{io_failure::no_descriptors, ETOOMANYREFS, "sending descriptors (too many are under way and not received)"});
    }
    return std::unexpected(io_error::from_errno(errno, doing));
  }
}

io_result<unix_head> receive_unix(int fd, std::span<std::byte> into, std::span<int> descriptors, bool wants_sender) noexcept {
  constexpr const char* doing = "reading from a Unix socket";
  alignas(cmsghdr) char control[CMSG_SPACE(descriptors_max * sizeof(int))];
  const std::size_t room = std::min(descriptors.size(), descriptors_max);
  iovec piece{into.data(), into.size()};
  sockaddr_un name;
  msghdr message{};
  ssize_t got;
  do {
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_name = wants_sender ? &name : nullptr;
    message.msg_namelen = wants_sender ? sizeof name : 0;
    message.msg_control = room != 0 ? control : nullptr;
    // Exactly so many: CMSG_SPACE would leave room for one more after an odd number.
    message.msg_controllen = room != 0 ? CMSG_LEN(room * sizeof(int)) : 0;
    got = kernel::recvmsg_record(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return std::unexpected(io_error::from_errno(errno, doing));
  unix_head head;
  head.size = static_cast<std::size_t>(got);
  head.truncated = (message.msg_flags & MSG_TRUNC) != 0;
  if (wants_sender) head.from = from_kernel(name, message.msg_namelen);
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(&descriptors[head.descriptors], CMSG_DATA(each), count * sizeof(int));
    head.descriptors += count;
  }
  if ((message.msg_flags & MSG_CTRUNC) == 0) return head;
  if (room == 0) {
    head.has_dropped = true;
    return head;
  }
  for (const int each : descriptors.first(head.descriptors)) kernel::close(each);
  if (head.descriptors == room) {
    return std::unexpected(
        io_error{io_failure::too_large, 0, "receiving descriptors (more came than there is room for; all are closed)"});
  }
  return std::unexpected(io_error{io_failure::no_descriptors, EMFILE, "receiving descriptors (all are closed)"});
}

unix_address unix_local_name(int fd) noexcept {
  sockaddr_un name{};
  socklen_t size = sizeof name;
  return kernel::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0 ? from_kernel(name, size) : unix_address{};
}

unix_address unix_peer_name(int fd) noexcept {
  sockaddr_un name{};
  socklen_t size = sizeof name;
  return kernel::getpeername(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0 ? from_kernel(name, size) : unix_address{};
}

io_result<peer_identity> unix_peer_identity(int fd) noexcept {
  ucred who{};
  socklen_t size = sizeof who;
  if (kernel::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0) return peer_identity{who.pid, who.uid, who.gid};
  return std::unexpected(io_error::from_errno(errno, "asking who the peer is"));
}

void describe_unix_socket(int fd, char* text, std::size_t size) noexcept {
  unix_address name = unix_local_name(fd);
  if (name.is_empty()) name = unix_peer_name(fd);
  describe_unix_socket(fd, name, text, size);
}

void describe_unix_socket(int fd, const unix_address& name, char* text, std::size_t size) noexcept {
  const int head = std::snprintf(text, size, "fd %d%s%s", fd, name.is_empty() ? "" : " ", name.is_abstract() ? "@" : "");
  std::size_t at = static_cast<std::size_t>(head);
  for (const char each : name.name()) {  // a peer chose it: nothing that a terminal would obey
    if (at + 1 >= size) break;
    const auto byte = static_cast<unsigned char>(each);
    text[at++] = byte < 0x20 || byte == 0x7f ? '?' : each;
  }
  if (at < size) text[at] = '\0';
}

}  // namespace levity::detail
