#include "levity/io/unix_datagram.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "io/address_text.hpp"
#include "io/unix_description.hpp"
#include "io/unix_wait.hpp"
#include "levity/base/assert.hpp"
#include "levity/task/yield.hpp"
#include "platform/socket.hpp"
#include "platform/syscall.hpp"
#include "platform/unix_socket.hpp"
#include "reactor/reactor.hpp"
#include "reactor/simulated_unix.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

constexpr const char* sending = "sending a Unix datagram";

const wait_reason send_to_reason{"unix datagram send to", &retry_wait::take_back, nullptr, &retry_wait::describe};

byte_view bytes_of(std::string_view text) noexcept { return std::as_bytes(std::span(text)); }

// Who carries what this socket sends and receives; null: the kernel.
simulated_unix* carrier_of(const endpoint* socket) noexcept { return socket != nullptr ? socket->home->unix_sockets : nullptr; }

io_result<void> send_one(endpoint& socket, byte_view bytes, std::span<const int> descriptors, const unix_address* to) noexcept {
  if (simulated_unix* by = carrier_of(&socket)) {
    if (!descriptors.empty()) return std::unexpected(no_descriptors_to_pass());
    const io_result<void> sent = by->send(socket, bytes, to);
    if (sent) return {};
    return std::unexpected(sent.error().during(sending));
  }
  const iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
  const io_result<std::size_t> sent = send_unix(socket.fd, {&piece, 1}, descriptors, unix_sending::datagram, to);
  if (sent) return {};
  const bool mine = sent.error() == io_failure::too_large || sent.error() == io_failure::no_descriptors;  // says which
  return std::unexpected(mine ? sent.error() : sent.error().during(sending));
}

// To the peer; tried once more when it finds no room. Error would_block: wait for an event.
io_result<void> send_once(endpoint& socket, byte_view bytes, std::span<const int> descriptors) noexcept {
  for (bool cleared = false;;) {
    const io_result<void> sent = send_one(socket, bytes, descriptors, nullptr);
    // An event that came before the clear may have been for room that is gone again: once more after it.
    if (sent || sent.error() != io_failure::would_block) {
      // The clear may have taken the only event there was, and the next send would wait for it.
      if (cleared) socket.writing.mark_ready();
      return sent;
    }
    if (cleared) return sent;
    socket.writing.clear();
    cleared = true;
  }
}

}  // namespace

// ---- unix_datagram ---------------------------------------------------------------------------------------------------

io_result<unix_datagram> unix_datagram::watch(int fd) noexcept {
  executor* here = current_run().exec;
  LEVITY_ASSERT(here != nullptr, "a Unix datagram socket is made inside a task");
  const io_result<endpoint*> socket = here->home_reactor().adopt(fd);
  if (!socket) return std::unexpected(socket.error());
  unix_datagram made;
  made.socket_ = *socket;
  return made;
}

io_result<unix_datagram> unix_datagram::bind(std::string_view at, const unix_bind_options& options) noexcept {
  const io_result<unix_address> parsed = read_unix_address(at);
  if (!parsed) return std::unexpected(parsed.error());
  return bind(*parsed, options);
}

io_result<unix_datagram> unix_datagram::bind(const unix_address& at, const unix_bind_options& options) noexcept {
  if (at.is_empty()) return std::unexpected(io_error{io_failure::invalid, 0, "binding a Unix socket"});
  io_result<unix_datagram> made = unnamed();
  if (!made) return made;
  const int mode = options.mode ? static_cast<int>(*options.mode) : -1;
  const unix_bind_request request{at, -1, mode, options.replace_stale};
  if (simulated_unix* by = carrier_of(made->socket_)) {
    if (const io_result<void> bound = by->bind(*made->socket_, request); !bound) return std::unexpected(bound.error());
    return made;
  }
  const io_result<socket_file> file = bind_unix_socket(made->socket_->fd, request);
  if (!file) return std::unexpected(file.error());
  made->file_device_ = file->device;
  made->file_inode_ = file->inode;
  return made;
}

io_result<unix_datagram> unix_datagram::unnamed() noexcept {
  executor* here = current_run().exec;
  LEVITY_ASSERT(here != nullptr, "a Unix datagram socket is made inside a task");
  if (simulated_unix* by = here->home_reactor().unix_sockets) {
    const io_result<endpoint*> socket = by->unnamed_datagram(here->home_reactor());
    if (!socket) return std::unexpected(socket.error());
    unix_datagram made;
    made.socket_ = *socket;
    return made;
  }
  const io_result<int> fd = open_unix_socket(SOCK_DGRAM);
  if (!fd) return std::unexpected(fd.error());
  return watch(*fd);
}

io_result<unix_datagram_pair> unix_datagram::pair() noexcept {
  executor* here = current_run().exec;
  LEVITY_ASSERT(here != nullptr, "a Unix datagram socket is made inside a task");
  if (simulated_unix* by = here->home_reactor().unix_sockets) {
    const io_result<simulated_unix::ends> made = by->datagram_pair(here->home_reactor());
    if (!made) return std::unexpected(made.error());
    unix_datagram_pair ends;
    ends.first.socket_ = made->first;
    ends.second.socket_ = made->second;
    return ends;
  }
  int fds[2];
  if (const io_result<void> made = open_unix_pair(SOCK_DGRAM, fds); !made) return std::unexpected(made.error());
  io_result<unix_datagram> first = watch(fds[0]);
  io_result<unix_datagram> second = watch(fds[1]);
  if (!first) return std::unexpected(first.error());
  if (!second) return std::unexpected(second.error());
  return unix_datagram_pair{std::move(*first), std::move(*second)};
}

io_result<unix_datagram> unix_datagram::adopt(int fd) noexcept {
  if (const io_result<void> fits = check_unix_socket(fd, SOCK_DGRAM); !fits) {
    if (fd >= 0) kernel::close(fd);
    return std::unexpected(fits.error());
  }
  return watch(fd);
}

void unix_datagram::swap(unix_datagram& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(file_device_, other.file_device_);
  std::swap(file_inode_, other.file_inode_);
}

io_result<void> unix_datagram::connect(const unix_address& peer) noexcept {
  if (simulated_unix* by = carrier_of(socket_)) return by->connect(*socket_, peer);
  return connect_unix_socket(native_handle(), peer);
}

unix_datagram::send_awaiter unix_datagram::send(byte_view bytes, std::span<const int> descriptors) noexcept {
  return {socket_, bytes, descriptors};
}
unix_datagram::send_awaiter unix_datagram::send(std::string_view text, std::span<const int> descriptors) noexcept {
  return {socket_, bytes_of(text), descriptors};
}

task<io_result<void>> unix_datagram::send_to(std::string_view text, unix_address to, std::span<const int> descriptors) {
  return send_to(bytes_of(text), to, descriptors);
}

task<io_result<void>> unix_datagram::send_to(byte_view bytes, unix_address to, std::span<const int> descriptors) {
  if (socket_ == nullptr) co_return std::unexpected(io_error{io_failure::closed, 0, sending});
  // An attempt is no wait, but who sends without end lets the others run, and ends when it shall.
  try {
    if (spend_budget()) {
      co_await throw_if_cancelled();
    } else {
      co_await yield();
    }
  } catch (const cancelled& ended) {
    co_return std::unexpected(to_io_error(ended.reason(), sending));
  }
  for (std::int64_t pause_ns = retry_first_ns;; pause_ns = std::min(2 * pause_ns, retry_max_ns)) {
    const io_result<void> sent = send_one(*socket_, bytes, descriptors, &to);
    if (sent || sent.error() != io_failure::would_block) co_return sent;
    const cancel_reason why = co_await retry_wait{send_to_reason, pause_ns, to};
    if (why != cancel_reason::none) co_return std::unexpected(to_io_error(why, sending));
  }
}

unix_datagram::receive_awaiter unix_datagram::receive(std::span<std::byte> into, std::span<descriptor> descriptors) noexcept {
  return {socket_, into, descriptors};
}

void unix_datagram::close() noexcept {
  if (file_inode_ != 0) remove_socket_file(local_address(), {file_device_, std::exchange(file_inode_, 0)});
  endpoint* const socket = std::exchange(socket_, nullptr);
  if (socket == nullptr) return;
  if (simulated_unix* by = carrier_of(socket)) return by->close(*socket);
  socket->home->close(*socket, false);
}

int unix_datagram::native_handle() const noexcept {
  return socket_ != nullptr && carrier_of(socket_) == nullptr ? socket_->fd : -1;
}
unix_address unix_datagram::local_address() const noexcept {
  if (const simulated_unix* by = carrier_of(socket_)) return by->local_name(*socket_);
  return unix_local_name(native_handle());
}
unix_address unix_datagram::peer_address() const noexcept {
  if (const simulated_unix* by = carrier_of(socket_)) return by->peer_name(*socket_);
  return unix_peer_name(native_handle());
}
io_result<void> unix_datagram::set_send_buffer(int bytes) noexcept {
  if (simulated_unix* by = carrier_of(socket_)) {
    by->set_send_buffer(*socket_, bytes);
    return {};
  }
  return set_socket_option(native_handle(), SOL_SOCKET, SO_SNDBUF, bytes);
}

// ---- sends and receives ----------------------------------------------------------------------------------------------

const wait_reason unix_datagram::send_awaiter::reason_{
    "unix datagram send", &send_awaiter::take_back, &send_awaiter::settle, &send_awaiter::describe_unix};
const wait_reason unix_datagram::receive_awaiter::reason_{
    "unix datagram receive", &receive_awaiter::take_back, &receive_awaiter::settle, &receive_awaiter::describe_unix};

unix_datagram::send_awaiter::send_awaiter(endpoint* socket, byte_view bytes, std::span<const int> descriptors) noexcept
    : socket_attempt(reason_, socket), bytes_(bytes), descriptors_(descriptors) {}

socket_attempt::outcome unix_datagram::send_awaiter::attempt() noexcept {
  const io_result<void> sent = send_once(*socket_, bytes_, descriptors_);
  if (sent) return outcome::done;
  if (sent.error() == io_failure::would_block) return outcome::again;
  error_ = sent.error();
  return outcome::done;
}

io_result<void> unix_datagram::send_awaiter::await_resume() const noexcept {
  if (error_ == io_failure::would_block) return {};
  return std::unexpected(error_);
}

unix_datagram::receive_awaiter::receive_awaiter(endpoint* socket, std::span<std::byte> into,
                                                std::span<descriptor> descriptors) noexcept
    : socket_attempt(reason_, socket), into_(into), descriptors_(descriptors) {
  for (descriptor& each : descriptors) each.close();
}

socket_attempt::outcome unix_datagram::receive_awaiter::attempt() noexcept {
  int raw[descriptors_max];
  socket_->reading.clear();
  simulated_unix* const by = carrier_of(socket_);
  const std::span<int> room = std::span(raw).first(std::min(descriptors_.size(), descriptors_max));
  const io_result<unix_head> got = by != nullptr ? by->receive(*socket_, into_) : receive_unix(socket_->fd, into_, room, true);
  if (!got && got.error() == io_failure::would_block) return outcome::again;
  socket_->reading.mark_ready();
  if (!got) {
    error_ = got.error();
    return outcome::done;
  }
  for (std::size_t i = 0; i < got->descriptors; i++) descriptors_[i] = descriptor{raw[i]};
  got_ = {into_.first(got->size), got->from, got->descriptors, got->truncated};
  return outcome::done;
}

io_result<unix_message> unix_datagram::receive_awaiter::await_resume() const noexcept {
  if (error_ == io_failure::would_block) return got_;
  return std::unexpected(error_);
}

}  // namespace levity
