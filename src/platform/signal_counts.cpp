#include "platform/signal_counts.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "base/system_mutex.hpp"
#include "levity/base/atomic.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr const char* doing = "subscribing to a signal";

// Constant-initialised: a handler may run at any time.
constinit atomic<std::uint64_t> counts[signals_max];
constinit atomic<unsigned> subscribers[signals_max];
constinit atomic<int> bell{-1};  // never closed
struct sigaction before[signals_max];  // guarded by the_lock()

system_mutex& the_lock() {
  static system_mutex* const instance = new system_mutex;
  return *instance;
}

void count_and_ring(int signal) noexcept {
  counts[signal].fetch_add(1, std::memory_order_release);  // E113 release.
  // Relaxed: it was set before the handler was installed, and before the subscription that who delivers has seen.
  kernel::ring_bell(bell.load(std::memory_order_relaxed));
}

extern "C" void levity_signal_handler(int signal) {
  const int saved = errno;
  count_and_ring(signal);
  errno = saved;
}

io_result<int> the_bell() noexcept {
  int fd = bell.load(std::memory_order_relaxed);
  if (fd >= 0) return fd;
  fd = kernel::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return std::unexpected(io_error::from_errno(errno, doing));
  bell.store(fd, std::memory_order_relaxed);
  return fd;
}

}  // namespace

bool can_be_caught(int signal) noexcept {
  switch (signal) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGSYS: return false;
    default: return signal > 0 && signal < signals_max;
  }
}

io_result<void> subscribe_signal(int signal) noexcept {
  if (!can_be_caught(signal)) return std::unexpected(io_error{io_failure::invalid, EINVAL, doing});
  const system_guard guard{the_lock()};
  if (const io_result<int> fd = the_bell(); !fd) return std::unexpected(fd.error());
  if (subscribers[signal].load(std::memory_order_relaxed) == 0) {
    struct sigaction handler {};
    handler.sa_handler = &levity_signal_handler;
    handler.sa_flags = SA_RESTART;
    ::sigfillset(&handler.sa_mask);
    if (::sigaction(signal, &handler, &before[signal]) != 0) {
      return std::unexpected(io_error{io_failure::invalid, errno, doing});
    }
  }
  subscribers[signal].fetch_add(1, std::memory_order_release);  // E395 release.
  return {};
}

void unsubscribe_signal(int signal) noexcept {
  const system_guard guard{the_lock()};
  if (subscribers[signal].fetch_sub(1, std::memory_order_relaxed) == 1) ::sigaction(signal, &before[signal], nullptr);
}

bool deliver_signal(int signal) noexcept {
  if (signal <= 0 || signal >= signals_max) return false;
  if (subscribers[signal].load(std::memory_order_acquire) == 0) return false;  // E395 acquire.
  count_and_ring(signal);
  return true;
}

std::uint64_t signal_count(int signal) noexcept {
  return counts[signal].load(std::memory_order_acquire);  // E113 acquire.
}

io_result<int> open_signal_bell() noexcept {
  const system_guard guard{the_lock()};
  const io_result<int> shared = the_bell();
  if (!shared) return shared;
  const int own = kernel::fcntl(*shared, F_DUPFD_CLOEXEC, 3);
  if (own < 0) return std::unexpected(io_error::from_errno(errno, doing));
  return own;
}

}  // namespace levity::detail
