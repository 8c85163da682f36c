#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "levity/base/error.hpp"
#include "levity/io/detail/file_operation.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

/// How to open a file. At least one of read and write.
struct file_options {
  bool read = false;       ///< for read_at()
  bool write = false;      ///< for write_at() and truncate()
  bool create = false;     ///< make it if it does not exist
  bool exclusive = false;  ///< with create: fail with io_failure::exists if it does
  bool truncate = false;   ///< drop what is in it
  bool append = false;     ///< every write goes behind the last byte, whatever its offset and whoever else appends
  bool direct = false;     ///< O_DIRECT: past the page cache; buffers, sizes and offsets must be aligned for the device
  unsigned mode = 0644;    ///< permissions of a file that is made, before the process's umask
};

/// What direct I/O on a file asks for, in bytes.
struct direct_alignment {
  std::size_t memory = 4096;  ///< of buffers
  std::size_t offset = 4096;  ///< of offsets and sizes
};

/// A file. Move-only; operations at explicit offsets, any number of them at a time from any tasks.
///
/// Operations run on the runtime's ring thread (io_uring), or on threads where the kernel refuses io_uring; the calling worker
/// never blocks. A cancelled task waits for the operation that is in flight, because the kernel may still use its buffer; the
/// operation's own outcome is returned. A read of at most 256 KiB that the page cache holds is made at once, on the worker,
/// for the price of the system call; one that has to wait is handed over. In a program that is simulated alone they are the
/// kernel's and run inline, in order; on a host of a simulated world (levity/sim/world.hpp) they are those of its disk, take
/// virtual time, and end in an order that is drawn.
class file {
public:
  file() noexcept;
  file(file&& other) noexcept;
  file& operator=(file&& other) noexcept;
  /// Closes without waiting: the close itself runs where operations run. No operation may be in flight.
  ~file();

  /// Opens `path`, to read, to write or for both (asserted). not_found, exists, permission, no_descriptors are the usual failures.
  static task<io_result<file>> open(std::string path, file_options options);

  /// Reads at `offset` until `into` is full or the file ends; the count says how much came, 0 at the end.
  [[nodiscard("co_await the read")]] detail::file_transfer read_at(std::uint64_t offset, std::span<std::byte> into) noexcept;
  /// Writes all of `bytes`. They must live until it has returned. Short writes go on by themselves.
  [[nodiscard("co_await the write")]] detail::file_transfer write_at(std::uint64_t offset,
                                                                     std::span<const std::byte> bytes) noexcept;
  [[nodiscard("co_await the write")]] detail::file_transfer write_at(std::uint64_t offset, std::string_view text) noexcept;

  /// As write_at(), and when it returns well these bytes are on the disk: one operation, so one wait. These bytes only: what was
  /// written to the file before needs a sync of its own, and a new file the sync_directory() of its directory. Of those that run
  /// beside each other the syncs are made one after the other, each for all that are written by then.
  ///
  /// A failure stays. When a durable write or a sync has failed by the disk (a lost page, no space), so have all that waited
  /// beside it, and all later ones of this file answer the same, without writing, until it is opened anew: the kernel tells a page
  /// that could not be written once, and takes it for clean then. What was written since the last that returned well may be lost.
  [[nodiscard("co_await the write")]] detail::file_transfer write_durably_at(std::uint64_t offset,
                                                                             std::span<const std::byte> bytes) noexcept;
  [[nodiscard("co_await the write")]] detail::file_transfer write_durably_at(std::uint64_t offset, std::string_view text) noexcept;

  /// Writes behind the last byte of a file that was opened with append, as one write(2) of up to 1 GiB: appends of others never lie
  /// inside it, unless the disk is full in the middle of it. It is never made twice; one that has failed may be there or not.
  [[nodiscard("co_await the write")]] detail::file_transfer append(std::span<const std::byte> bytes) noexcept;
  [[nodiscard("co_await the write")]] detail::file_transfer append(std::string_view text) noexcept;

  /// As append(), and these bytes are on the disk when it returns well.
  [[nodiscard("co_await the write")]] detail::file_transfer append_durably(std::span<const std::byte> bytes) noexcept;
  [[nodiscard("co_await the write")]] detail::file_transfer append_durably(std::string_view text) noexcept;

  /// When it returns well, what was written is on the disk with all metadata: fsync(2). A failure stays, as that of
  /// write_durably_at().
  [[nodiscard("co_await the sync")]] detail::file_action sync() noexcept;
  /// The same with no more metadata than reading it back needs: fdatasync(2).
  [[nodiscard("co_await the sync")]] detail::file_action sync_data() noexcept;
  /// Makes it `size` bytes long: cuts off what is behind, or adds zeros. Not durable before a sync.
  [[nodiscard("co_await the change")]] detail::file_action truncate(std::uint64_t size) noexcept;
  /// Reserves room on the disk, and makes the file so long if it is shorter: writes there cannot fail with no_space. unsupported
  /// where the file system cannot.
  [[nodiscard("co_await the change")]] detail::file_action allocate(std::uint64_t offset, std::uint64_t size) noexcept;
  /// Gives room back: what was there reads as zero, and the file stays as long as it is.
  [[nodiscard("co_await the change")]] detail::file_action punch_hole(std::uint64_t offset, std::uint64_t size) noexcept;
  /// Closes and says how it went.
  [[nodiscard("co_await the close")]] detail::file_action close() noexcept;

  /// Bytes in the file; asks the kernel at once, which does not wait for the disk.
  [[nodiscard]] io_result<std::uint64_t> size() const noexcept;
  /// What the device asks of direct I/O, for an aligned_buffer; 4096 where the kernel does not say (before Linux 6.1), which does
  /// for nearly all. unsupported: this file takes none. Asks at once.
  [[nodiscard]] io_result<direct_alignment> alignment() const noexcept;
  /// Locks it for this object, against whoever else would lock the same file, of this process or another: flock(2), exclusive.
  /// Held until it is closed or the process ends, by a crash too, so that no lock is left behind; asked for again it is held still.
  /// Nobody is kept from reading and writing: it guards what all agree on, such as a directory by a file in it. would_block:
  /// somebody else holds it. closed: this is no open file. At once, except over a network's file system. Any thread.
  [[nodiscard]] io_result<void> try_lock() noexcept;
  /// Whether it was opened and neither closed nor moved from.
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  /// The descriptor, which stays this file's; -1 when it is closed. A sync that is made on it past this object may take a failure
  /// from those that go through it.
  [[nodiscard]] int native_handle() const noexcept { return fd_; }

private:
  file(int fd, const file_options& options, std::unique_ptr<detail::sync_queue> syncs) noexcept;

  int fd_ = -1;
  bool direct_ = false;  // a read of it always waits for the disk
  bool appends_ = false;
  std::unique_ptr<detail::sync_queue> syncs_;
};

/// rename(2): replaces `to` atomically. Durable after sync_directory() of its directory.
task<io_result<void>> rename_file(std::string from, std::string to);
/// unlink(2). Freeing a large file may take long: it does not hold a worker up.
task<io_result<void>> remove_file(std::string path);
/// Makes names that were made, renamed or removed in a directory durable.
task<io_result<void>> sync_directory(std::string path);

}  // namespace levity
