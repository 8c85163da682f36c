#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "levity/base/error.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/detail/promise.hpp"

struct statx;

namespace levity::inline v0::detail {

class sync_queue;

/// One operation on a file, and who waits for it; a job, where threads carry it out. Lives in the awaiter; whoever carries it out
/// owns it from submit to complete.
struct file_operation : blocking_job {
  enum class kind : std::uint8_t {
    open, read, write, sync, sync_data, truncate, close, rename, unlink,
    allocate, make_directory, remove_directory, link, symlink, status, list
  };

  file_operation* after = nullptr;  // in the ring thread's list, or in the queue
  task_record* task = nullptr;     // null: nobody waits, the carrier frees it
  const char* path = nullptr;
  const char* other_path = nullptr;
  std::byte* bytes = nullptr;  // status: a struct statx
  std::uint64_t offset = 0;    // truncate: the size
  std::uint64_t size = 0;
  std::int32_t fd = -1;
  std::int32_t flags = 0;  // open, allocate, status; write: O_APPEND, as the file was opened
  std::uint32_t mode = 0;
  kind what = kind::sync;
  bool direct = false;        // a read past the page cache: the kernel copies nothing when it completes
  bool leads = false;         // the one sync of its queue that is being made is this operation's
  std::uint8_t refusals = 0;  // how often a ring did not carry it out for no reason of its own
  std::int32_t written = -1;  // a durable write: so much, and the sync is what is left of it; -1: nothing yet
  sync_queue* syncs = nullptr;  // of the open file: for a sync, and for a write that is over when it is on the disk; else null
  std::int64_t result = 0;  // as the kernel's: a count or descriptor, or a negative errno

  /// What is left of it is a sync.
  [[nodiscard]] bool is_sync() const noexcept { return syncs != nullptr && (what != kind::write || written >= 0); }
};

/// Who carries file operations out. submit() from any thread of the runtime; the operation completes exactly once.
struct file_backend {
  virtual void submit(file_operation& operation) noexcept = 0;

  // What is asked of an open file at once, without a wait; any thread. The kernel answers where nobody else does. A count, 0 or a
  // negative errno.
  /// What an operation comes to that is made in place, in no time; it has no task and does not complete.
  virtual std::int64_t perform_now(const file_operation& operation) noexcept;
  /// Bytes in the file.
  virtual std::int64_t size_of(std::int32_t fd) noexcept;
  /// The members of a struct statx that `wanted` names.
  virtual std::int64_t status_of(std::int32_t fd, unsigned wanted, struct statx& into) noexcept;
  /// Locks the file for this descriptor until it is closed: flock(2), exclusive.
  virtual std::int64_t try_lock(std::int32_t fd) noexcept;

protected:
  ~file_backend() = default;
};

/// Carries out on the calling thread what comes next of an operation, of a durable write the write or the sync; returns what the
/// kernel says.
std::int64_t perform(const file_operation& operation) noexcept;

/// Carries an operation out on the calling thread, and completes it; with it the syncs that fall to it.
void carry_out(file_operation& operation) noexcept;

/// The carrier is done: wakes who waits, or frees what nobody waits for.
void complete(file_operation& operation, std::int64_t result) noexcept;

/// Waits for one operation.
class file_wait : public waiter {
public:
  bool await_ready() const noexcept { return operation_.fd == closed; }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    return suspend(frame, running_task());
  }

  static constexpr std::int32_t closed = -1;
  static constexpr std::int32_t by_path = -100;  // AT_FDCWD

protected:
  file_wait(file_operation::kind what, std::int32_t fd) noexcept;

  file_operation operation_;

private:
  bool suspend(std::coroutine_handle<> frame, task_record& record) noexcept;
  bool read_cached() noexcept;
  void advance(std::uint64_t moved) noexcept;
  static bool never_taken_back(waiter& self, task_record& record) noexcept;
  static bool settle(waiter& self, task_record& record) noexcept;
  static void describe(const waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reasons_[];

  std::uint64_t moved_ = 0;
  std::uint64_t left_ = 0;
  bool tries_cache_ = false;  // a read that has not yet looked whether the page cache holds what it wants
  friend class file_transfer;
};

/// An operation that succeeds or fails.
class file_action : public file_wait {
public:
  file_action(file_operation::kind what, std::int32_t fd, std::uint64_t size = 0) noexcept;
  /// A sync.
  file_action(file_operation::kind what, std::int32_t fd, sync_queue* syncs) noexcept;
  /// Of a part of a file.
  file_action(file_operation::kind what, std::int32_t fd, std::uint64_t offset, std::uint64_t size, std::int32_t flags) noexcept;
  io_result<void> await_resume() const noexcept;
};

/// An operation on a path; the result is the kernel's number.
class path_action : public file_wait {
public:
  path_action(file_operation::kind what, const char* path, const char* other, std::int32_t flags, std::uint32_t mode) noexcept;
  /// One that fills bytes of the caller: of a path, or of the descriptor that was opened by it.
  path_action(file_operation::kind what, const char* path, std::int32_t fd, std::span<std::byte> into, std::int32_t flags) noexcept;
  io_result<std::int64_t> await_resume() const noexcept;
};

/// Closes a descriptor where operations run, without waiting.
void close_later(std::int32_t fd) noexcept;

/// Reads up to this size look into the page cache on the worker itself; a larger one would hold it up for too long.
constexpr std::uint64_t cached_read_max = std::uint64_t{256} << 10;

/// A read or write that goes on until all is moved or the file ends. A read that `may_be_cached` costs no hand-over when it is.
class file_transfer : public file_wait {
public:
  file_transfer(file_operation::kind what, std::int32_t fd, std::uint64_t offset, std::byte* bytes, std::uint64_t size,
                bool may_be_cached = false) noexcept;
  /// A write to a file that was opened with these flags.
  file_transfer&& to_file_with(std::int32_t flags) && noexcept;
  /// A write that is on the disk when it returns.
  file_transfer&& durable(sync_queue* syncs) && noexcept;
  io_result<std::uint64_t> await_resume() const noexcept;
};

}  // namespace levity::detail
