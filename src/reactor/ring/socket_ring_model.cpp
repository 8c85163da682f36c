#include "reactor/ring/socket_ring.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "levity/model/scenario.hpp"
#include "reactor/ring/ring_reactor.hpp"
#include "tests/support/explored_kernel.hpp"

namespace {

namespace model = levity::model;
using namespace levity::detail;

// Sockets come from a store that has some from the beginning, lest an execution finds what the one before has made.
[[maybe_unused]] const bool there_are_sockets = [] {
  ring_socket& first = allocate_ring_socket();
  publish(first);
  drop_references(first, ring_socket::one_use);
  return true;
}();

// The other end of one that takes no more: what is written to it goes out over the ring.
int fill_up(int socket) {
  static const std::array<char, 16384> bytes{};
  std::array<int, 2> ends{};
  constexpr int least = 1;
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return -1;
  ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
  while (::send(ends[0], bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
  ::dup2(ends[0], socket);
  ::close(ends[0]);
  return ends[1];
}

// Connects and sends at once, and lets `chunks` arrive, a byte each, and the end behind them if there is one.
struct peer final : levity::explored::kernel {
  int chunks = 0;
  bool ends = false;

  void answer() noexcept override {
    io_uring_sqe entry;
    while (take_armed(IORING_OP_CONNECT, entry)) complete(entry.user_data, 0);
    receive();
    while (take_armed(IORING_OP_SEND, entry)) complete(entry.user_data, static_cast<std::int32_t>(entry.len));
  }

private:
  void receive() noexcept {
    io_uring_sqe entry;
    const io_uring_sqe* const receives = armed(IORING_OP_RECV);
    if (receives == nullptr) return;
    while (chunks > 0) {
      const int buffer = take_buffer();
      if (buffer < 0) {  // one may be on its way back
        take_armed(IORING_OP_RECV, entry);
        return complete(entry.user_data, -ENOBUFS);
      }
      chunks--;
      const auto named = static_cast<std::uint32_t>(buffer) << IORING_CQE_BUFFER_SHIFT;
      complete(receives->user_data, 1, IORING_CQE_F_MORE | IORING_CQE_F_BUFFER | named);
    }
    if (!ends) return;
    take_armed(IORING_OP_RECV, entry);
    complete(entry.user_data, 0);
  }
};

// A ring, and a worker that polls its reactor and uses its sockets.
struct house {
  peer other;
  std::shared_ptr<socket_ring> ring;
  std::unique_ptr<ring_reactor> reactor;
  std::unique_ptr<ready_batch> ready = std::make_unique<ready_batch>();
  int far_end = -1;

  house() {
    auto made = socket_ring::create({.buffers = 2, .buffer_bytes = 64});
    model::require(made.has_value(), "there is a ring");
    ring = *made;
    reactor = *ring_reactor::create(ring, false);
  }
  ~house() { ::close(far_end); }

  endpoint& start_connect() {
    const auto started = reactor->start_connect(levity::address::loopback(9));
    model::require(started.has_value(), "there is a socket");
    far_end = fill_up((*started)->fd);
    return **started;
  }
  endpoint& connect() {
    endpoint& made = start_connect();
    poll_until([&] { return !would_block(reactor->finish_connect(made)); });
    return made;
  }
  bool write(endpoint& to) {
    static std::array<char, 4> bytes{};
    const iovec piece{bytes.data(), bytes.size()};
    return !would_block(reactor->try_write(to, {&piece, 1}));
  }
  // The bytes that are there; negative: that is all.
  int read(endpoint& from) {
    std::byte into{};
    int count = 0;
    for (;;) {
      const auto moved = reactor->try_read(from, {&into, 1});
      if (moved) count++;
      else return would_block(moved) ? count : -1 - count;
    }
  }

  template <class Done>
  void poll_until(Done done) {
    while (!done()) {
      const poll_lease held(reactor->lease);
      reactor->poll(held, timer_wheel::never_ns, *ready);
    }
  }

  template <class T>
  static bool would_block(const levity::io_result<T>& outcome) {
    return !outcome && outcome.error().failure() == levity::io_failure::would_block;
  }
};

// E200, E207.
LEVITY_SCENARIO(a_connect_over_the_ring_is_heard_of, {.executions_max = 8'000}) {
  house all;
  endpoint& socket = all.connect();
  model::require(all.reactor->finish_connect(socket).has_value(), "it is connected");
  all.reactor->close(socket, false);
}

// E207: the ring thread is done with a reactor that goes, and with its sockets.
LEVITY_SCENARIO(a_reactor_goes_while_its_socket_connects, {.executions_max = 8'000}) {
  house all;
  all.reactor->close(all.start_connect(), true);
  all.reactor.reset();
}

// E200: what is asked for while the ring thread has not looked at what was asked before.
LEVITY_SCENARIO(what_is_asked_of_the_ring_thread_together_is_seen_whole, {.executions_max = 8'000}) {
  house all;
  endpoint& socket = all.start_connect();
  model::require(all.write(socket), "it is taken over");
  all.poll_until([&] { return all.write(socket); });
  all.reactor->close(socket, false);
}

// E203: how a send has ended is there for the next write.
LEVITY_SCENARIO(a_write_follows_one_that_the_ring_sends, {.executions_max = 8'000}) {
  house all;
  endpoint& socket = all.connect();
  model::require(all.write(socket), "it is taken over");
  all.poll_until([&] { return all.write(socket); });
  all.reactor->close(socket, false);
}

LEVITY_SCENARIO(an_end_follows_a_write_that_the_ring_sends, {.executions_max = 8'000}) {
  house all;
  endpoint& socket = all.connect();
  model::require(all.write(socket), "it is taken over");
  static_cast<void>(all.reactor->shutdown_write(socket));
  all.reactor->close(socket, false);
}

// E201: what the ring thread did before it told of an event, though the socket was in the inbox for another one already.
LEVITY_SCENARIO(what_comes_with_an_event_is_there, {.executions_max = 8'000}) {
  house all;
  endpoint& socket = all.start_connect();
  const auto await_event = [&] {
    socket.writing.clear();
    all.poll_until([&] { return !socket.writing.is_drained(); });
  };
  await_event();
  model::require(all.reactor->finish_connect(socket).has_value(), "it is connected");
  all.other.chunks = 1;
  model::require(all.read(socket) == 0, "nothing has come yet");
  model::require(all.write(socket), "it is taken over");
  await_event();
  model::require(static_cast<ring_socket&>(socket).out == nullptr, "it has been sent");
  all.reactor->close(socket, false);
}

// E201: a socket has hung up, and nobody asks for more of it than that.
LEVITY_SCENARIO(that_a_socket_has_hung_up_is_heard, {.executions_max = 8'000}) {
  house all;
  endpoint& socket = all.connect();
  all.other.chunks = 1;
  all.other.ends = true;
  model::require(all.read(socket) == 0, "nothing has come yet");
  all.poll_until([&] { return socket.hung_up.load(std::memory_order_relaxed); });
  model::require(all.read(socket) == -2, "its byte has come, and the end");
  all.reactor->close(socket, false);
}

// E201, E208: bytes come in buffers that have been read before; and where there is none, after a while.
LEVITY_SCENARIO(a_buffer_is_filled_again_when_it_was_read, {.executions_max = 8'000, .timeouts = true}) {
  house all;
  endpoint& socket = all.connect();
  all.other.chunks = 4;
  all.other.ends = true;
  int bytes = 0;
  all.poll_until([&] {
    const int more = all.read(socket);
    bytes += more < 0 ? -1 - more : more;
    return more < 0;
  });
  model::require(bytes == 4, "each byte has come once");
  all.reactor->close(socket, false);
}

}  // namespace
