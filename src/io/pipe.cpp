#include "levity/io/pipe.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "levity/memory/buffer.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "platform/signals.hpp"
#include "platform/syscall.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

// One read; keeps the direction's word right. Error would_block: wait for an event.
io_result<std::size_t> read_once(endpoint& pipe, std::span<std::byte> into) noexcept {
  pipe.reading.clear();
  ssize_t got;
  do {
    got = pipe.file_blocks ? kernel::recv(pipe.fd, into.data(), into.size(), MSG_DONTWAIT)
                           : kernel::read(pipe.fd, into.data(), into.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return std::unexpected(io_error{io_failure::would_block, EAGAIN, "pipe read"});
  // Whether a short read took all there was differs between pipes and terminals: only would_block says so.
  pipe.reading.mark_ready();
  if (got > 0) return static_cast<std::size_t>(got);
  if (got == 0) return std::unexpected(io_error{io_failure::eof, 0, "pipe read"});
  // A terminal whose other side is gone.
  if (errno == EIO) return std::unexpected(io_error{io_failure::eof, EIO, "pipe read"});
  return std::unexpected(io_error::from_errno(errno, "pipe read"));
}

// As writev().
ssize_t write_once(const endpoint& pipe, std::span<iovec> pieces) noexcept {
  if (!pipe.file_blocks) return kernel::writev(pipe.fd, pieces.data(), static_cast<int>(pieces.size()));
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  return kernel::sendmsg(pipe.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

io_result<endpoint*> adopt_descriptor(int fd) noexcept {
  executor* here = current_run().exec;
  LEVITY_ASSERT(here != nullptr, "a pipe is made inside a task");
  return here->home_reactor().adopt(fd);
}

void close_endpoint(endpoint*& open) noexcept {
  if (endpoint* pipe = std::exchange(open, nullptr)) pipe->home->close(*pipe, false);
}

}  // namespace

// ---- pipe_reader -----------------------------------------------------------------------------------------------------

const wait_reason pipe_reader::read_some_awaiter::reason_{
    "pipe read", &read_some_awaiter::take_back, &read_some_awaiter::settle, &read_some_awaiter::describe_fd};
const wait_reason pipe_reader::read_into_awaiter::reason_{
    "pipe read", &read_into_awaiter::take_back, &read_into_awaiter::settle, &read_into_awaiter::describe_fd};
const wait_reason pipe_writer::write_awaiter::reason_{
    "pipe write", &write_awaiter::take_back, &write_awaiter::settle, &write_awaiter::describe_fd};

io_result<pipe_reader> pipe_reader::adopt(int fd) noexcept {
  const io_result<endpoint*> adopted = adopt_descriptor(fd);
  if (!adopted) return std::unexpected(adopted.error());
  pipe_reader reader;
  reader.pipe_ = *adopted;
  return reader;
}

void pipe_reader::drop_buffer() noexcept {
  if (buffer_ != nullptr) give_buffer(std::exchange(buffer_, nullptr));
}

void pipe_reader::close() noexcept {
  drop_buffer();
  close_endpoint(pipe_);
}

pipe_reader::read_some_awaiter pipe_reader::read_some() noexcept { return read_some_awaiter{*this}; }
pipe_reader::read_into_awaiter pipe_reader::read_some(std::span<std::byte> into) noexcept { return {pipe_, into}; }

pipe_reader::read_into_awaiter::read_into_awaiter(endpoint* pipe, std::span<std::byte> into) noexcept
    : socket_attempt(reason_, pipe), into_(into) {
  LEVITY_ASSERT(!into.empty(), "a read needs room for at least one byte");
}

socket_attempt::outcome pipe_reader::read_into_awaiter::attempt() noexcept {
  const io_result<std::size_t> got = read_once(*socket_, into_);
  if (!got && got.error() == io_failure::would_block) return outcome::again;
  if (got) {
    size_ = *got;
  } else {
    error_ = got.error();
  }
  return outcome::done;
}

io_result<std::size_t> pipe_reader::read_into_awaiter::await_resume() const noexcept {
  if (size_ == 0) return std::unexpected(error_);
  return size_;
}

pipe_reader::read_some_awaiter::read_some_awaiter(pipe_reader& reader) noexcept
    : socket_attempt(reason_, reader.pipe_), reader_(reader) {}

socket_attempt::outcome pipe_reader::read_some_awaiter::attempt() noexcept {
  if (reader_.buffer_ == nullptr) {
    try {
      reader_.buffer_ = take_buffer();
    } catch (const std::bad_alloc&) {
      error_ = io_error{io_failure::no_memory, 0, "pipe read"};
      return outcome::done;
    }
  }
  const io_result<std::size_t> got = read_once(*socket_, {reader_.buffer_, buffer_bytes});
  if (!got && got.error() == io_failure::would_block) return outcome::again;
  if (got) {
    size_ = *got;
  } else {
    error_ = got.error();
  }
  return outcome::done;
}

void pipe_reader::read_some_awaiter::before_wait() noexcept { reader_.drop_buffer(); }

io_result<byte_view> pipe_reader::read_some_awaiter::await_resume() const noexcept {
  if (size_ == 0) return std::unexpected(error_);
  return byte_view{reader_.buffer_, size_};
}

// ---- pipe_writer -----------------------------------------------------------------------------------------------------

io_result<pipe_writer> pipe_writer::adopt(int fd) noexcept {
  const io_result<endpoint*> adopted = adopt_descriptor(fd);
  if (!adopted) return std::unexpected(adopted.error());
  pipe_writer writer;
  writer.pipe_ = *adopted;
  return writer;
}

pipe_writer::write_awaiter pipe_writer::write_all(byte_view bytes) noexcept {
  return {pipe_, iovec{const_cast<std::byte*>(bytes.data()), bytes.size()}};
}

pipe_writer::write_awaiter pipe_writer::write_all(std::string_view text) noexcept {
  return {pipe_, iovec{const_cast<char*>(text.data()), text.size()}};
}

pipe_writer::write_awaiter pipe_writer::write_all(std::span<iovec> pieces) noexcept { return {pipe_, pieces}; }

void pipe_writer::close() noexcept { close_endpoint(pipe_); }

pipe_writer::write_awaiter::write_awaiter(endpoint* pipe, iovec piece) noexcept
    : socket_attempt(reason_, pipe), single_(piece) {}

pipe_writer::write_awaiter::write_awaiter(endpoint* pipe, std::span<iovec> pieces) noexcept
    : socket_attempt(reason_, pipe), pieces_(pieces) {}

// Writes until all is out (error_ stays would_block) or the pipe takes no more.
socket_attempt::outcome pipe_writer::write_awaiter::attempt() noexcept {
  keep_sigpipe_out();
  bool cleared = false;
  for (;;) {
    std::span<iovec> left = pieces_.empty() ? std::span<iovec>{&single_, 1} : pieces_;
    while (!left.empty() && left.front().iov_len == 0) left = left.subspan(1);
    if (left.empty()) return outcome::done;
    constexpr std::size_t pieces_max = 64;
    const ssize_t sent = write_once(*socket_, left.first(std::min(left.size(), pieces_max)));
    if (sent >= 0) {
      auto moved = static_cast<std::size_t>(sent);
      for (iovec& piece : left) {
        const std::size_t part = std::min(moved, piece.iov_len);
        piece.iov_base = static_cast<char*>(piece.iov_base) + part;
        piece.iov_len -= part;
        moved -= part;
        if (moved == 0) break;
      }
      // The clear may have taken the only event there was, and the next write would wait for it.
      if (std::exchange(cleared, false)) socket_->writing.mark_ready();
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) {
      if (cleared) socket_->writing.mark_ready();
      error_ = io_error::from_errno(errno, "pipe write");
      return outcome::done;
    }
    // Full. An event that came before the clear may have been for room that is gone again: try once more after it.
    if (cleared) return outcome::again;
    socket_->writing.clear();
    cleared = true;
  }
}

io_result<void> pipe_writer::write_awaiter::await_resume() const noexcept {
  if (error_ == io_failure::would_block) return {};
  return std::unexpected(error_);
}

io_result<pipe_ends> make_pipe() noexcept {
  int fds[2];
  if (kernel::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return std::unexpected(io_error::from_errno(errno, "making a pipe"));
  io_result<pipe_reader> reader = pipe_reader::adopt(fds[0]);
  io_result<pipe_writer> writer = pipe_writer::adopt(fds[1]);
  if (!reader) return std::unexpected(reader.error());
  if (!writer) return std::unexpected(writer.error());
  return pipe_ends{std::move(*reader), std::move(*writer)};
}

}  // namespace levity
