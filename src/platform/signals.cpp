#include "platform/signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <stdexcept>

#include "levity/base/error.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {

void keep_sigpipe_out() noexcept {
  static constinit thread_local bool kept_out = false;
  if (kept_out) return;
  kept_out = true;
  sigset_t pipe_signal;
  ::sigemptyset(&pipe_signal);
  ::sigaddset(&pipe_signal, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);
}

signal_watch::signal_watch() {
  sigset_t watched;
  ::sigemptyset(&watched);
  ::sigaddset(&watched, SIGINT);
  ::sigaddset(&watched, SIGTERM);
  ::sigaddset(&watched, SIGQUIT);
  ::pthread_sigmask(SIG_BLOCK, &watched, &before_);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &pipe_before_);
  signal_fd_ = kernel::signalfd(-1, &watched, SFD_CLOEXEC);
  if (signal_fd_ >= 0) stop_fd_ = kernel::eventfd(0, EFD_CLOEXEC);
  if (signal_fd_ >= 0 && stop_fd_ >= 0) return;
  const io_error why = io_error::from_errno(errno, "watching for signals");
  restore();
  throw std::runtime_error("levity cannot start: " + why.message());
}

signal_watch::~signal_watch() { restore(); }

void signal_watch::restore() noexcept {
  if (signal_fd_ >= 0) kernel::close(signal_fd_);
  if (stop_fd_ >= 0) kernel::close(stop_fd_);
  ::sigaction(SIGPIPE, &pipe_before_, nullptr);
  if (::sigismember(&before_, SIGQUIT) == 0) {
    sigset_t quit;
    ::sigemptyset(&quit);
    ::sigaddset(&quit, SIGQUIT);
    const timespec at_once{};
    while (::sigtimedwait(&quit, nullptr, &at_once) == SIGQUIT) {
    }
  }
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

int signal_watch::wait() noexcept {
  pollfd watched[2] = {{signal_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  for (;;) {
    if (kernel::poll(watched, 2, -1) < 0) continue;
    if ((watched[1].revents & POLLIN) != 0) return stopped;
    signalfd_siginfo info;
    if (kernel::read_record(signal_fd_, &info, sizeof info) == sizeof info) return static_cast<int>(info.ssi_signo);
  }
}

void signal_watch::resume() noexcept {
  std::uint64_t rings;
  (void)kernel::read_record(stop_fd_, &rings, sizeof rings);
}

void signal_watch::stop() noexcept {
  kernel::ring_bell(stop_fd_);
}

}  // namespace levity::detail
