#include "io/ring_thread.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

namespace levity::inline v0::detail {

// Interrupted, short of something at the moment, or cancelled, which nobody here ever asks for. After so many refusals it is told
// as it is.
bool goes_again(file_operation& operation, std::int32_t result) noexcept {
  constexpr std::uint8_t refusals_max = 100;
  if (result != -EINTR && result != -EAGAIN && result != -ECANCELED) return false;
  if (operation.what == file_operation::kind::close && result == -EINTR) return false;  // it has closed
  return ++operation.refusals <= refusals_max;
}

unsigned ring_thread::take(ring& on) noexcept {
  const unsigned count = inbox_.take([&on](file_operation& operation) { fill_entry(on.next_entry(), operation); });
  in_flight_.store(in_flight_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  return count;
}

void ring_thread::completed(ring& on, const completion& what) noexcept {
  auto& operation = *reinterpret_cast<file_operation*>(what.data);
  if (goes_again(operation, what.result)) {
    fill_entry(on.next_entry(), operation);
    return;
  }
  std::int32_t result = what.result;
  if (operation.durable && operation.written < 0 && result > 0) {  // a short one, too: the next one syncs its own bytes only
    // Not one write with RWF_DSYNC: of several at a time on a file the kernel then makes one after the other, each with its own
    // sync.
    operation.written = result;
    fill_entry(on.next_entry(), operation);
    return;
  }
  if (operation.written >= 0 && result == 0) result = operation.written;
  in_flight_.store(in_flight_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  complete_on_ring(operation, result);
}

void complete_on_ring(file_operation& operation, std::int32_t result) noexcept {
  const bool closed = operation.what == file_operation::kind::close && result == -EINTR;
  complete(operation, closed ? 0 : result);
}

void fill_entry(io_uring_sqe& entry, file_operation& operation) noexcept {
  switch (operation.what) {
    case file_operation::kind::open:
      io_uring_prep_openat(&entry, AT_FDCWD, operation.path, operation.flags | O_CLOEXEC, operation.mode);
      break;
    case file_operation::kind::read:
      io_uring_prep_read(&entry, operation.fd, operation.bytes, static_cast<unsigned>(operation.size), operation.offset);
      break;
    case file_operation::kind::write:
      if (operation.written >= 0) {
        io_uring_prep_fsync(&entry, operation.fd, IORING_FSYNC_DATASYNC);
      } else {
        io_uring_prep_write(&entry, operation.fd, operation.bytes, static_cast<unsigned>(operation.size), operation.offset);
      }
      break;
    case file_operation::kind::sync: io_uring_prep_fsync(&entry, operation.fd, 0); break;
    case file_operation::kind::sync_data: io_uring_prep_fsync(&entry, operation.fd, IORING_FSYNC_DATASYNC); break;
    case file_operation::kind::close: io_uring_prep_close(&entry, operation.fd); break;
    case file_operation::kind::rename:
      io_uring_prep_renameat(&entry, AT_FDCWD, operation.path, AT_FDCWD, operation.other_path, 0);
      break;
    case file_operation::kind::unlink: io_uring_prep_unlinkat(&entry, AT_FDCWD, operation.path, 0); break;
    case file_operation::kind::allocate:
      io_uring_prep_fallocate(&entry, operation.fd, operation.flags, static_cast<off_t>(operation.offset),
                              static_cast<off_t>(operation.size));
      break;
    case file_operation::kind::make_directory: io_uring_prep_mkdirat(&entry, AT_FDCWD, operation.path, operation.mode); break;
    case file_operation::kind::remove_directory: io_uring_prep_unlinkat(&entry, AT_FDCWD, operation.path, AT_REMOVEDIR); break;
    case file_operation::kind::link:
      io_uring_prep_linkat(&entry, AT_FDCWD, operation.path, AT_FDCWD, operation.other_path, 0);
      break;
    case file_operation::kind::symlink: io_uring_prep_symlinkat(&entry, operation.path, AT_FDCWD, operation.other_path); break;
    case file_operation::kind::status:
      io_uring_prep_statx(&entry, AT_FDCWD, operation.path, operation.flags, STATX_BASIC_STATS,
                          reinterpret_cast<struct statx*>(operation.bytes));
      break;
    case file_operation::kind::truncate:
    case file_operation::kind::list: io_uring_prep_nop(&entry); break;  // never come here: see file_service
  }
  io_uring_sqe_set_data64(&entry, reinterpret_cast<std::uint64_t>(&operation));
}

void ring_thread::submit(file_operation& operation) noexcept {
  inbox_.push(operation);
  host_.knock();
}

}  // namespace levity::detail
