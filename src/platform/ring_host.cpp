#include "platform/ring_host.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "levity/base/clock.hpp"
#include "platform/futex.hpp"
#include "platform/syscall.hpp"
#include "platform/thread.hpp"

namespace levity::inline v0::detail {

ring_host::~ring_host() {
  stop();
  if (bell_fd_ >= 0) kernel::close(bell_fd_);
}

void ring_host::stop() noexcept {
  if (!thread_.joinable()) return;
  stop_.store(true, std::memory_order_relaxed);
  bell();
  thread_.join();
}

io_result<void> ring_host::start(unsigned entries) noexcept {
  bell_fd_ = kernel::eventfd(0, EFD_CLOEXEC);
  if (bell_fd_ < 0) return std::unexpected(io_error::from_errno(errno, "creating the ring thread's doorbell"));
  io_result<void> started;
  atomic<std::uint32_t> told{0};
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = start_thread("levity ring", [this, entries, &started, &told] { run(entries, started, told); });
  } catch (const std::system_error& refused) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return std::unexpected(io_error::from_errno(refused.code().value(), "starting the ring thread"));
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // E77 acquire: `started`.
  while (told.load(std::memory_order_acquire) == 0) futex_wait(reinterpret_cast<const std::uint32_t*>(&told), 0);
  if (!started) thread_.join();
  return started;
}

void ring_host::run(unsigned entries, io_result<void>& started, atomic<std::uint32_t>& told) noexcept {
  started = ring_.open(entries);
  if (started) started = guest_.opened(ring_);
  const bool serves = started.has_value();
  if (!serves) ring_.close();
  const auto* word = reinterpret_cast<const std::uint32_t*>(&told);
  told.store(1, std::memory_order_release);  // E77 release. Both may be gone from here on.
  futex_wake_one(word);
  if (!serves) return;
  serve();
  ring_.close();
  guest_.ended();
}

void ring_host::serve() noexcept {
  arm_bell();
  for (;;) {
    if (guest_.take(ring_) == 0) {
      if (stop_.load(std::memory_order_relaxed) && guest_.may_end(ring_)) return;
      asleep_.store(true, std::memory_order_relaxed);
      full_fence();  // E76.
      if (!guest_.has_more()) {
        sleeps_.store(sleeps_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        const std::int64_t due_ns = guest_.due_ns();
        ring_.submit_and_wait(due_ns == ring::for_ever_ns ? due_ns : std::max<std::int64_t>(due_ns - kernel_now_ns(), 1));
      }
      asleep_.store(false, std::memory_order_relaxed);
    } else {
      ring_.submit();
    }
    ring_.reap([this](const completion& what) {
      if (what.data != bell_mark) return guest_.completed(ring_, what);
      if (what.result >= 0 || !stop_.load(std::memory_order_relaxed)) arm_bell();
    });
    guest_.settled(ring_);
  }
}

void ring_host::arm_bell() noexcept {
  io_uring_sqe& entry = ring_.next_entry();
  io_uring_prep_read(&entry, bell_fd_, &bell_value_, sizeof bell_value_, 0);
  io_uring_sqe_set_data64(&entry, bell_mark);
}

void ring_host::bell() noexcept { kernel::ring_bell(bell_fd_); }

void ring_host::knock() noexcept {
  full_fence();  // E76.
  if (asleep_.load(std::memory_order_relaxed)) bell();
}

const char* cause_of_ring_refusal(int code) noexcept {
  switch (code) {
    case EPERM:
    case EACCES: return "EPERM: a seccomp profile or kernel.io_uring_disabled forbids it";
    case ENOSYS: return "ENOSYS: this kernel or sandbox has none";
    case ENOMEM: return "ENOMEM: the limit of locked memory is too low, see `ulimit -l`";
    case EINVAL: return "EINVAL: this kernel's is too old";
    default: return nullptr;
  }
}

}  // namespace levity::detail
