#include "levity/io/unix_listener.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "io/accepting.hpp"
#include "io/address_text.hpp"
#include "io/event_wait.hpp"
#include "io/unix_description.hpp"
#include "levity/base/assert.hpp"
#include "levity/task/cancel.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "levity/task/yield.hpp"
#include "levity/time/sleep.hpp"
#include "platform/socket.hpp"
#include "platform/syscall.hpp"
#include "platform/unix_socket.hpp"
#include "reactor/host_network.hpp"
#include "reactor/reactor.hpp"
#include "reactor/simulated_unix.hpp"

namespace levity::inline v0 {

using namespace detail;

namespace {

constexpr const char* accepting = "accepting";

// As event_wait's, with the name.
class accept_wait : public event_wait {
public:
  explicit accept_wait(endpoint& socket) noexcept : event_wait(why_it_waits, socket, true), at_(socket) {}

private:
  static void describe(const waiter& self, char* text, std::size_t size) noexcept {
    describe_unix_endpoint(static_cast<const accept_wait&>(self).at_, text, size);
  }
  static const wait_reason why_it_waits;

  const endpoint& at_;
};

const wait_reason accept_wait::why_it_waits{"unix accept", &accept_wait::take_back, nullptr, &accept_wait::describe};

// Who answers for this listener; null: the kernel.
simulated_unix* carrier_of_listener(const endpoint* socket) noexcept {
  return socket != nullptr ? socket->home->unix_sockets : nullptr;
}

}  // namespace

io_result<unix_listener> unix_listener::bind(std::string_view at, const unix_listen_options& options) noexcept {
  const io_result<unix_address> parsed = read_unix_address(at);
  if (!parsed) return std::unexpected(parsed.error());
  return bind(*parsed, options);
}

io_result<unix_listener> unix_listener::bind(const unix_address& at, const unix_listen_options& options) noexcept {
  constexpr const char* doing = "listening at a Unix socket";
  if (at.is_empty()) return std::unexpected(io_error{io_failure::invalid, 0, doing});
  const int mode = options.bind.mode ? static_cast<int>(*options.bind.mode) : -1;
  const unix_bind_request request{at, std::max(options.backlog, 0), mode, options.bind.replace_stale};
  unix_listener listener;
  executor* here = current_run().exec;
  reactor* const home = here != nullptr ? &here->home_reactor() : host_network();
  if (home != nullptr && home->unix_sockets != nullptr) {
    const io_result<endpoint*> socket = home->unix_sockets->listen(*home, request);
    if (!socket) return std::unexpected(socket.error());
    listener.socket_ = *socket;
    listener.fd_ = (*socket)->fd;
    return listener;
  }
  const io_result<int> fd = open_unix_socket(SOCK_STREAM);
  if (!fd) return std::unexpected(fd.error());
  listener.fd_ = *fd;
  const io_result<socket_file> file = bind_unix_socket(*fd, request);
  if (!file) return std::unexpected(file.error());
  listener.file_device_ = file->device;
  listener.file_inode_ = file->inode;
  if (here != nullptr) {
    const io_result<endpoint*> socket = listener.watched();
    if (!socket) return std::unexpected(socket.error());
  }
  return listener;
}

io_result<unix_listener> unix_listener::adopt(int fd) noexcept {
  const io_result<void> fits = check_unix_socket(fd, SOCK_STREAM);
  const bool listens = fits && socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN).value_or(0) != 0;
  if (!listens) {
    if (fd >= 0) kernel::close(fd);
    return std::unexpected(fits ? io_error{io_failure::invalid, 0, "adopting a Unix socket that does not listen"} : fits.error());
  }
  unix_listener listener;
  listener.fd_ = fd;
  return listener;
}

void unix_listener::swap(unix_listener& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(fd_, other.fd_);
  std::swap(file_device_, other.file_device_);
  std::swap(file_inode_, other.file_inode_);
}

// The endpoint; inside a task.
io_result<endpoint*> unix_listener::watched() noexcept {
  if (socket_ == nullptr && fd_ >= 0) {
    executor* here = current_run().exec;
    LEVITY_ASSERT(here != nullptr, "a listener accepts inside a task");
    const io_result<endpoint*> socket = here->home_reactor().adopt(fd_);
    if (!socket) {
      fd_ = -1;
      return socket;
    }
    socket_ = *socket;
  }
  if (socket_ == nullptr) return std::unexpected(io_error{io_failure::closed, 0, accepting});
  return socket_;
}

io_result<unix_stream> unix_listener::try_accept() noexcept {
  const io_result<endpoint*> from = watched();
  if (!from) return std::unexpected(from.error());
  (*from)->reading.clear();
  if (simulated_unix* by = carrier_of_listener(*from)) {
    const io_result<endpoint*> peer = by->try_accept(**from, current_run().exec->next_reactor());
    // There may be more in the queue.
    if (peer || peer.error() != io_failure::would_block) (*from)->reading.mark_ready();
    if (!peer) return std::unexpected(peer.error());
    return unix_stream{**peer};
  }
  const io_result<int> fd = accept_unix_socket((*from)->fd);
  // There may be more in the queue.
  if (fd || fd.error() != io_failure::would_block) (*from)->reading.mark_ready();
  if (!fd) return std::unexpected(fd.error());
  const io_result<endpoint*> peer = current_run().exec->next_reactor().adopt(*fd);
  if (!peer) return std::unexpected(peer.error());
  return unix_stream{**peer};
}

task<io_result<unix_stream>> unix_listener::accept() {
  const io_result<endpoint*> from = watched();
  if (!from) co_return std::unexpected(from.error());
  endpoint& socket = **from;
  for (;;) {
    if (!socket.reading.is_drained()) {
      // What is there needs no wait, but who takes connections without end lets the others run, and ends when it shall.
      try {
        if (spend_budget()) {
          co_await throw_if_cancelled();
        } else {
          co_await yield();
        }
      } catch (const cancelled& ended) {
        co_return std::unexpected(to_io_error(ended.reason(), accepting));
      }
      io_result<unix_stream> peer = try_accept();
      if (peer) co_return peer;
      const io_failure failure = peer.error().failure();
      if (passes_by_itself(peer.error())) {
        say_that_connections_wait(peer.error());
        try {
          co_await sleep(10ms);
        } catch (const cancelled& ended) {
          co_return std::unexpected(to_io_error(ended.reason(), accepting));
        }
        continue;
      }
      if (failure != io_failure::would_block) co_return peer;
    }
    const cancel_reason why = co_await accept_wait{socket};
    if (why != cancel_reason::none) co_return std::unexpected(to_io_error(why, accepting));
  }
}

void unix_listener::remove_file() noexcept {
  if (file_inode_ == 0) return;
  remove_socket_file(local_address(), {file_device_, file_inode_});
  file_inode_ = 0;
}

void unix_listener::stop() noexcept {
  if (!is_open()) return;
  if (simulated_unix* by = carrier_of_listener(socket_)) return by->stop(*socket_);
  remove_file();
  stop_listening(fd_);
}

void unix_listener::close() noexcept {
  remove_file();
  const int fd = std::exchange(fd_, -1);
  if (simulated_unix* by = carrier_of_listener(socket_)) return by->close(*std::exchange(socket_, nullptr));
  if (endpoint* socket = std::exchange(socket_, nullptr)) {
    socket->home->close(*socket, false);
  } else if (fd >= 0) {
    kernel::close(fd);
  }
}

unix_address unix_listener::local_address() const noexcept {
  if (const simulated_unix* by = carrier_of_listener(socket_)) return by->local_name(*socket_);
  return unix_local_name(fd_);
}

}  // namespace levity
