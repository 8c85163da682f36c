#include "levity/io/copy.hpp"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "base/system_mutex.hpp"
#include "io/event_wait.hpp"
#include "levity/memory/frame_pool.hpp"
#include "levity/task/detail/executor.hpp"
#include "levity/task/yield.hpp"
#include "platform/page_cache.hpp"
#include "platform/signals.hpp"
#include "platform/syscall.hpp"
#include "reactor/reactor.hpp"
#include "reactor/stream_failure.hpp"

namespace levity::inline v0 {
namespace detail {
namespace {

constexpr const char* copying = "copying";
constexpr const char* sending = "sending a file";

const wait_reason splice_reason{"copy write", &event_wait::take_back, nullptr, &event_wait::describe};
const wait_reason send_file_reason{"file send", &event_wait::take_back, nullptr, &event_wait::describe};

struct pipe_fds {
  int out = -1;
  int in = -1;
};

// A pipe for bytes on their way. Empty ones are kept for the next copy.
class borrowed_pipe {
public:
  static constexpr int size_wanted = 256 * 1024;

  borrowed_pipe() noexcept {
    {
      const system_guard guard{lock_};
      drop_inherited();
      if (kept_count_ > 0) {
        ends_ = kept_[--kept_count_];
        return;
      }
    }
    int fds[2];
    if (kernel::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return;
    kernel::fcntl(fds[1], F_SETPIPE_SZ, size_wanted);  // refused where pipes use much memory: it stays smaller
    ends_ = {fds[0], fds[1]};
  }
  borrowed_pipe(const borrowed_pipe&) = delete;
  borrowed_pipe& operator=(const borrowed_pipe&) = delete;
  ~borrowed_pipe() {
    if (ends_.out < 0) return;
    if (inside == 0) {
      const system_guard guard{lock_};
      if (kept_count_ < kept_max) {
        kept_[kept_count_++] = ends_;
        return;
      }
    }
    kernel::close(ends_.out);
    kernel::close(ends_.in);
  }

  [[nodiscard]] bool is_open() const noexcept { return ends_.out >= 0; }
  [[nodiscard]] int out() const noexcept { return ends_.out; }
  [[nodiscard]] int in() const noexcept { return ends_.in; }

  std::size_t inside = 0;  // bytes

private:
  // What was kept before a fork() is the parent's too, and bytes of two processes must not meet in it.
  static void drop_inherited() noexcept {
    const pid_t self = ::getpid();
    if (std::exchange(kept_by_, self) == self) return;
    while (kept_count_ > 0) {
      const pipe_fds& each = kept_[--kept_count_];
      kernel::close(each.out);
      kernel::close(each.in);
    }
  }

  static constexpr int kept_max = 16;
  static inline system_mutex lock_;
  static inline pipe_fds kept_[kept_max];  // guarded by lock_
  static inline int kept_count_ = 0;       // guarded by lock_
  static inline pid_t kept_by_ = 0;        // the process that did; guarded by lock_

  pipe_fds ends_;
};

// Who moves bytes without end lets the others run, and ends when it shall: the reason, if it shall.
task<cancel_reason> breathe() {
  try {
    if (spend_budget()) {
      co_await throw_if_cancelled();
    } else {
      co_await yield();
    }
  } catch (const cancelled& ended) {
    co_return ended.reason();
  }
  co_return cancel_reason::none;
}

// One system call that writes into `to`, tried until it moves something or fails otherwise than by a full sink.
// Error would_block: wait for an event.
template <class Transfer>
io_result<std::size_t> write_once(endpoint& to, const char* doing, Transfer&& transfer) noexcept {
  keep_sigpipe_out();
  for (bool cleared = false;;) {
    const ssize_t moved = transfer();
    if (moved < 0 && errno == EINTR) continue;
    if (moved >= 0 || errno != EAGAIN) {
      const int code = errno;
      // The clear may have taken the only event there was, and the next write would wait for it.
      if (cleared) to.writing.mark_ready();
      if (moved >= 0) return static_cast<std::size_t>(moved);
      return std::unexpected(transfer_error(to, code, doing));
    }
    // An event that came before the clear may have been for room that is gone again: once more after it.
    if (cleared) return std::unexpected(io_error{io_failure::would_block, EAGAIN, doing});
    to.writing.clear();
    cleared = true;
  }
}

}  // namespace

bool can_splice(endpoint* from, endpoint* to) noexcept {
  return from != nullptr && to != nullptr && from->home->lends_descriptor(*from) && to->home->lends_descriptor(*to);
}

task<io_error> splice_bulk(endpoint* from, endpoint* to, std::uint64_t* bytes) {
  borrowed_pipe between;
  if (!between.is_open()) co_return io_error{io_failure::unsupported, errno, copying};
  for (;;) {
    const cancel_reason why = co_await breathe();
    if (why != cancel_reason::none) co_return to_io_error(why, copying);
    from->reading.clear();
    ssize_t taken;
    do {
      taken =
          kernel::splice(from->fd, nullptr, between.in(), nullptr, borrowed_pipe::size_wanted, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    } while (taken < 0 && errno == EINTR);
    if (taken < 0 && errno == EAGAIN) co_return io_error{io_failure::would_block, EAGAIN, copying};
    from->reading.mark_ready();
    // The next read says whether this is an end or a reset.
    if (taken == 0) co_return io_error{io_failure::would_block, 0, copying};
    if (taken < 0) {
      co_return errno == EINVAL ? io_error{io_failure::unsupported, EINVAL, copying} : transfer_error(*from, errno, copying);
    }
    between.inside = static_cast<std::size_t>(taken);
    while (between.inside > 0) {
      const io_result<std::size_t> moved = write_once(*to, copying, [&between, to]() noexcept {
        return kernel::splice(between.out(), nullptr, to->fd, nullptr, between.inside, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      });
      if (moved) {
        between.inside -= *moved;
        *bytes += *moved;
        continue;
      }
      if (moved.error() != io_failure::would_block) co_return moved.error();
      const cancel_reason ended = co_await event_wait{splice_reason, *to, false};
      if (ended != cancel_reason::none) co_return to_io_error(ended, copying);
    }
  }
}

}  // namespace detail

using namespace detail;

task<copy_outcome> send_file(tcp_stream& to, file& from, std::uint64_t offset, std::uint64_t size) {
  constexpr std::uint64_t cached_chunk = 1 << 20;
  constexpr std::uint64_t read_chunk = 128 * 1024;
  struct memory {
    std::byte* bytes = nullptr;
    ~memory() {
      if (bytes != nullptr) frame_free(bytes, read_chunk);
    }
  } buffer;
  copy_outcome outcome;
  endpoint* socket = to.native_endpoint();
  if (socket == nullptr || !from.is_open()) {
    outcome.error = io_error{io_failure::closed, 0, sending};
    co_return outcome;
  }
  bool may_send = socket->home->lends_descriptor(*socket);
  while (outcome.bytes < size) {
    const std::uint64_t left = size - outcome.bytes;
    const std::uint64_t chunk = std::min(left, cached_chunk);
    if (may_send && is_cached(from.native_handle(), offset, chunk)) {
      const cancel_reason why = co_await breathe();
      if (why != cancel_reason::none) {
        outcome.error = to_io_error(why, sending);
        break;
      }
      auto at = static_cast<off_t>(offset);
      const io_result<std::size_t> moved = write_once(*socket, sending, [&]() noexcept {
        return kernel::sendfile(socket->fd, from.native_handle(), &at, static_cast<std::size_t>(chunk));
      });
      if (moved) {
        outcome.bytes += *moved;
        offset += *moved;
        if (*moved == 0) may_send = false;  // the file has become shorter; the read below finds out
        continue;
      }
      if (moved.error() == io_failure::would_block) {
        const cancel_reason ended = co_await event_wait{send_file_reason, *socket, false};
        if (ended == cancel_reason::none) continue;
        outcome.error = to_io_error(ended, sending);
        break;
      }
      if (moved.error() == io_failure::invalid || moved.error() == io_failure::unsupported) {
        may_send = false;  // this file system cannot
        continue;
      }
      outcome.error = moved.error();
      break;
    }
    if (buffer.bytes == nullptr) buffer.bytes = static_cast<std::byte*>(frame_allocate(read_chunk));
    const auto wanted = static_cast<std::size_t>(std::min(left, read_chunk));
    const io_result<std::uint64_t> got = co_await from.read_at(offset, std::span(buffer.bytes, wanted));
    if (!got || *got == 0) {
      outcome.error = got ? io_error{io_failure::truncated, 0, sending} : got.error();
      break;
    }
    iovec piece{buffer.bytes, static_cast<std::size_t>(*got)};
    const io_result<void> sent = co_await to.write_all(std::span(&piece, 1));
    outcome.bytes += *got - piece.iov_len;
    offset += *got - piece.iov_len;
    if (!sent) {
      outcome.error = sent.error();
      break;
    }
  }
  co_return outcome;
}

}  // namespace levity
