#include "io/ring_thread.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "io/sync_queue.hpp"

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
  return inbox_.take([this, &on](file_operation& operation) { begin(on, operation); });
}

// A sync waits until it is its turn; then whoever ends the one before it sends it here, or to where that was made.
void ring_thread::begin(ring& on, file_operation& operation) noexcept {
  if (!operation.is_sync()) return enter(on, operation);
  switch (operation.syncs->begin(operation)) {
    case sync_queue::turn::now: return enter(on, operation);
    case sync_queue::turn::later: return;
    case sync_queue::turn::never: return complete(operation, -operation.syncs->failure());
  }
}

void ring_thread::enter(ring& on, file_operation& operation) noexcept {
  fill_entry(on.next_entry(), operation);
  in_flight_.store(in_flight_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void ring_thread::completed(ring& on, const completion& what) noexcept {
  auto& operation = *reinterpret_cast<file_operation*>(what.data);
  in_flight_.store(in_flight_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  if (goes_again(operation, what.result)) return enter(on, operation);
  if (operation.syncs == nullptr) return complete_on_ring(operation, what.result);
  if (!operation.is_sync() && what.result > 0) {  // a short one, too: the next one syncs its own bytes only
    // Not one write with RWF_DSYNC: of several at a time on a file the kernel then makes one after the other, each with its own
    // sync.
    operation.written = what.result;
    return begin(on, operation);
  }
  if (!operation.leads) {
    operation.syncs->fail(what.result);
    return complete(operation, what.result);
  }
  const sync_queue::outcome ended = operation.syncs->end(operation, what.result);
  if (ended.leader != nullptr) enter(on, *ended.leader);
  complete(operation, operation.result);
  complete_all(ended.served);
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
        // Tried without waiting, as by default, some file systems (XFS, btrfs) write what they can, and the rest is made by another
        // attempt: an append of somebody else may come between the two.
        if ((operation.flags & O_APPEND) != 0) io_uring_sqe_set_flags(&entry, IOSQE_ASYNC);
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
