#include "levity/io/udp.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "io/address_text.hpp"
#include "levity/task/detail/executor.hpp"
#include "platform/datagram.hpp"
#include "platform/socket.hpp"
#include "platform/syscall.hpp"
#include "reactor/host_network.hpp"
#include "reactor/reactor.hpp"
#include "reactor/simulated_datagrams.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

byte_view bytes_of(std::string_view text) noexcept { return std::as_bytes(std::span(text)); }

// Who carries what this socket sends and receives; null: the kernel.
simulated_datagrams* carrier_of(const endpoint* socket) noexcept { return socket != nullptr ? socket->home->datagrams : nullptr; }

io_result<void> send_by(endpoint& socket, byte_view bytes, const address* to, std::size_t segment_bytes) noexcept {
  if (simulated_datagrams* by = carrier_of(&socket)) return by->send(socket, bytes, to);
  return send_datagram(socket.fd, bytes, to, segment_bytes);
}

// One system call that sends, tried once more when the send buffer is full. Error would_block: wait for an event.
template <class Transfer>
auto send_once(endpoint& socket, Transfer&& transfer) noexcept {
  for (bool cleared = false;;) {
    const auto sent = transfer();
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

// One system call that receives; keeps the direction's word right. Error would_block: wait for an event.
template <class Transfer>
auto receive_once(endpoint& socket, Transfer&& transfer) noexcept {
  socket.reading.clear();
  const auto got = transfer();
  // Only would_block says that all was taken: a short batch may also have been ended by an error that is told later.
  if (got || got.error() != io_failure::would_block) socket.reading.mark_ready();
  return got;
}

}  // namespace

// ---- udp_socket ------------------------------------------------------------------------------------------------------

io_result<udp_socket> udp_socket::bind(std::string_view at, udp_options options) noexcept {
  const io_result<address> parsed = read_address(at, "reading the address to bind a datagram socket to");
  if (!parsed) return std::unexpected(parsed.error());
  return bind(*parsed, options);
}

io_result<udp_socket> udp_socket::bind(const address& at, udp_options options) noexcept {
  executor* here = current_run().exec;
  reactor* const home = here != nullptr ? &here->home_reactor() : host_network();
  if (home != nullptr && home->datagrams != nullptr) {
    const io_result<endpoint*> socket = home->datagrams->bind(*home, at, options.reuse_port);
    if (!socket) return std::unexpected(socket.error());
    udp_socket made;
    made.socket_ = *socket;
    return made;
  }
  const io_result<int> fd = open_datagram_socket(at, options.reuse_port);
  if (!fd) return std::unexpected(fd.error());
  return adopt(*fd);
}

io_result<udp_socket> udp_socket::adopt(int fd) noexcept {
  if (const io_result<void> fits = check_datagram_socket(fd); !fits) {
    if (fd >= 0) kernel::close(fd);
    return std::unexpected(fits.error());
  }
  udp_socket made;
  made.early_fd_ = fd;
  if (current_run().exec != nullptr) {
    const io_result<endpoint*> socket = made.watched();
    if (!socket) return std::unexpected(socket.error());
  }
  return made;
}

// The endpoint; null when closed. Inside a task.
io_result<endpoint*> udp_socket::watched() noexcept {
  if (early_fd_ < 0) return socket_;
  executor* here = current_run().exec;
  LEVITY_ASSERT(here != nullptr, "a socket that was bound before the runtime is used inside it");
  const io_result<endpoint*> socket = here->home_reactor().adopt(std::exchange(early_fd_, -1));
  if (socket) socket_ = *socket;
  return socket;
}

int udp_socket::fd() const noexcept { return socket_ != nullptr ? socket_->fd : early_fd_; }

io_result<void> udp_socket::connect(std::string_view peer) noexcept {
  const io_result<address> parsed = read_address(peer, "reading the address to connect a datagram socket to");
  if (!parsed) return std::unexpected(parsed.error());
  return connect(*parsed);
}

io_result<void> udp_socket::connect(const address& peer) noexcept {
  if (simulated_datagrams* by = carrier_of(socket_)) return by->connect(*socket_, peer);
  return connect_datagram_socket(fd(), peer);
}

udp_socket::send_awaiter udp_socket::send(byte_view bytes) noexcept { return {watched(), bytes, nullptr}; }
udp_socket::send_awaiter udp_socket::send(std::string_view text) noexcept { return send(bytes_of(text)); }
udp_socket::send_awaiter udp_socket::send_to(byte_view bytes, const address& to) noexcept { return {watched(), bytes, &to}; }
udp_socket::send_awaiter udp_socket::send_to(std::string_view text, const address& to) noexcept {
  return send_to(bytes_of(text), to);
}

io_result<void> udp_socket::try_send(byte_view bytes) noexcept {
  if (simulated_datagrams* by = carrier_of(socket_)) return by->send(*socket_, bytes, nullptr);
  return send_datagram(fd(), bytes, nullptr, 0);
}
io_result<void> udp_socket::try_send_to(byte_view bytes, const address& to) noexcept {
  if (simulated_datagrams* by = carrier_of(socket_)) return by->send(*socket_, bytes, &to);
  return send_datagram(fd(), bytes, &to, 0);
}

udp_socket::send_segments_awaiter udp_socket::send_segments(byte_view bytes, std::size_t segment_bytes) noexcept {
  return {watched(), bytes, segment_bytes, nullptr};
}
udp_socket::send_segments_awaiter udp_socket::send_segments_to(byte_view bytes, std::size_t segment_bytes,
                                                               const address& to) noexcept {
  return {watched(), bytes, segment_bytes, &to};
}

udp_socket::send_batch_awaiter udp_socket::send(udp_send_batch& batch) noexcept { return {watched(), batch}; }
udp_socket::receive_awaiter udp_socket::receive(std::span<std::byte> into) noexcept { return {watched(), into, false}; }
udp_socket::receive_awaiter udp_socket::receive_from(std::span<std::byte> into) noexcept { return {watched(), into, true}; }
udp_socket::receive_batch_awaiter udp_socket::receive(udp_receive_batch& batch) noexcept { return {watched(), batch}; }

io_result<void> udp_socket::set_coalescing(bool on) noexcept {
  simulated_datagrams* const by = carrier_of(socket_);
  if (by == nullptr) return detail::set_coalescing(fd(), on);
  by->set_coalescing(*socket_, on);
  return {};
}

io_result<void> udp_socket::set_option(int level, int option, int value) noexcept {
  simulated_datagrams* const by = carrier_of(socket_);
  if (by == nullptr) return set_socket_option(fd(), level, option, value);
  by->set_option(*socket_, level, option, value);
  return {};
}
io_result<int> udp_socket::option(int level, int option) const noexcept {
  if (const simulated_datagrams* by = carrier_of(socket_)) return by->option(*socket_, level, option);
  return socket_option(fd(), level, option);
}
io_result<void> udp_socket::set_send_buffer(int bytes) noexcept { return set_option(SOL_SOCKET, SO_SNDBUF, bytes); }
io_result<void> udp_socket::set_receive_buffer(int bytes) noexcept { return set_option(SOL_SOCKET, SO_RCVBUF, bytes); }
io_result<void> udp_socket::set_broadcast(bool on) noexcept { return set_option(SOL_SOCKET, SO_BROADCAST, on ? 1 : 0); }
io_result<int> udp_socket::send_buffer() const noexcept { return option(SOL_SOCKET, SO_SNDBUF); }
io_result<int> udp_socket::receive_buffer() const noexcept { return option(SOL_SOCKET, SO_RCVBUF); }
io_result<std::uint64_t> udp_socket::dropped() const noexcept {
  if (const simulated_datagrams* by = carrier_of(socket_)) return by->dropped(*socket_);
  return dropped_datagrams(fd());
}
address udp_socket::local_address() const noexcept {
  if (const simulated_datagrams* by = carrier_of(socket_)) return by->local_address(*socket_);
  return socket_local_address(fd());
}
address udp_socket::peer_address() const noexcept {
  if (const simulated_datagrams* by = carrier_of(socket_)) return by->peer_address(*socket_);
  return socket_peer_address(fd());
}

void udp_socket::close() noexcept {
  if (const int early = std::exchange(early_fd_, -1); early >= 0) kernel::close(early);
  endpoint* const socket = std::exchange(socket_, nullptr);
  if (socket == nullptr) return;
  if (simulated_datagrams* by = carrier_of(socket)) return by->close(*socket);
  socket->home->close(*socket, false);
}

// ---- sends -----------------------------------------------------------------------------------------------------------

const wait_reason udp_socket::send_awaiter::reason_{
    "udp send", &send_awaiter::take_back, &send_awaiter::settle, &send_awaiter::describe_fd};
const wait_reason udp_socket::send_segments_awaiter::reason_{
    "udp segments send", &send_segments_awaiter::take_back, &send_segments_awaiter::settle, &send_segments_awaiter::describe_fd};
const wait_reason udp_socket::send_batch_awaiter::reason_{
    "udp batch send", &send_batch_awaiter::take_back, &send_batch_awaiter::settle, &send_batch_awaiter::describe_fd};
const wait_reason udp_socket::receive_awaiter::reason_{
    "udp receive", &receive_awaiter::take_back, &receive_awaiter::settle, &receive_awaiter::describe_fd};
const wait_reason udp_socket::receive_batch_awaiter::reason_{
    "udp batch receive", &receive_batch_awaiter::take_back, &receive_batch_awaiter::settle, &receive_batch_awaiter::describe_fd};

namespace {

std::optional<address> copy_of(const address* to) noexcept { return to != nullptr ? std::optional(*to) : std::nullopt; }

const address* pointer_to(const std::optional<address>& to) noexcept { return to ? &*to : nullptr; }

}  // namespace

udp_socket::send_awaiter::send_awaiter(io_result<endpoint*> socket, byte_view bytes, const address* to) noexcept
    : socket_attempt(reason_, socket), bytes_(bytes), to_(copy_of(to)) {}

socket_attempt::outcome udp_socket::send_awaiter::attempt() noexcept {
  const auto sent = send_once(*socket_, [this]() noexcept { return send_by(*socket_, bytes_, pointer_to(to_), 0); });
  if (sent) return outcome::done;
  if (sent.error() == io_failure::would_block) return outcome::again;
  error_ = sent.error();
  return outcome::done;
}

io_result<void> udp_socket::send_awaiter::await_resume() const noexcept {
  if (error_ == io_failure::would_block) return {};
  return std::unexpected(error_);
}

udp_socket::send_segments_awaiter::send_segments_awaiter(io_result<endpoint*> socket, byte_view bytes, std::size_t segment_bytes,
                                                         const address* to) noexcept
    : socket_attempt(reason_, socket), left_(bytes), segment_bytes_(segment_bytes), to_(copy_of(to)) {
  LEVITY_ASSERT(segment_bytes > 0, "a segment has at least one byte");
  kernel_cuts_ = carrier_of(socket_) == nullptr;
}

socket_attempt::outcome udp_socket::send_segments_awaiter::attempt() noexcept {
  while (!left_.empty()) {
    const bool several = left_.size() > segment_bytes_;
    const std::size_t cut = several && kernel_cuts_ ? max_segmented_bytes(left_.size(), segment_bytes_) : 0;
    const byte_view part = left_.first(cut != 0 ? cut : std::min(left_.size(), segment_bytes_));
    const auto sent = send_once(*socket_, [&]() noexcept {
      return send_by(*socket_, part, pointer_to(to_), cut != 0 ? segment_bytes_ : 0);
    });
    if (sent) {
      left_ = left_.subspan(part.size());
    } else if (sent.error() == io_failure::would_block) {
      return outcome::again;
    } else if (cut != 0 && refuses_segments(sent.error())) {
      kernel_cuts_ = false;
    } else {
      error_ = sent.error();
      return outcome::done;
    }
  }
  return outcome::done;
}

io_result<void> udp_socket::send_segments_awaiter::await_resume() const noexcept {
  if (error_ == io_failure::would_block) return {};
  return std::unexpected(error_);
}

udp_socket::send_batch_awaiter::send_batch_awaiter(io_result<endpoint*> socket, udp_send_batch& batch) noexcept
    : socket_attempt(reason_, socket), batch_(batch) {}

socket_attempt::outcome udp_socket::send_batch_awaiter::attempt() noexcept {
  while (batch_.sent_ < batch_.size_) {
    const auto sent = send_once(*socket_, [this]() noexcept {
      simulated_datagrams* const by = carrier_of(socket_);
      return by != nullptr ? by->send(*socket_, *batch_.rows_, batch_.sent_, batch_.size_)
                           : batch_.rows_->send(socket_->fd, batch_.sent_, batch_.size_);
    });
    if (sent) {
      batch_.sent_ += *sent;
      continue;
    }
    if (sent.error() == io_failure::would_block) return outcome::again;
    error_ = sent.error();
    return outcome::done;
  }
  return outcome::done;
}

io_result<void> udp_socket::send_batch_awaiter::await_resume() const noexcept {
  if (error_ == io_failure::would_block) return {};
  return std::unexpected(error_);
}

// ---- receives --------------------------------------------------------------------------------------------------------

udp_socket::receive_awaiter::receive_awaiter(io_result<endpoint*> socket, std::span<std::byte> into, bool wants_sender) noexcept
    : socket_attempt(reason_, socket), into_(into), wants_sender_(wants_sender) {}

socket_attempt::outcome udp_socket::receive_awaiter::attempt() noexcept {
  simulated_datagrams* const by = carrier_of(socket_);
  const auto got = receive_once(*socket_, [this, by]() noexcept {
    return by != nullptr ? by->receive(*socket_, into_) : receive_datagram(socket_->fd, into_, wants_sender_);
  });
  if (got) {
    got_ = {into_.first(got->size), wants_sender_ ? got->from : address{}, got->segment_bytes, got->truncated};
    return outcome::done;
  }
  if (got.error() == io_failure::would_block) return outcome::again;
  error_ = got.error();
  return outcome::done;
}

io_result<udp_datagram> udp_socket::receive_awaiter::await_resume() const noexcept {
  if (error_ == io_failure::would_block) return got_;
  return std::unexpected(error_);
}

udp_socket::receive_batch_awaiter::receive_batch_awaiter(io_result<endpoint*> socket, udp_receive_batch& batch) noexcept
    : socket_attempt(reason_, socket), batch_(batch) {
  batch_.size_ = 0;
}

socket_attempt::outcome udp_socket::receive_batch_awaiter::attempt() noexcept {
  // The kernel has written into the headers of the rows that it filled, and of no others.
  for (std::size_t i = 0; i < batch_.used_; i++) {
    batch_.rows_->set_incoming(i, {&batch_.buffers_[i * batch_.datagram_bytes_], batch_.datagram_bytes_});
  }
  batch_.used_ = 0;
  simulated_datagrams* const by = carrier_of(socket_);
  const auto got = receive_once(*socket_, [this, by]() noexcept {
    return by != nullptr ? by->receive(*socket_, *batch_.rows_, batch_.capacity_)
                         : batch_.rows_->receive(socket_->fd, batch_.capacity_);
  });
  if (got) {
    batch_.size_ = batch_.used_ = *got;
    return outcome::done;
  }
  if (got.error() == io_failure::would_block) return outcome::again;
  error_ = got.error();
  return outcome::done;
}

io_result<std::size_t> udp_socket::receive_batch_awaiter::await_resume() const noexcept {
  if (error_ == io_failure::would_block) return batch_.size_;
  return std::unexpected(error_);
}

}  // namespace levity
