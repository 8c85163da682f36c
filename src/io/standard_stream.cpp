#include "levity/io/standard_stream.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "levity/task/detail/executor.hpp"
#include "platform/signals.hpp"
#include "platform/syscall.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

constexpr const char* opening = "opening a standard stream";

// One read or write on a thread that may block.
class transfer_wait : waiter, blocking_job {
public:
  transfer_wait(bool reads, int fd, void* bytes, std::size_t size) noexcept
      : waiter{&reason_}, blocking_job{nullptr, &run_it}, bytes_(bytes), size_(size), fd_(fd), reads_(reads) {}
  bool await_ready() const noexcept { return false; }

  template <levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) noexcept {
    task_record& record = detail::running_task();
    if (why_ = pending_cancel(record); why_ != cancel_reason::none) return false;
    task_ = &record;
    prepare_wait(record, frame, *this);
    current_run().exec->offload(*this);
    return commit_wait(record);
  }

  io_result<std::size_t> await_resume() const noexcept {
    if (why_ != cancel_reason::none) return std::unexpected(to_io_error(why_, reason_.name));
    if (moved_ >= 0) return static_cast<std::size_t>(moved_);
    return std::unexpected(io_error::from_errno(static_cast<int>(-moved_), reason_.name));
  }

private:
  static void run_it(blocking_job& job) noexcept {
    auto& self = static_cast<transfer_wait&>(job);
    do {
      self.moved_ =
          self.reads_ ? kernel::read(self.fd_, self.bytes_, self.size_) : kernel::write(self.fd_, self.bytes_, self.size_);
    } while (self.moved_ < 0 && errno == EINTR);
    if (self.moved_ < 0) self.moved_ = -errno;
    wake(*self.task_);
  }
  static bool runs_to_its_end(waiter&, task_record&) noexcept { return false; }
  static void describe(const waiter& self, char* text, std::size_t size) noexcept {
    const auto& transfer = static_cast<const transfer_wait&>(self);
    std::snprintf(text, size, "%s fd %d", transfer.reads_ ? "reads" : "writes", transfer.fd_);
  }
  static const wait_reason reason_;

  void* bytes_;
  std::size_t size_;
  ssize_t moved_ = 0;
  task_record* task_ = nullptr;
  int fd_;
  bool reads_;
  cancel_reason why_ = cancel_reason::none;
};

const wait_reason transfer_wait::reason_{"standard stream", &runs_to_its_end, nullptr, &describe};

struct opened {
  int fd;         // ours
  bool pollable;  // it never blocks
  bool socket;
};

io_result<opened> open_again(int fd, int access) noexcept {
  struct stat status;
  if (kernel::fstat(fd, &status) != 0) return std::unexpected(io_error::from_errno(errno, opening));
  if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int own;
    do {
      own = kernel::open(path, access | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    } while (own < 0 && errno == EINTR);
    if (own >= 0) return opened{own, true, false};
  }
  const int own = kernel::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (own < 0) return std::unexpected(io_error::from_errno(errno, opening));
  return opened{own, S_ISSOCK(status.st_mode), S_ISSOCK(status.st_mode)};
}

// Watches it, or leaves it to threads for blocking calls: then `blocking_fd` is set.
template <class End>
io_result<void> watch(int fd, int access, End& polled, int& blocking_fd) noexcept {
  if (current_run().exec == nullptr || current_run().exec->simulated()) {
    return std::unexpected(io_error{io_failure::unsupported, 0, opening});
  }
  const io_result<opened> own = open_again(fd, access);
  if (!own) return std::unexpected(own.error());
  if (own->pollable) {
    io_result<End> end = End::adopt(own->fd);  // takes it over
    if (end) {
      if (own->socket) end->native_endpoint()->file_blocks = true;
      polled = std::move(*end);
      return {};
    }
    if (end.error() != io_failure::permission) return std::unexpected(end.error());
    // A device that cannot be watched, such as /dev/null: it does not wait either.
    blocking_fd = kernel::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (blocking_fd < 0) return std::unexpected(io_error::from_errno(errno, opening));
    return {};
  }
  blocking_fd = own->fd;
  return {};
}

void close_descriptor(int& fd) noexcept {
  if (const int open = std::exchange(fd, -1); open >= 0) kernel::close(open);
}

}  // namespace

io_result<standard_input> standard_input::open(int fd) noexcept {
  standard_input input;
  const io_result<void> watched = watch(fd, O_RDONLY, input.polled_, input.blocking_fd_);
  if (!watched) return std::unexpected(watched.error());
  return input;
}

task<io_result<std::size_t>> standard_input::read_some(std::span<std::byte> into) {
  if (blocking_fd_ < 0) co_return co_await polled_.read_some(into);
  const io_result<std::size_t> got = co_await transfer_wait{true, blocking_fd_, into.data(), into.size()};
  if (got && *got == 0) co_return std::unexpected(io_error{io_failure::eof, 0, "standard stream"});
  co_return got;
}

void standard_input::close() noexcept {
  polled_.close();
  close_descriptor(blocking_fd_);
}

io_result<standard_output> standard_output::open(int fd) noexcept {
  standard_output output;
  const io_result<void> watched = watch(fd, O_WRONLY, output.polled_, output.blocking_fd_);
  if (!watched) return std::unexpected(watched.error());
  return output;
}

task<io_result<void>> standard_output::write_all(byte_view bytes) {
  if (blocking_fd_ < 0) co_return co_await polled_.write_all(bytes);
  while (!bytes.empty()) {
    const io_result<std::size_t> moved =
        co_await transfer_wait{false, blocking_fd_, const_cast<std::byte*>(bytes.data()), bytes.size()};
    if (!moved) co_return std::unexpected(moved.error());
    bytes = bytes.subspan(*moved);
  }
  co_return io_result<void>{};
}

task<io_result<void>> standard_output::write_all(std::string_view text) {
  return write_all(std::as_bytes(std::span{text.data(), text.size()}));
}

void standard_output::close() noexcept {
  polled_.close();
  close_descriptor(blocking_fd_);
}

}  // namespace levity
