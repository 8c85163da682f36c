#include "levity/io/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <limits>
#include <new>
#include <utility>

#include "io/host_files.hpp"
#include "io/sync_queue.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "platform/syscall.hpp"

namespace levity::inline v0 {
namespace detail {
namespace {

constexpr const char* names[] = {"file open",  "file read",   "file write",  "file sync",     "file sync of data", "file truncate",
                                 "file close", "file rename", "file unlink", "file allocate", "directory make",
                                 "directory remove", "file link", "file symlink", "file status", "directory read"};

// The kernel moves at most this much at a time.
constexpr std::uint64_t transfer_max = std::uint64_t{1} << 30;

const char* name_of(const file_operation& operation) noexcept { return names[static_cast<int>(operation.what)]; }

// Nobody cancels an operation on a file: a kernel that says so, or that it cannot now, is one that cannot do it for the moment.
io_error error_of(const file_operation& operation) noexcept {
  const auto code = static_cast<int>(-operation.result);
  if (code == ECANCELED || code == EAGAIN) return {io_failure::unavailable, code, name_of(operation)};
  return io_error::from_errno(code, name_of(operation));
}

constinit thread_local file_backend* files_of_host = nullptr;

// For who asks on a thread that runs no tasks.
struct kernel_files final : file_backend {
  void submit(file_operation& operation) noexcept override { carry_out(operation); }
};

// Not inline: a coroutine must not keep the address of a thread's variable across an await.
[[gnu::noinline]] file_backend& files_here() noexcept {
  executor* here = current_run().exec;
  if (here != nullptr) return here->files();
  if (files_of_host != nullptr) return *files_of_host;
  static constinit kernel_files kernels;
  return kernels;
}

}  // namespace

file_backend* host_files() noexcept { return files_of_host; }

file_backend* exchange_host_files(file_backend* files) noexcept { return std::exchange(files_of_host, files); }

std::int64_t file_backend::perform_now(const file_operation& operation) noexcept { return perform(operation); }

std::int64_t file_backend::size_of(std::int32_t fd) noexcept {
  struct stat status;
  return kernel::fstat(fd, &status) == 0 ? std::int64_t{status.st_size} : -errno;
}

std::int64_t file_backend::status_of(std::int32_t fd, unsigned wanted, struct statx& into) noexcept {
  return kernel::statx(fd, "", AT_EMPTY_PATH, wanted, &into) == 0 ? 0 : -errno;
}

std::int64_t file_backend::try_lock(std::int32_t fd) noexcept {
  for (;;) {
    if (kernel::flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

std::int64_t perform(const file_operation& operation) noexcept {
  std::int64_t result = -1;
  do {
    switch (operation.what) {
      case file_operation::kind::open:
        result = kernel::open(operation.path, operation.flags | O_CLOEXEC, operation.mode);
        break;
      case file_operation::kind::read:
        result = kernel::pread(operation.fd, operation.bytes, operation.size, static_cast<off_t>(operation.offset));
        break;
      case file_operation::kind::write:
        result = operation.is_sync() ? kernel::fdatasync(operation.fd)
                                     : kernel::pwrite(operation.fd, operation.bytes, operation.size,
                                                      static_cast<off_t>(operation.offset));
        break;
      case file_operation::kind::sync: result = kernel::fsync(operation.fd); break;
      case file_operation::kind::sync_data: result = kernel::fdatasync(operation.fd); break;
      case file_operation::kind::truncate:
        result = kernel::ftruncate(operation.fd, static_cast<off_t>(operation.offset));
        break;
      case file_operation::kind::close:
        // A descriptor is gone after close, whatever close says: never twice.
        return kernel::close(operation.fd) == 0 || errno == EINTR ? 0 : -errno;
      case file_operation::kind::rename: result = kernel::rename(operation.path, operation.other_path); break;
      case file_operation::kind::unlink: result = kernel::unlink(operation.path); break;
      case file_operation::kind::allocate:
        result = kernel::fallocate(operation.fd, operation.flags, static_cast<off_t>(operation.offset),
                             static_cast<off_t>(operation.size));
        break;
      case file_operation::kind::make_directory: result = kernel::mkdir(operation.path, operation.mode); break;
      case file_operation::kind::remove_directory: result = kernel::rmdir(operation.path); break;
      case file_operation::kind::link: result = kernel::link(operation.path, operation.other_path); break;
      case file_operation::kind::symlink: result = kernel::symlink(operation.path, operation.other_path); break;
      case file_operation::kind::status:
        result = kernel::statx(AT_FDCWD, operation.path, operation.flags, STATX_BASIC_STATS,
                         reinterpret_cast<struct statx*>(operation.bytes));
        break;
      case file_operation::kind::list: result = kernel::getdents64(operation.fd, operation.bytes, operation.size); break;
    }
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

void carry_out(file_operation& operation) noexcept {
  if (operation.syncs == nullptr) return complete(operation, perform(operation));
  if (!operation.is_sync()) {
    const std::int64_t written = perform(operation);
    if (written <= 0) {
      operation.syncs->fail(written);
      return complete(operation, written);
    }
    operation.written = static_cast<std::int32_t>(written);
  }
  file_operation* leader = &operation;
  switch (operation.syncs->begin(operation)) {
    case sync_queue::turn::now: break;
    case sync_queue::turn::later: return;
    case sync_queue::turn::never: return complete(operation, -operation.syncs->failure());
  }
  while (leader != nullptr) {
    const sync_queue::outcome ended = leader->syncs->end(*leader, perform(*leader));
    complete(*leader, leader->result);
    complete_all(ended.served);
    leader = ended.leader;
  }
}

void complete(file_operation& operation, std::int64_t result) noexcept {
  operation.result = result;
  if (operation.task != nullptr) {
    wake(*operation.task);
  } else {
    operation.~file_operation();
    frame_free(&operation, sizeof operation);
  }
}

// One reason a kind, in the order of file_operation::kind.
const wait_reason file_wait::reasons_[] = {
    {names[0], &never_taken_back, nullptr, &describe}, {names[1], &never_taken_back, &settle, &describe},
    {names[2], &never_taken_back, &settle, &describe}, {names[3], &never_taken_back, nullptr, &describe},
    {names[4], &never_taken_back, nullptr, &describe}, {names[5], &never_taken_back, nullptr, &describe},
    {names[6], &never_taken_back, nullptr, &describe}, {names[7], &never_taken_back, nullptr, &describe},
    {names[8], &never_taken_back, nullptr, &describe}, {names[9], &never_taken_back, nullptr, &describe},
    {names[10], &never_taken_back, nullptr, &describe}, {names[11], &never_taken_back, nullptr, &describe},
    {names[12], &never_taken_back, nullptr, &describe}, {names[13], &never_taken_back, nullptr, &describe},
    {names[14], &never_taken_back, nullptr, &describe}, {names[15], &never_taken_back, nullptr, &describe},
};

file_wait::file_wait(file_operation::kind what, std::int32_t fd) noexcept : waiter{&reasons_[static_cast<int>(what)]} {
  operation_.what = what;
  operation_.fd = fd;
}

bool file_wait::suspend(std::coroutine_handle<> frame, task_record& record) noexcept {
  operation_.task = &record;
  if (tries_cache_ && record.scope->exec->simulated()) tries_cache_ = false;
  if (tries_cache_) {
    if (!spend_budget()) {
      prepare_wait(record, frame, *this);
      record.scope->exec->schedule_last(record);  // settle() makes the attempt
      return true;
    }
    if (read_cached()) return false;
  }
  prepare_wait(record, frame, *this);
  record.scope->exec->files().submit(operation_);
  if (commit_wait(record)) return true;
  // Done already: what a worker would ask before it resumes us.
  return reason->settle != nullptr && !settle(*this, record);
}

// The kernel may use the buffer until the operation has completed: a cancelled task waits for that.
bool file_wait::never_taken_back(waiter&, task_record&) noexcept { return false; }

void file_wait::advance(std::uint64_t moved) noexcept {
  moved_ += moved;
  left_ -= std::min(moved, left_);
  operation_.bytes += moved;
  operation_.offset += moved;
  operation_.size = std::min(left_, transfer_max);
  operation_.written = -1;
}

// Takes what the page cache gives without waiting for a disk or a lock. True: nothing is left to do. Whatever speaks against it
// (not there, a file system that cannot tell) is no error: the operation that is handed over will say what there is to say.
bool file_wait::read_cached() noexcept {
  tries_cache_ = false;
  while (left_ > 0) {
    const iovec part{operation_.bytes, operation_.size};
    const ssize_t got = kernel::preadv2(operation_.fd, &part, 1, static_cast<off_t>(operation_.offset), RWF_NOWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) return true;
    advance(static_cast<std::uint64_t>(got));
  }
  return true;
}

// After a part of a transfer: goes on until all is moved, the file ends or the kernel refuses.
bool file_wait::settle(waiter& self, task_record& record) noexcept {
  auto& transfer = static_cast<file_wait&>(self);
  file_operation& operation = transfer.operation_;
  if (transfer.tries_cache_) {  // its turn came without an operation
    if (transfer.read_cached()) return true;
    record.scope->exec->files().submit(operation);
    if (commit_wait(record)) return false;
  }
  for (;;) {
    if (operation.result <= 0) return true;
    transfer.advance(static_cast<std::uint64_t>(operation.result));
    if (transfer.left_ == 0) return true;
    record.scope->exec->files().submit(operation);
    if (commit_wait(record)) return false;
  }
}

void file_wait::describe(const waiter& self, char* text, std::size_t size) noexcept {
  const file_operation& operation = static_cast<const file_wait&>(self).operation_;
  if (operation.path != nullptr) {
    std::snprintf(text, size, "%s", operation.path);
  } else {
    std::snprintf(text, size, "fd %d", operation.fd);
  }
}

file_action::file_action(file_operation::kind what, std::int32_t fd, std::uint64_t size) noexcept : file_wait(what, fd) {
  operation_.offset = size;
}

file_action::file_action(file_operation::kind what, std::int32_t fd, sync_queue* syncs) noexcept : file_wait(what, fd) {
  operation_.syncs = syncs;
}

file_action::file_action(file_operation::kind what, std::int32_t fd, std::uint64_t offset, std::uint64_t size,
                         std::int32_t flags) noexcept
    : file_wait(what, fd) {
  operation_.offset = offset;
  operation_.size = size;
  operation_.flags = flags;
}

io_result<void> file_action::await_resume() const noexcept {
  if (operation_.fd == closed) return std::unexpected(io_error{io_failure::closed, 0, name_of(operation_)});
  if (operation_.result >= 0) return {};
  return std::unexpected(error_of(operation_));
}

path_action::path_action(file_operation::kind what, const char* path, const char* other, std::int32_t flags,
                         std::uint32_t mode) noexcept
    : file_wait(what, by_path) {
  operation_.path = path;
  operation_.other_path = other;
  operation_.flags = flags;
  operation_.mode = mode;
}

path_action::path_action(file_operation::kind what, const char* path, std::int32_t fd, std::span<std::byte> into,
                         std::int32_t flags) noexcept
    : file_wait(what, fd) {
  operation_.path = path;
  operation_.bytes = into.data();
  operation_.size = into.size();
  operation_.flags = flags;
}

io_result<std::int64_t> path_action::await_resume() const noexcept {
  if (operation_.result >= 0) return operation_.result;
  return std::unexpected(error_of(operation_));
}

file_transfer::file_transfer(file_operation::kind what, std::int32_t fd, std::uint64_t offset, std::byte* bytes,
                             std::uint64_t size, bool may_be_cached) noexcept
    : file_wait(what, fd) {
  operation_.offset = offset;
  operation_.bytes = bytes;
  operation_.size = std::min(size, transfer_max);
  left_ = size;
  operation_.direct = what == file_operation::kind::read && !may_be_cached;
  tries_cache_ = may_be_cached && what == file_operation::kind::read && size <= cached_read_max;
}

file_transfer&& file_transfer::to_file_with(std::int32_t flags) && noexcept {
  operation_.flags = flags;
  return std::move(*this);
}

file_transfer&& file_transfer::durable(sync_queue* syncs) && noexcept {
  operation_.syncs = syncs;
  return std::move(*this);
}

io_result<std::uint64_t> file_transfer::await_resume() const noexcept {
  if (operation_.fd == closed) return std::unexpected(io_error{io_failure::closed, 0, name_of(operation_)});
  if (operation_.result < 0) return std::unexpected(error_of(operation_));
  // A write of nothing although something is left: the device takes no more.
  if (operation_.what == file_operation::kind::write && left_ > 0) {
    return std::unexpected(io_error{io_failure::no_space, 0, name_of(operation_)});
  }
  return moved_;
}

std::expected<std::string, std::int64_t> read_file_now(const char* path, std::size_t size_max) {
  constexpr std::size_t piece = 64 << 10;
  file_backend& files = files_here();
  file_operation next;
  next.what = file_operation::kind::open;
  next.path = path;
  next.flags = O_RDONLY;
  const std::int64_t fd = files.perform_now(next);
  if (fd < 0) return std::unexpected(fd);
  const auto close = [&files, fd] {
    file_operation last;
    last.what = file_operation::kind::close;
    last.fd = static_cast<std::int32_t>(fd);
    (void)files.perform_now(last);
  };
  std::string text;
  try {
    for (;;) {
      const std::size_t before = text.size();
      text.resize(before + piece);
      file_operation part;
      part.what = file_operation::kind::read;
      part.fd = static_cast<std::int32_t>(fd);
      part.bytes = reinterpret_cast<std::byte*>(text.data() + before);
      part.size = piece;
      part.offset = before;
      const std::int64_t got = files.perform_now(part);
      text.resize(before + static_cast<std::size_t>(std::max<std::int64_t>(got, 0)));
      if (got > 0 && text.size() <= size_max) continue;
      close();
      if (got < 0) return std::unexpected(got);
      if (got > 0) return std::unexpected(-EFBIG);
      return text;
    }
  } catch (...) {
    close();
    throw;
  }
}

void close_later(std::int32_t fd) noexcept {
  file_operation last;
  last.what = file_operation::kind::close;
  last.fd = fd;
  executor* here = current_run().exec;
  if (here == nullptr) {
    files_here().perform_now(last);
    return;
  }
  try {
    here->files().submit(*new (frame_allocate(sizeof last)) file_operation(last));
  } catch (const std::bad_alloc&) {
    here->files().perform_now(last);  // rather a wait here than a descriptor that nobody closes
  }
}

}  // namespace detail

using namespace detail;

file::file() noexcept = default;

file::file(int fd, const file_options& options, std::unique_ptr<sync_queue> syncs) noexcept
    : fd_(fd), direct_(options.direct), appends_(options.append), syncs_(std::move(syncs)) {}

file::file(file&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), direct_(other.direct_), appends_(other.appends_), syncs_(std::move(other.syncs_)) {}

file& file::operator=(file&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(direct_, other.direct_);
  std::swap(appends_, other.appends_);
  std::swap(syncs_, other.syncs_);
  return *this;
}

file::~file() {
  if (fd_ >= 0) close_later(fd_);
}

task<io_result<file>> file::open(std::string path, file_options options) {
  LEVITY_ASSERT(options.read || options.write, "a file is opened to read, to write or for both");
  int flags = options.read && options.write ? O_RDWR : options.write ? O_WRONLY : O_RDONLY;
  if (options.create) flags |= O_CREAT;
  if (options.exclusive) flags |= O_EXCL;
  if (options.truncate) flags |= O_TRUNC;
  if (options.append) flags |= O_APPEND;
  if (options.direct) flags |= O_DIRECT;
  auto syncs = std::make_unique<sync_queue>();
  const auto opened = co_await path_action{file_operation::kind::open, path.c_str(), nullptr, flags, options.mode};
  if (!opened) co_return std::unexpected(opened.error());
  co_return file{static_cast<int>(*opened), options, std::move(syncs)};
}

file_transfer file::read_at(std::uint64_t offset, std::span<std::byte> into) noexcept {
  return {file_operation::kind::read, fd_, offset, into.data(), into.size(), !direct_};
}

file_transfer file::write_at(std::uint64_t offset, std::span<const std::byte> bytes) noexcept {
  return file_transfer{file_operation::kind::write, fd_, offset, const_cast<std::byte*>(bytes.data()), bytes.size()}.to_file_with(
      appends_ ? O_APPEND : 0);
}

file_transfer file::write_at(std::uint64_t offset, std::string_view text) noexcept {
  return write_at(offset, std::as_bytes(std::span{text.data(), text.size()}));
}

file_transfer file::write_durably_at(std::uint64_t offset, std::span<const std::byte> bytes) noexcept {
  return write_at(offset, bytes).durable(syncs_.get());
}

file_transfer file::write_durably_at(std::uint64_t offset, std::string_view text) noexcept {
  return write_at(offset, text).durable(syncs_.get());
}

file_transfer file::append_durably(std::span<const std::byte> bytes) noexcept {
  return append(bytes).durable(syncs_.get());
}
file_transfer file::append_durably(std::string_view text) noexcept { return append(text).durable(syncs_.get()); }

file_transfer file::append(std::span<const std::byte> bytes) noexcept { return write_at(0, bytes); }
file_transfer file::append(std::string_view text) noexcept { return write_at(0, text); }

file_action file::allocate(std::uint64_t offset, std::uint64_t size) noexcept {
  return {file_operation::kind::allocate, fd_, offset, size, 0};
}
file_action file::punch_hole(std::uint64_t offset, std::uint64_t size) noexcept {
  return {file_operation::kind::allocate, fd_, offset, size, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
}

file_action file::sync() noexcept { return {file_operation::kind::sync, fd_, syncs_.get()}; }
file_action file::sync_data() noexcept { return {file_operation::kind::sync_data, fd_, syncs_.get()}; }
file_action file::truncate(std::uint64_t size) noexcept { return {file_operation::kind::truncate, fd_, size}; }
file_action file::close() noexcept { return {file_operation::kind::close, std::exchange(fd_, -1)}; }

io_result<std::uint64_t> file::size() const noexcept {
  const std::int64_t bytes = files_here().size_of(fd_);
  if (bytes >= 0) return static_cast<std::uint64_t>(bytes);
  return std::unexpected(io_error::from_errno(static_cast<int>(-bytes), "file size"));
}

io_result<void> file::try_lock() noexcept {
  if (fd_ < 0) return std::unexpected(io_error{io_failure::closed, 0, "file lock"});
  const std::int64_t locked = files_here().try_lock(fd_);
  if (locked == 0) return {};
  return std::unexpected(io_error::from_errno(static_cast<int>(-locked), "file lock"));
}

io_result<direct_alignment> file::alignment() const noexcept {
  struct statx status {};
#ifdef STATX_DIOALIGN
  constexpr unsigned wanted = STATX_BASIC_STATS | STATX_DIOALIGN;
#else
  constexpr unsigned wanted = STATX_BASIC_STATS;
#endif
  if (const std::int64_t told = files_here().status_of(fd_, wanted, status); told != 0) {
    return std::unexpected(io_error::from_errno(static_cast<int>(-told), "file alignment"));
  }
#ifdef STATX_DIOALIGN
  if ((status.stx_mask & STATX_DIOALIGN) != 0) {
    if (status.stx_dio_offset_align == 0) return std::unexpected(io_error{io_failure::unsupported, 0, "direct I/O on this file"});
    return direct_alignment{status.stx_dio_mem_align, status.stx_dio_offset_align};
  }
#endif
  return direct_alignment{};
}

task<io_result<void>> rename_file(std::string from, std::string to) {
  const auto done = co_await path_action{file_operation::kind::rename, from.c_str(), to.c_str(), 0, 0};
  if (!done) co_return std::unexpected(done.error());
  co_return io_result<void>{};
}

task<io_result<void>> remove_file(std::string path) {
  const auto done = co_await path_action{file_operation::kind::unlink, path.c_str(), nullptr, 0, 0};
  if (!done) co_return std::unexpected(done.error());
  co_return io_result<void>{};
}

task<io_result<void>> sync_directory(std::string path) {
  const auto opened = co_await path_action{file_operation::kind::open, path.c_str(), nullptr, O_RDONLY | O_DIRECTORY, 0};
  if (!opened) co_return std::unexpected(opened.error());
  const int fd = static_cast<int>(*opened);
  sync_queue own;
  const auto synced = co_await file_action{file_operation::kind::sync, fd, &own};
  const auto closed = co_await file_action{file_operation::kind::close, fd};
  co_return synced ? closed : synced;
}

}  // namespace levity
