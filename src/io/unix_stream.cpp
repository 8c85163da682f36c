#include "levity/io/unix_stream.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

#include "io/address_text.hpp"
#include "io/unix_description.hpp"
#include "io/unix_wait.hpp"
#include "levity/base/assert.hpp"
#include "levity/base/process_id.hpp"
#include "levity/memory/buffer.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "levity/task/yield.hpp"
#include "platform/socket.hpp"
#include "platform/syscall.hpp"
#include "platform/unix_socket.hpp"
#include "reactor/reactor.hpp"
#include "reactor/simulated_unix.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

constexpr const char* connecting = "connecting to a Unix socket";

const wait_reason connect_reason{"unix connect", &retry_wait::take_back, nullptr, &retry_wait::describe};

io_result<endpoint*> adopt_here(int fd) noexcept {
  executor* here = current_run().exec;
  LEVITY_ASSERT(here != nullptr, "a Unix stream is made inside a task");
  return here->home_reactor().adopt(fd);
}

// Who carries what this stream reads and writes; null: the kernel.
simulated_unix* carrier_of_stream(const endpoint* socket) noexcept {
  return socket != nullptr ? socket->home->unix_sockets : nullptr;
}

// One read; keeps the direction's word right. Error would_block: wait for an event.
io_result<unix_head> read_once(endpoint& socket, std::span<std::byte> into, std::span<int> descriptors) noexcept {
  socket.reading.clear();
  simulated_unix* const by = carrier_of_stream(&socket);
  io_result<unix_head> got = by != nullptr ? by->read(socket, into) : receive_unix(socket.fd, into, descriptors, false);
  if (!got && got.error() == io_failure::would_block) return got;
  // After a short read the next byte raises an event, unless the peer has hung up. A read also ends behind descriptors.
  const bool drained = got && got->size < into.size() && got->size > 0 && got->descriptors == 0 && !got->has_dropped &&
                       !socket.hung_up.load(std::memory_order_relaxed);
  if (!drained) socket.reading.mark_ready();
  if (!got && got.error() == io_failure::reset) socket.was_reset.store(true, std::memory_order_relaxed);
  if (got && got->size == 0) {
    // The kernel reports a reset once; from then on it looks like an end.
    const bool torn = socket.was_reset.load(std::memory_order_relaxed);
    return std::unexpected(torn ? io_error{io_failure::reset, ECONNRESET, "reading from a Unix socket"}
                                : io_error{io_failure::eof, 0, "reading from a Unix socket"});
  }
  return got;
}

}  // namespace

// ---- unix_stream -----------------------------------------------------------------------------------------------------

void unix_stream::drop_buffer() noexcept {
  if (buffer_ != nullptr) give_buffer(std::exchange(buffer_, nullptr));
}

void unix_stream::close() noexcept {
  drop_buffer();
  endpoint* const socket = std::exchange(socket_, nullptr);
  if (socket == nullptr) return;
  if (simulated_unix* by = carrier_of_stream(socket)) return by->close(*socket);
  socket->home->close(*socket, false);
}

task<io_result<unix_stream>> unix_stream::connect(std::string_view to) {
  const io_result<unix_address> parsed = read_unix_address(to);
  if (parsed) return connect(*parsed);
  return [](io_error why) -> task<io_result<unix_stream>> { co_return std::unexpected(why); }(parsed.error());
}

task<io_result<unix_stream>> unix_stream::connect(unix_address to) {
  try {
    co_await throw_if_cancelled();
  } catch (const cancelled& ended) {
    co_return std::unexpected(to_io_error(ended.reason(), connecting));
  }
  reactor& home = current_run().exec->home_reactor();
  if (home.unix_sockets != nullptr) {
    for (std::int64_t pause_ns = retry_first_ns;; pause_ns = std::min(2 * pause_ns, retry_max_ns)) {
      const io_result<endpoint*> connected = home.unix_sockets->connect_stream(home, to);
      if (connected) co_return unix_stream{**connected};
      if (connected.error() != io_failure::would_block) co_return std::unexpected(connected.error());
      const cancel_reason why = co_await retry_wait{connect_reason, pause_ns, to};
      if (why != cancel_reason::none) co_return std::unexpected(to_io_error(why, connecting));
    }
  }
  const io_result<int> opened = open_unix_socket(SOCK_STREAM);
  if (!opened) co_return std::unexpected(opened.error());
  descriptor socket{*opened};
  for (std::int64_t pause_ns = retry_first_ns;; pause_ns = std::min(2 * pause_ns, retry_max_ns)) {
    const io_result<void> connected = connect_unix_socket(socket.get(), to);
    if (connected) break;
    if (connected.error() != io_failure::would_block) co_return std::unexpected(connected.error());
    const cancel_reason why = co_await retry_wait{connect_reason, pause_ns, to};
    if (why != cancel_reason::none) co_return std::unexpected(to_io_error(why, connecting));
  }
  const io_result<endpoint*> watched = adopt_here(socket.release());
  if (!watched) co_return std::unexpected(watched.error());
  co_return unix_stream{**watched};
}

io_result<unix_stream_pair> unix_stream::pair() noexcept {
  executor* here = current_run().exec;
  LEVITY_ASSERT(here != nullptr, "a Unix stream is made inside a task");
  if (simulated_unix* by = here->home_reactor().unix_sockets) {
    const io_result<simulated_unix::ends> made = by->stream_pair(here->home_reactor());
    if (!made) return std::unexpected(made.error());
    return unix_stream_pair{unix_stream{*made->first}, unix_stream{*made->second}};
  }
  int fds[2];
  if (const io_result<void> made = open_unix_pair(SOCK_STREAM, fds); !made) return std::unexpected(made.error());
  const io_result<endpoint*> first = adopt_here(fds[0]);
  const io_result<endpoint*> second = adopt_here(fds[1]);
  unix_stream_pair ends;
  if (first) ends.first = unix_stream{**first};
  if (second) ends.second = unix_stream{**second};
  if (!first) return std::unexpected(first.error());
  if (!second) return std::unexpected(second.error());
  return ends;
}

io_result<unix_stream> unix_stream::adopt(int fd) noexcept {
  if (const io_result<void> fits = check_unix_socket(fd, SOCK_STREAM); !fits) {
    if (fd >= 0) kernel::close(fd);
    return std::unexpected(fits.error());
  }
  const io_result<endpoint*> watched = adopt_here(fd);
  if (!watched) return std::unexpected(watched.error());
  return unix_stream{**watched};
}

unix_stream::read_some_awaiter unix_stream::read_some() noexcept { return read_some_awaiter{*this}; }
unix_stream::read_into_awaiter unix_stream::read_some(std::span<std::byte> into) noexcept { return {socket_, into}; }
unix_stream::receive_awaiter unix_stream::read_some(std::span<std::byte> into, std::span<descriptor> descriptors) noexcept {
  return {socket_, into, descriptors};
}

unix_stream::write_awaiter unix_stream::write_all(byte_view bytes) noexcept { return write_all(bytes, std::span<const int>{}); }
unix_stream::write_awaiter unix_stream::write_all(std::string_view text) noexcept {
  return write_all(text, std::span<const int>{});
}
unix_stream::write_awaiter unix_stream::write_all(std::span<iovec> pieces) noexcept { return {socket_, pieces}; }
unix_stream::write_awaiter unix_stream::write_all(byte_view bytes, std::span<const int> descriptors) noexcept {
  return {socket_, iovec{const_cast<std::byte*>(bytes.data()), bytes.size()}, descriptors};
}
unix_stream::write_awaiter unix_stream::write_all(std::string_view text, std::span<const int> descriptors) noexcept {
  return write_all(std::as_bytes(std::span(text)), descriptors);
}

io_result<void> unix_stream::shutdown_write() noexcept {
  if (socket_ == nullptr) return std::unexpected(io_error{io_failure::closed, 0, "ending the stream"});
  if (simulated_unix* by = carrier_of_stream(socket_)) return by->shutdown_write(*socket_);
  return end_unix_stream(socket_->fd);
}

io_result<unix_credentials> unix_stream::peer_credentials() const noexcept {
  if (carrier_of_stream(socket_) != nullptr) return unix_credentials{process_id(), 0, 0};  // the only process of the host
  const io_result<peer_identity> who = unix_peer_identity(native_handle());
  if (!who) return std::unexpected(who.error());
  return unix_credentials{who->pid, who->uid, who->gid};
}

unix_address unix_stream::local_address() const noexcept {
  if (const simulated_unix* by = carrier_of_stream(socket_)) return by->local_name(*socket_);
  return unix_local_name(native_handle());
}
unix_address unix_stream::peer_address() const noexcept {
  if (const simulated_unix* by = carrier_of_stream(socket_)) return by->peer_name(*socket_);
  return unix_peer_name(native_handle());
}
io_result<void> unix_stream::set_send_buffer(int bytes) noexcept {
  if (simulated_unix* by = carrier_of_stream(socket_)) {
    by->set_send_buffer(*socket_, bytes);
    return {};
  }
  return set_socket_option(native_handle(), SOL_SOCKET, SO_SNDBUF, bytes);
}
io_result<void> unix_stream::set_receive_buffer(int bytes) noexcept {
  if (carrier_of_stream(socket_) != nullptr) return {};
  return set_socket_option(native_handle(), SOL_SOCKET, SO_RCVBUF, bytes);
}
int unix_stream::native_handle() const noexcept {
  return socket_ != nullptr && carrier_of_stream(socket_) == nullptr ? socket_->fd : -1;
}

// ---- reads and writes ------------------------------------------------------------------------------------------------

const wait_reason unix_stream::read_some_awaiter::reason_{
    "unix read", &read_some_awaiter::take_back, &read_some_awaiter::settle, &read_some_awaiter::describe_unix};
const wait_reason unix_stream::read_into_awaiter::reason_{
    "unix read", &read_into_awaiter::take_back, &read_into_awaiter::settle, &read_into_awaiter::describe_unix};
const wait_reason unix_stream::receive_awaiter::reason_{
    "unix read with descriptors", &receive_awaiter::take_back, &receive_awaiter::settle, &receive_awaiter::describe_unix};
const wait_reason unix_stream::write_awaiter::reason_{
    "unix write", &write_awaiter::take_back, &write_awaiter::settle, &write_awaiter::describe_unix};

unix_stream::read_some_awaiter::read_some_awaiter(unix_stream& stream) noexcept
    : socket_attempt(reason_, stream.socket_), stream_(stream) {}

socket_attempt::outcome unix_stream::read_some_awaiter::attempt() noexcept {
  if (stream_.buffer_ == nullptr) {
    try {
      stream_.buffer_ = take_buffer();
    } catch (const std::bad_alloc&) {
      error_ = io_error{io_failure::no_memory, 0, reason_.name};
      return outcome::done;
    }
  }
  const io_result<unix_head> got = read_once(*socket_, {stream_.buffer_, buffer_bytes}, {});
  if (!got && got.error() == io_failure::would_block) return outcome::again;
  if (got) {
    size_ = got->size;
  } else {
    error_ = got.error();
  }
  return outcome::done;
}

void unix_stream::read_some_awaiter::before_wait() noexcept { stream_.drop_buffer(); }

io_result<byte_view> unix_stream::read_some_awaiter::await_resume() const noexcept {
  if (size_ == 0) return std::unexpected(error_);
  return byte_view{stream_.buffer_, size_};
}

unix_stream::read_into_awaiter::read_into_awaiter(endpoint* socket, std::span<std::byte> into) noexcept
    : socket_attempt(reason_, socket), into_(into) {
  LEVITY_ASSERT(!into.empty(), "a read needs room for at least one byte");
}

socket_attempt::outcome unix_stream::read_into_awaiter::attempt() noexcept {
  const io_result<unix_head> got = read_once(*socket_, into_, {});
  if (!got && got.error() == io_failure::would_block) return outcome::again;
  if (got) {
    size_ = got->size;
  } else {
    error_ = got.error();
  }
  return outcome::done;
}

io_result<std::size_t> unix_stream::read_into_awaiter::await_resume() const noexcept {
  if (size_ == 0) return std::unexpected(error_);
  return size_;
}

unix_stream::receive_awaiter::receive_awaiter(endpoint* socket, std::span<std::byte> into,
                                              std::span<descriptor> descriptors) noexcept
    : socket_attempt(reason_, socket), into_(into), descriptors_(descriptors) {
  LEVITY_ASSERT(!into.empty(), "a read needs room for at least one byte");
  for (descriptor& each : descriptors) each.close();
}

socket_attempt::outcome unix_stream::receive_awaiter::attempt() noexcept {
  int raw[descriptors_max];
  const io_result<unix_head> got =
      read_once(*socket_, into_, std::span(raw).first(std::min(descriptors_.size(), descriptors_max)));
  if (!got && got.error() == io_failure::would_block) return outcome::again;
  if (!got) {
    error_ = got.error();
    return outcome::done;
  }
  for (std::size_t i = 0; i < got->descriptors; i++) descriptors_[i] = descriptor{raw[i]};
  got_ = {got->size, got->descriptors};
  if (got->has_dropped) {  // no room at all was given
    got_ = {};
    error_ = io_error{io_failure::too_large, 0, "receiving descriptors (there is room for none; all are closed)"};
  }
  return outcome::done;
}

io_result<unix_received> unix_stream::receive_awaiter::await_resume() const noexcept {
  if (got_.size == 0) return std::unexpected(error_);
  return got_;
}

unix_stream::write_awaiter::write_awaiter(endpoint* socket, iovec piece, std::span<const int> descriptors) noexcept
    : socket_attempt(reason_, socket), single_(piece), descriptors_(descriptors) {
  LEVITY_ASSERT(descriptors.empty() || piece.iov_len > 0, "descriptors travel with at least one byte");
}

unix_stream::write_awaiter::write_awaiter(endpoint* socket, std::span<iovec> pieces) noexcept
    : socket_attempt(reason_, socket), pieces_(pieces) {}

// Writes until all is out (error_ stays would_block) or the socket takes no more.
socket_attempt::outcome unix_stream::write_awaiter::attempt() noexcept {
  simulated_unix* const by = carrier_of_stream(socket_);
  if (by != nullptr && !descriptors_.empty()) {
    error_ = no_descriptors_to_pass();
    return outcome::done;
  }
  bool cleared = false;
  for (;;) {
    std::span<iovec> left = pieces_.empty() ? std::span<iovec>{&single_, 1} : pieces_;
    while (!left.empty() && left.front().iov_len == 0) left = left.subspan(1);
    if (left.empty()) return outcome::done;
    constexpr std::size_t pieces_max = 64;
    const std::span<iovec> next = left.first(std::min(left.size(), pieces_max));
    const io_result<std::size_t> sent = by != nullptr
                                            ? by->write(*socket_, next)
                                            : send_unix(socket_->fd, next, descriptors_, unix_sending::stream, nullptr);
    if (sent) {
      descriptors_ = {};
      std::size_t moved = *sent;
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
    if (sent.error() != io_failure::would_block) {
      if (cleared) socket_->writing.mark_ready();
      error_ = sent.error();
      if (error_.code() == ECONNRESET) socket_->was_reset.store(true, std::memory_order_relaxed);
      return outcome::done;
    }
    // Full. An event that came before the clear may have been for room that is gone again: try once more after it.
    if (cleared) return outcome::again;
    socket_->writing.clear();
    cleared = true;
  }
}

io_result<void> unix_stream::write_awaiter::await_resume() const noexcept {
  if (error_ == io_failure::would_block) return {};
  return std::unexpected(error_);
}

}  // namespace levity
