#include "io/ring_thread.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "platform/futex.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0::detail {
namespace {

constexpr std::uint64_t bell_mark = 0;  // user data of the doorbell; operations have their address

}  // namespace

ring_thread::~ring_thread() {
  if (thread_.joinable()) {
    stop_.store(true, std::memory_order_relaxed);
    bell();
    thread_.join();
  }
  if (bell_fd_ >= 0) kernel::close(bell_fd_);
}

io_result<void> ring_thread::start() noexcept {
  bell_fd_ = kernel::eventfd(0, EFD_CLOEXEC);
  if (bell_fd_ < 0) return std::unexpected(io_error::from_errno(errno, "creating the ring thread's doorbell"));
  io_result<void> started;
  atomic<std::uint32_t> told{0};
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this, &started, &told] { run(started, told); });
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

void ring_thread::run(io_result<void>& started, atomic<std::uint32_t>& told) noexcept {
  started = ring_.open(entries);
  const bool serves = started.has_value();
  const auto* word = reinterpret_cast<const std::uint32_t*>(&told);
  told.store(1, std::memory_order_release);  // E77 release. Both may be gone from here on.
  futex_wake_one(word);
  if (serves) serve();
}

void ring_thread::serve() noexcept {
  arm_bell();
  for (;;) {
    if (drain() == 0) {
      if (stop_.load(std::memory_order_relaxed) && in_flight_ == 0) return;
      asleep_.store(true, std::memory_order_relaxed);
      full_fence();  // E76.
      if (inbox_.load(std::memory_order_relaxed) == nullptr) {
        sleeps_.store(sleeps_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        ring_.submit_and_wait();
      }
      asleep_.store(false, std::memory_order_relaxed);
    } else {
      ring_.submit();
    }
    ring_.reap([this](std::uint64_t data, std::int32_t result) {
      if (data == bell_mark) {
        arm_bell();
        return;
      }
      auto& operation = *reinterpret_cast<file_operation*>(data);
      if (result == -EINTR || result == -EAGAIN) {
        queue(operation);
        return;
      }
      in_flight_--;
      complete(operation, result);
    });
  }
}

// Queues what workers handed over, oldest first.
unsigned ring_thread::drain() noexcept {
  file_operation* newest = inbox_.exchange(nullptr, std::memory_order_acquire);  // E75 acquire.
  file_operation* oldest = nullptr;
  while (newest != nullptr) {
    file_operation* older = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = older;
  }
  unsigned count = 0;
  while (oldest != nullptr) {
    file_operation* next = oldest->next;
    queue(*oldest);
    in_flight_++;
    count++;
    oldest = next;
  }
  return count;
}

void ring_thread::queue(file_operation& operation) noexcept {
  io_uring_sqe& entry = ring_.next_entry();
  switch (operation.what) {
    case file_operation::kind::open:
      io_uring_prep_openat(&entry, AT_FDCWD, operation.path, operation.flags | O_CLOEXEC, operation.mode);
      break;
    case file_operation::kind::read:
      io_uring_prep_read(&entry, operation.fd, operation.bytes, operation.size, operation.offset);
      break;
    case file_operation::kind::write:
      io_uring_prep_write(&entry, operation.fd, operation.bytes, operation.size, operation.offset);
      break;
    case file_operation::kind::sync: io_uring_prep_fsync(&entry, operation.fd, 0); break;
    case file_operation::kind::sync_data: io_uring_prep_fsync(&entry, operation.fd, IORING_FSYNC_DATASYNC); break;
    case file_operation::kind::close: io_uring_prep_close(&entry, operation.fd); break;
    case file_operation::kind::rename:
      io_uring_prep_renameat(&entry, AT_FDCWD, operation.path, AT_FDCWD, operation.other_path, 0);
      break;
    case file_operation::kind::unlink: io_uring_prep_unlinkat(&entry, AT_FDCWD, operation.path, 0); break;
    case file_operation::kind::truncate: io_uring_prep_nop(&entry); break;  // never comes here: see file_service
  }
  io_uring_sqe_set_data64(&entry, reinterpret_cast<std::uint64_t>(&operation));
}

void ring_thread::arm_bell() noexcept {
  io_uring_sqe& entry = ring_.next_entry();
  io_uring_prep_read(&entry, bell_fd_, &bell_value_, sizeof bell_value_, 0);
  io_uring_sqe_set_data64(&entry, bell_mark);
}

void ring_thread::bell() noexcept {
  kernel::ring_bell(bell_fd_);
}

void ring_thread::submit(file_operation& operation) noexcept {
  file_operation* head = inbox_.load(std::memory_order_relaxed);
  do {
    operation.next = head;
  } while (!inbox_.compare_exchange_weak(head, &operation, std::memory_order_release,  // E75 release.
                                         std::memory_order_relaxed));
  // From here on the operation may be complete and gone.
  full_fence();  // E76.
  if (asleep_.load(std::memory_order_relaxed)) bell();
}

}  // namespace levity::detail
