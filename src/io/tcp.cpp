#include "levity/io/tcp.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <new>
#include <utility>

#include "io/address_text.hpp"
#include "io/event_wait.hpp"
#include "levity/base/atomic.hpp"
#include "levity/memory/buffer.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "reactor/reactor.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

const wait_reason connect_reason{"connect", &event_wait::take_back, nullptr, &event_wait::describe};

}  // namespace

// ---- tcp_stream ------------------------------------------------------------------------------------------------------

tcp_stream::tcp_stream(tcp_stream&& other) noexcept
    : socket_(std::exchange(other.socket_, nullptr)), buffer_(std::exchange(other.buffer_, nullptr)) {}

tcp_stream& tcp_stream::operator=(tcp_stream&& other) noexcept {
  if (this != &other) {
    close();
    socket_ = std::exchange(other.socket_, nullptr);
    buffer_ = std::exchange(other.buffer_, nullptr);
  }
  return *this;
}

tcp_stream::~tcp_stream() { close(); }

void tcp_stream::drop_buffer() noexcept {
  if (buffer_ != nullptr) give_buffer(std::exchange(buffer_, nullptr));
}

void tcp_stream::close() noexcept {
  drop_buffer();
  if (endpoint* socket = std::exchange(socket_, nullptr)) socket->home->close(*socket, false);
}

void tcp_stream::abort() noexcept {
  drop_buffer();
  if (endpoint* socket = std::exchange(socket_, nullptr)) socket->home->close(*socket, true);
}

task<io_result<tcp_stream>> tcp_stream::connect(address to) { return connect_to(to); }

task<io_result<tcp_stream>> tcp_stream::connect(std::string_view to) {
  return connect_to(read_address(to, "reading the address to connect to"));
}

task<io_result<tcp_stream>> tcp_stream::connect_to(io_result<address> read) {
  if (!read) co_return std::unexpected(read.error());
  const io_result<endpoint*> started = current_run().exec->home_reactor().start_connect(*read);
  if (!started) co_return std::unexpected(started.error());
  tcp_stream stream{**started};
  endpoint& socket = **started;
  for (;;) {
    socket.writing.clear();
    const io_result<void> established = socket.home->finish_connect(socket);
    if (established) {
      socket.writing.mark_ready();
      co_return stream;
    }
    if (established.error() != io_failure::would_block) co_return std::unexpected(established.error());
    const cancel_reason why = co_await event_wait{connect_reason, socket, false};
    if (why != cancel_reason::none) co_return std::unexpected(to_io_error(why, "connecting"));
  }
}

tcp_stream::read_some_awaiter tcp_stream::read_some() noexcept { return read_some_awaiter{*this}; }

tcp_stream::read_into_awaiter tcp_stream::read_some(std::span<std::byte> into) noexcept { return {socket_, into}; }

tcp_stream::write_awaiter tcp_stream::write_all(byte_view bytes) noexcept {
  return {socket_, iovec{const_cast<std::byte*>(bytes.data()), bytes.size()}};
}

tcp_stream::write_awaiter tcp_stream::write_all(std::string_view text) noexcept {
  return {socket_, iovec{const_cast<char*>(text.data()), text.size()}};
}

tcp_stream::write_awaiter tcp_stream::write_all(std::span<iovec> pieces) noexcept { return {socket_, pieces}; }

io_result<void> tcp_stream::shutdown_write() noexcept {
  if (socket_ == nullptr) return std::unexpected(io_error{io_failure::closed, 0, "ending the stream"});
  return socket_->home->shutdown_write(*socket_);
}

address tcp_stream::local_address() const noexcept {
  return socket_ != nullptr ? socket_->home->local_address(*socket_) : address{};
}

address tcp_stream::peer_address() const noexcept {
  return socket_ != nullptr ? socket_->home->peer_address(*socket_) : address{};
}

namespace {

io_result<void> set_socket_option(endpoint* socket, int level, int option, int value) noexcept {
  if (socket == nullptr) return std::unexpected(io_error{io_failure::closed, 0, "setting a socket option"});
  return socket->home->set_option(*socket, level, option, value);
}

// One read; keeps the direction's word right. Error would_block: wait for an event.
io_result<std::size_t> read_once(endpoint& socket, std::span<std::byte> into) noexcept {
  socket.reading.clear();
  const io_result<std::size_t> got = socket.home->try_read(socket, into);
  // A full read may have left bytes behind. After a short one, or one that took all, the next byte raises an event, unless the
  // peer has hung up: then no event may come any more.
  const bool more = got ? (*got == into.size() && !socket.took_all) || socket.hung_up.load(std::memory_order_relaxed)
                        : got.error() != io_failure::would_block;
  if (more) socket.reading.mark_ready();
  return got;
}

}  // namespace

io_result<std::size_t> tcp_stream::try_read_some(std::span<std::byte> into) noexcept {
  if (socket_ == nullptr) return std::unexpected(io_error{io_failure::closed, 0, "socket read"});
  return read_once(*socket_, into);
}

io_result<void> tcp_stream::set_no_delay(bool on) noexcept {
  return set_socket_option(socket_, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0);
}

io_result<void> tcp_stream::set_keep_alive(bool on) noexcept {
  return set_socket_option(socket_, SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0);
}

io_result<void> tcp_stream::set_silence_max(duration at_most) noexcept {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  constexpr duration longest_ms = milliseconds(std::numeric_limits<int>::max());
  constexpr duration longest_probe = seconds(32767);  // what Linux takes
  constexpr int probes = 3;
  const bool on = at_most > duration::zero();
  const auto ms = on ? std::chrono::ceil<milliseconds>(std::min(at_most, longest_ms)).count() : 0;
  if (const auto set = set_socket_option(socket_, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(ms)); !set) return set;
  if (on) {
    const int each = static_cast<int>(std::chrono::ceil<seconds>(std::min(at_most / probes, longest_probe)).count());
    for (const auto& [option, value] : {std::pair{TCP_KEEPIDLE, each}, {TCP_KEEPINTVL, each}, {TCP_KEEPCNT, probes}}) {
      if (const auto set = set_socket_option(socket_, IPPROTO_TCP, option, value); !set) return set;
    }
  }
  return set_keep_alive(on);
}

io_result<void> tcp_stream::set_send_buffer(int bytes) noexcept {
  return set_socket_option(socket_, SOL_SOCKET, SO_SNDBUF, bytes);
}

io_result<void> tcp_stream::set_receive_buffer(int bytes) noexcept {
  return set_socket_option(socket_, SOL_SOCKET, SO_RCVBUF, bytes);
}

// ---- reads and writes ------------------------------------------------------------------------------------------------

const wait_reason tcp_stream::read_some_awaiter::reason_{
    "socket read", &read_some_awaiter::take_back, &read_some_awaiter::settle, nullptr};
const wait_reason tcp_stream::read_into_awaiter::reason_{
    "socket read", &read_into_awaiter::take_back, &read_into_awaiter::settle, nullptr};
const wait_reason tcp_stream::write_awaiter::reason_{
    "socket write", &write_awaiter::take_back, &write_awaiter::settle, nullptr};

tcp_stream::read_some_awaiter::read_some_awaiter(tcp_stream& stream) noexcept
    : socket_attempt(reason_, stream.socket_), stream_(stream) {}

socket_attempt::outcome tcp_stream::read_some_awaiter::attempt() noexcept {
  if (stream_.buffer_ == nullptr) {
    try {
      stream_.buffer_ = take_buffer();
    } catch (const std::bad_alloc&) {
      error_ = io_error{io_failure::no_memory, 0, "socket read"};
      return outcome::done;
    }
  }
  const io_result<std::size_t> got = read_once(*socket_, {stream_.buffer_, buffer_bytes});
  if (got) {
    size_ = *got;
    return outcome::done;
  }
  if (got.error() == io_failure::would_block) return outcome::again;
  error_ = got.error();
  return outcome::done;
}

void tcp_stream::read_some_awaiter::before_wait() noexcept { stream_.drop_buffer(); }

io_result<byte_view> tcp_stream::read_some_awaiter::await_resume() const noexcept {
  if (size_ == 0) return std::unexpected(error_);
  return byte_view{stream_.buffer_, size_};
}

tcp_stream::read_into_awaiter::read_into_awaiter(endpoint* socket, std::span<std::byte> into) noexcept
    : socket_attempt(reason_, socket), into_(into) {
  LEVITY_ASSERT(!into.empty(), "a read needs room for at least one byte");
}

socket_attempt::outcome tcp_stream::read_into_awaiter::attempt() noexcept {
  const io_result<std::size_t> got = read_once(*socket_, into_);
  if (!got && got.error() == io_failure::would_block) return outcome::again;
  if (got) {
    size_ = *got;
  } else {
    error_ = got.error();
  }
  return outcome::done;
}

io_result<std::size_t> tcp_stream::read_into_awaiter::await_resume() const noexcept {
  if (size_ == 0) return std::unexpected(error_);
  return size_;
}

tcp_stream::write_awaiter::write_awaiter(endpoint* socket, iovec piece) noexcept
    : socket_attempt(reason_, socket), single_(piece) {}

tcp_stream::write_awaiter::write_awaiter(endpoint* socket, std::span<iovec> pieces) noexcept
    : socket_attempt(reason_, socket), pieces_(pieces) {}

// Writes until all is out (error_ stays would_block) or the socket takes no more.
socket_attempt::outcome tcp_stream::write_awaiter::attempt() noexcept {
  bool cleared = false;
  for (;;) {
    std::span<iovec> left = pieces_.empty() ? std::span<iovec>{&single_, 1} : pieces_;
    while (!left.empty() && left.front().iov_len == 0) left = left.subspan(1);
    if (left.empty()) return outcome::done;
    constexpr std::size_t pieces_max = 64;
    const io_result<std::size_t> sent = socket_->home->try_write(*socket_, left.first(std::min(left.size(), pieces_max)));
    if (sent) {
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
      return outcome::done;
    }
    // Full. An event that came before the clear may have been for room that is gone again: try once more after it.
    if (cleared) return outcome::again;
    socket_->writing.clear();
    cleared = true;
  }
}

io_result<void> tcp_stream::write_awaiter::await_resume() const noexcept {
  if (error_ == io_failure::would_block) return {};
  return std::unexpected(error_);
}

}  // namespace levity
