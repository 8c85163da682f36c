#pragma once

// kernel: the calls into the kernel that I/O depends on, each by its own name. No other file of the house makes one directly.
//
// Why: what the kernel does on a bad day (a call interrupted, a transfer cut short, no descriptor, no memory) must be done to
// the code that users get, by the tests, at will. So every call asks first whether a plan of faults (platform/fault_plan.hpp)
// concerns it. Without a plan that is one relaxed load of a word that nobody writes and a branch that is never taken.
//
//   a function here    means what the system call means: returns -1 and sets errno. It retries nothing: whoever calls decides.
//   _record            of what moves whole or not at all (the eight bytes of an event descriptor): a plan cuts it nowhere
//
// A call that cannot fail in a way anybody acts on (getsockname for a log line) passes through all the same: who adds a call
// later finds its place here, and `./dev tidy` refuses it elsewhere.
//
// Rejected: interposing on the C library's symbols (the tests would run another binary than users do, and io_uring has no
// symbols); a virtual interface (an indirect call for each read, and nobody but the tests would ever implement it).

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "levity/base/atomic.hpp"

#ifdef LEVITY_MODEL
#include "platform/explored_calls.hpp"
#endif

namespace levity::inline v0::detail::kernel {

/// What a plan can name, in the order of fault_plan's table. The last three are io_uring's: setting one up, entering the kernel
/// with it, and an operation on it. `thread` is a new one: platform/thread.hpp.
enum class call : std::uint8_t {
  read, write, bell, readv, writev, recv, send, recvmsg, sendmsg, recvmmsg, sendmmsg, accept, connect, socket, bind, listen,
  getsockopt, setsockopt, getsockname, getpeername, shutdown, close, epoll_create, epoll_ctl, epoll_wait, poll, eventfd,
  timerfd, signalfd, open, pread, pwrite, preadv2, fsync, truncate, stat, rename, unlink, pipe, fcntl, flock, splice, sendfile,
  mmap, munmap, madvise, mbind, pidfd, waitid, cachestat, inotify, thread, ring_setup, ring_enter, ring_operation, count,
};
static_assert(static_cast<int>(call::count) <= 64, "a call is a bit of a word");

/// The name in a plan's text.
const char* name_of(call which) noexcept;

/// The calls that the installed plan concerns, a bit each; 0 in an ordinary run.
extern constinit atomic<std::uint64_t> planned_calls;

[[nodiscard]] inline bool is_planned(call which) noexcept {
  // Relaxed: what a plan consists of is atomic itself.
  const std::uint64_t planned = planned_calls.load(std::memory_order_relaxed);
  return (planned >> static_cast<unsigned>(which) & 1) != 0;
}

// ---- what a plan does; src/platform/fault_plan.cpp ---------------------------------------------------------------------

// True: the call is not made and fails; errno says how. Otherwise it may move less: `size`, in bytes or items, has shrunk.
[[nodiscard]] bool struck(call which, int fd, std::size_t& size) noexcept;
ssize_t planned_vector(call which, int fd, const iovec* pieces, int count, off_t offset, int flags) noexcept;
ssize_t planned_message(call which, int fd, const msghdr* message, int flags) noexcept;
ssize_t planned_splice(int from, loff_t* from_offset, int to, loff_t* to_offset, std::size_t size, unsigned flags) noexcept;
int planned_epoll_ctl(int epoll_fd, int what, int fd, epoll_event* event) noexcept;
int planned_connect(int fd, const sockaddr* to, socklen_t size) noexcept;
int planned_close(int fd) noexcept;
unsigned planned_entries(bool completions, unsigned wanted) noexcept;
void note_overflow() noexcept;

[[nodiscard]] inline bool strikes(call which, int fd, std::size_t& size) noexcept {
  if (!is_planned(which)) [[likely]] return false;
  std::size_t less = size;  // so that `size` itself stays in a register
  const bool fails = struck(which, fd, less);
  size = less;
  return fails;
}
[[nodiscard]] inline bool strikes(call which, int fd = -1) noexcept {
  std::size_t whole = 0;
  return is_planned(which) && struck(which, fd, whole);
}

// ---- the way into the kernel ---------------------------------------------------------------------------------------------

// The C library makes blocking calls points where a thread can be cancelled: in a process of several threads that is two locked
// instructions around each of them, 2 % of an echoed request. Nothing of levity is cancelled that way, so the calls of each request
// go without. Sanitizers know them by the functions of the library, and so does what is preloaded in front of it: a build for those
// says LEVITY_LIBC_CALLS.
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define LEVITY_LIBC_CALLS 1
#endif
#endif
#if defined(LEVITY_TSAN) || defined(LEVITY_ASAN) || defined(LEVITY_LIBC_CALLS)
#define LEVITY_DIRECT(name, ...) ::name(__VA_ARGS__)
#else
#define LEVITY_DIRECT(name, ...) ::syscall(SYS_##name, __VA_ARGS__)
#endif

// ---- bytes ---------------------------------------------------------------------------------------------------------------

inline ssize_t read(int fd, void* into, std::size_t size) noexcept {
  return strikes(call::read, fd, size) ? -1 : LEVITY_DIRECT(read, fd, into, size);
}
inline ssize_t write(int fd, const void* from, std::size_t size) noexcept {
  return strikes(call::write, fd, size) ? -1 : LEVITY_DIRECT(write, fd, from, size);
}
inline ssize_t read_record(int fd, void* into, std::size_t size) noexcept {
  return strikes(call::bell) ? -1 : ::read(fd, into, size);
}
inline ssize_t write_record(int fd, const void* from, std::size_t size) noexcept {
  return strikes(call::bell) ? -1 : ::write(fd, from, size);
}
inline ssize_t readv(int fd, const iovec* pieces, int count) noexcept {
  return is_planned(call::readv) ? planned_vector(call::readv, fd, pieces, count, 0, 0) : ::readv(fd, pieces, count);
}
inline ssize_t writev(int fd, const iovec* pieces, int count) noexcept {
  return is_planned(call::writev) ? planned_vector(call::writev, fd, pieces, count, 0, 0) : ::writev(fd, pieces, count);
}
inline ssize_t pread(int fd, void* into, std::size_t size, off_t offset) noexcept {
  return strikes(call::pread, fd, size) ? -1 : ::pread(fd, into, size, offset);
}
inline ssize_t pwrite(int fd, const void* from, std::size_t size, off_t offset) noexcept {
  return strikes(call::pwrite, fd, size) ? -1 : ::pwrite(fd, from, size, offset);
}
inline ssize_t preadv2(int fd, const iovec* pieces, int count, off_t offset, int flags) noexcept {
  return is_planned(call::preadv2) ? planned_vector(call::preadv2, fd, pieces, count, offset, flags)
                                   : ::preadv2(fd, pieces, count, offset, flags);
}
inline ssize_t splice(int from, loff_t* from_offset, int to, loff_t* to_offset, std::size_t size, unsigned flags) noexcept {
  return is_planned(call::splice) ? planned_splice(from, from_offset, to, to_offset, size, flags)
                                  : ::splice(from, from_offset, to, to_offset, size, flags);
}
inline ssize_t sendfile(int to, int from, off_t* offset, std::size_t size) noexcept {
  return strikes(call::sendfile, to, size) ? -1 : ::sendfile(to, from, offset, size);
}

// ---- sockets -------------------------------------------------------------------------------------------------------------

inline int socket(int family, int type, int protocol) noexcept {
  return strikes(call::socket) ? -1 : ::socket(family, type, protocol);
}
inline int socketpair(int family, int type, int protocol, int (&fds)[2]) noexcept {
  return strikes(call::socket) ? -1 : ::socketpair(family, type, protocol, fds);
}
inline int bind(int fd, const sockaddr* at, socklen_t size) noexcept { return strikes(call::bind) ? -1 : ::bind(fd, at, size); }
inline int listen(int fd, int backlog) noexcept { return strikes(call::listen) ? -1 : ::listen(fd, backlog); }
inline int accept4(int fd, sockaddr* from, socklen_t* size, int flags) noexcept {
  return strikes(call::accept, fd) ? -1 : ::accept4(fd, from, size, flags);
}
inline int connect(int fd, const sockaddr* to, socklen_t size) noexcept {
  return is_planned(call::connect) ? planned_connect(fd, to, size) : ::connect(fd, to, size);
}
inline int shutdown(int fd, int how) noexcept { return strikes(call::shutdown) ? -1 : ::shutdown(fd, how); }
inline ssize_t recv(int fd, void* into, std::size_t size, int flags) noexcept {
  return strikes(call::recv, fd, size) ? -1 : ::recv(fd, into, size, flags);
}
inline ssize_t send(int fd, const void* from, std::size_t size, int flags) noexcept {
  return strikes(call::send, fd, size) ? -1 : LEVITY_DIRECT(sendto, fd, from, size, flags, nullptr, 0);
}
/// Of a stream: may move less.
inline ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
  return is_planned(call::sendmsg) ? planned_message(call::sendmsg, fd, message, flags)
                                   : LEVITY_DIRECT(sendmsg, fd, message, flags);
}
/// Of a stream, into one piece: may move less.
inline ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
  return strikes(call::recv, fd, message->msg_iov->iov_len) ? -1 : LEVITY_DIRECT(recvmsg, fd, message, flags);
}
/// Of datagrams.
inline ssize_t sendmsg_record(int fd, const msghdr* message, int flags) noexcept {
  return strikes(call::sendmsg, fd) ? -1 : ::sendmsg(fd, message, flags);
}
inline ssize_t recvmsg_record(int fd, msghdr* message, int flags) noexcept {
  return strikes(call::recvmsg, fd) ? -1 : ::recvmsg(fd, message, flags);
}
inline int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept {
  std::size_t most = count;
  return strikes(call::sendmmsg, fd, most) ? -1 : ::sendmmsg(fd, messages, static_cast<unsigned>(most), flags);
}
inline int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept {
  std::size_t most = count;
  return strikes(call::recvmmsg, fd, most) ? -1 : ::recvmmsg(fd, messages, static_cast<unsigned>(most), flags, nullptr);
}
inline int getsockopt(int fd, int level, int option, void* value, socklen_t* size) noexcept {
  return strikes(call::getsockopt) ? -1 : ::getsockopt(fd, level, option, value, size);
}
inline int setsockopt(int fd, int level, int option, const void* value, socklen_t size) noexcept {
  return strikes(call::setsockopt) ? -1 : ::setsockopt(fd, level, option, value, size);
}
inline int getsockname(int fd, sockaddr* at, socklen_t* size) noexcept {
  return strikes(call::getsockname) ? -1 : ::getsockname(fd, at, size);
}
inline int getpeername(int fd, sockaddr* at, socklen_t* size) noexcept {
  return strikes(call::getpeername) ? -1 : ::getpeername(fd, at, size);
}

// ---- events --------------------------------------------------------------------------------------------------------------

inline int epoll_create1(int flags) noexcept { return strikes(call::epoll_create) ? -1 : ::epoll_create1(flags); }
inline int epoll_ctl(int epoll_fd, int what, int fd, epoll_event* event) noexcept {
  return is_planned(call::epoll_ctl) ? planned_epoll_ctl(epoll_fd, what, fd, event) : ::epoll_ctl(epoll_fd, what, fd, event);
}
inline int epoll_wait(int epoll_fd, epoll_event* events, int count, int timeout_ms) noexcept {
  auto most = static_cast<std::size_t>(count);
  return strikes(call::epoll_wait, -1, most) ? -1 : ::epoll_wait(epoll_fd, events, static_cast<int>(most), timeout_ms);
}
#if defined(LEVITY_TSAN) && !defined(__clang__)
// The thread sanitizer of g++ 12 does not know it, and takes what epoll_ctl has published for a race: as on a kernel without it.
inline int epoll_pwait2(int, epoll_event*, int, const timespec*) noexcept {
  errno = ENOSYS;
  return -1;
}
#else
inline int epoll_pwait2(int epoll_fd, epoll_event* events, int count, const timespec* timeout) noexcept {
  auto most = static_cast<std::size_t>(count);
  return strikes(call::epoll_wait, -1, most) ? -1
                                             : ::epoll_pwait2(epoll_fd, events, static_cast<int>(most), timeout, nullptr);
}
#endif
inline int poll(pollfd* watched, nfds_t count, int timeout_ms) noexcept {
  return strikes(call::poll) ? -1 : ::poll(watched, count, timeout_ms);
}
inline int ppoll(pollfd* watched, nfds_t count, const timespec* timeout) noexcept {
  return strikes(call::poll) ? -1 : ::ppoll(watched, count, timeout, nullptr);
}
inline int eventfd(unsigned value, int flags) noexcept { return strikes(call::eventfd) ? -1 : ::eventfd(value, flags); }
inline int timerfd_create(int clock, int flags) noexcept {
  return strikes(call::timerfd) ? -1 : ::timerfd_create(clock, flags);
}
inline int timerfd_settime(int fd, int flags, const itimerspec* when) noexcept {
  return ::timerfd_settime(fd, flags, when, nullptr);  // fails for wrong arguments only
}
inline int signalfd(int fd, const sigset_t* signals, int flags) noexcept {
  return strikes(call::signalfd) ? -1 : ::signalfd(fd, signals, flags);
}
inline int inotify_init1(int flags) noexcept { return strikes(call::inotify) ? -1 : ::inotify_init1(flags); }
inline int inotify_add_watch(int fd, const char* path, std::uint32_t events) noexcept {
  return strikes(call::inotify, fd) ? -1 : ::inotify_add_watch(fd, path, events);
}
inline int inotify_rm_watch(int fd, int watch) noexcept { return ::inotify_rm_watch(fd, watch); }  // fails for wrong arguments only

/// Adds one to an event descriptor, which then is readable. Any thread; a signal handler too.
inline void ring_bell(int event_fd) noexcept {
#ifdef LEVITY_MODEL
  if (explored_calls* const by = explored_calls::here(); by != nullptr) return by->ring_bell(event_fd);
#endif
  const std::uint64_t one = 1;
  while (write_record(event_fd, &one, sizeof one) < 0 && errno == EINTR) {  // EAGAIN: it has rung often enough
  }
}

// ---- descriptors and files -----------------------------------------------------------------------------------------------

inline int open(const char* path, int flags, mode_t mode = 0) noexcept {
  return strikes(call::open) ? -1 : ::open(path, flags, mode);
}
/// The descriptor is gone, whatever it says.
inline int close(int fd) noexcept { return is_planned(call::close) ? planned_close(fd) : ::close(fd); }
inline int fcntl(int fd, int command, int argument = 0) noexcept {
  // What takes a new descriptor may find none; the rest fails for wrong arguments only.
  return command == F_DUPFD_CLOEXEC && strikes(call::fcntl) ? -1 : ::fcntl(fd, command, argument);
}
/// Without waiting.
inline int flock(int fd, int what) noexcept { return strikes(call::flock) ? -1 : ::flock(fd, what); }
inline int pipe2(int (&fds)[2], int flags) noexcept { return strikes(call::pipe) ? -1 : ::pipe2(fds, flags); }
inline int fsync(int fd) noexcept { return strikes(call::fsync) ? -1 : ::fsync(fd); }
inline int fdatasync(int fd) noexcept { return strikes(call::fsync) ? -1 : ::fdatasync(fd); }
inline int ftruncate(int fd, off_t size) noexcept { return strikes(call::truncate) ? -1 : ::ftruncate(fd, size); }
inline int fstat(int fd, struct stat* status) noexcept { return strikes(call::stat) ? -1 : ::fstat(fd, status); }
inline int stat(const char* path, struct stat* status) noexcept { return strikes(call::stat) ? -1 : ::stat(path, status); }
inline int lstat(const char* path, struct stat* status) noexcept { return strikes(call::stat) ? -1 : ::lstat(path, status); }
inline int statx(int folder, const char* path, int flags, unsigned wanted, struct statx* status) noexcept {
  return strikes(call::stat) ? -1 : ::statx(folder, path, flags, wanted, status);
}
inline ssize_t getdents64(int fd, void* into, std::size_t size) noexcept {
  return strikes(call::stat) ? -1 : ::getdents64(fd, into, size);
}
inline int fallocate(int fd, int mode, off_t offset, off_t size) noexcept {
  return strikes(call::truncate) ? -1 : ::fallocate(fd, mode, offset, size);
}
inline int mkdir(const char* path, mode_t mode) noexcept { return strikes(call::rename) ? -1 : ::mkdir(path, mode); }
inline int rmdir(const char* path) noexcept { return strikes(call::unlink) ? -1 : ::rmdir(path); }
inline int link(const char* existing, const char* made) noexcept {
  return strikes(call::rename) ? -1 : ::link(existing, made);
}
inline int symlink(const char* target, const char* made) noexcept {
  return strikes(call::rename) ? -1 : ::symlink(target, made);
}
inline int rename(const char* from, const char* to) noexcept { return strikes(call::rename) ? -1 : ::rename(from, to); }
inline int unlink(const char* path) noexcept { return strikes(call::unlink) ? -1 : ::unlink(path); }

// linux/mman.h, since 6.5; the headers may be older than the kernel.
struct cachestat_range {
  std::uint64_t offset;
  std::uint64_t size;
};
struct cachestat_answer {
  std::uint64_t pages_cached;
  std::uint64_t pages_dirty;
  std::uint64_t pages_in_writeback;
  std::uint64_t pages_evicted;
  std::uint64_t pages_recently_evicted;
};
inline int cachestat(int fd, cachestat_range* range, cachestat_answer* answer) noexcept {
  constexpr long number = 451;
  return strikes(call::cachestat) ? -1 : static_cast<int>(::syscall(number, fd, range, answer, 0));
}

// ---- processes -----------------------------------------------------------------------------------------------------------

inline int pidfd_open(pid_t pid) noexcept {
  return strikes(call::pidfd) ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}
inline int pidfd_send_signal(int pidfd, int signal) noexcept {
  return strikes(call::pidfd) ? -1 : static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}
inline int waitid(idtype_t of, id_t id, siginfo_t* told, int options) noexcept {
  return strikes(call::waitid) ? -1 : ::waitid(of, id, told, options);
}

// ---- memory --------------------------------------------------------------------------------------------------------------

inline void* mmap(void* at, std::size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  return strikes(call::mmap) ? MAP_FAILED : ::mmap(at, bytes, protection, flags, fd, offset);
}
inline int munmap(void* pages, std::size_t bytes) noexcept { return strikes(call::munmap) ? -1 : ::munmap(pages, bytes); }
inline int madvise(void* pages, std::size_t bytes, int advice) noexcept {
  return strikes(call::madvise) ? -1 : ::madvise(pages, bytes, advice);
}
inline int mbind(void* pages, std::size_t bytes, int mode, const unsigned long* nodes, unsigned long bits, unsigned how) noexcept {
  return strikes(call::mbind) ? -1 : static_cast<int>(::syscall(SYS_mbind, pages, bytes, mode, nodes, bits, how));
}

// ---- io_uring: what platform/ring asks -----------------------------------------------------------------------------------

/// How many submissions, completions, or buffers of a buffer ring are really asked for; `wanted` unless a plan says otherwise.
inline unsigned ring_entries(unsigned wanted) noexcept {
  return is_planned(call::ring_setup) ? planned_entries(true, wanted) : wanted;
}
inline unsigned buffer_entries(unsigned wanted) noexcept {
  return is_planned(call::ring_setup) ? planned_entries(false, wanted) : wanted;
}

// Before the kernel sees an io_uring_sqe, and when its completion has come; for calls of platform/ring under a plan.
void strike_submission(void* entry) noexcept;
void restore_completion(std::uint64_t& user_data, std::int32_t& result) noexcept;

#undef LEVITY_DIRECT

}  // namespace levity::detail::kernel
