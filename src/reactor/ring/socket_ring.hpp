#pragma once

// socket_ring: the ring thread of the sockets of one runtime. All its reactors share it; no worker submits, and it runs no user
// code, so that no worker, however stuck, keeps another's connections from being accepted, read or closed.
//
// What it keeps armed
//   a listener         one multishot accept, while less than `accepted_max` connections wait for being taken
//   a stream           one multishot receive into the buffers of the ring, from the first read on, while less than `chunks_max`
//                      chunks wait; a send, while there is something that the socket did not take at once
//   anything watched   in an epoll set, on which one multishot poll is armed
//
// Watched descriptors (pipes, datagram sockets, pidfds) are not polled by the ring themselves, for two reasons that tests found. A
// poll holds the open file until its cancel was carried out: a pipe whose reader was closed would take bytes a moment longer. And
// it is not told of an error that waits in a datagram socket. epoll does both right, and its set belongs to no thread.
//
// Back-pressure. A reader that is slow has its receive cancelled at `chunks_max` chunks and armed again when half are read; then
// the kernel's window closes, as if nobody had called read. Until the cancel takes effect the kernel may deliver some more: 32 a
// turn. When less than half of the buffers are free, what arrives is copied to memory of its own and the buffer goes back at
// once: many slow readers together cannot keep the buffers from the quick ones. Should the kernel find none all the same (ENOBUFS
// ends a receive), the socket starves until the batch of completions is over, and is armed again.
//
// Closing. The descriptor is closed after the last completion. What a write took over and the socket has not taken goes out
// first: such a socket lingers, for `linger_ns` at most, at the runtime's end for `linger_at_end_ns`; then the peer hears of a
// reset, never of an end in order. Bytes that were sent without a copy count as not taken until the kernel has let go of them.
//
// Edges
//   E207  a farewell is taken -> leave(): what the ring thread did with the reactor that goes.

#include <cstdint>
#include <memory>
#include <vector>

#include "platform/buffer_ring.hpp"
#include "platform/handoff.hpp"
#include "platform/ring_host.hpp"
#include "reactor/ring/ring_socket.hpp"

namespace levity::inline v0::detail {

struct socket_ring_options {
  std::uint32_t buffers = 1024;          // a power of two
  std::uint32_t buffer_bytes = 8 * 1024;
  std::uint64_t zero_copy_from = UINT64_MAX;  // sends that the ring carries out do not copy from so many bytes on
};

class socket_ring final : ring_guest {
public:
  static constexpr std::uint32_t chunks_max = 16;
  static constexpr std::uint32_t accepted_max = 64;
  static constexpr std::size_t taken_over_max = 64 * 1024;

  /// The error says what is refused.
  static io_result<std::shared_ptr<socket_ring>> create(const socket_ring_options& options) noexcept;
  ~socket_ring();

  /// Any thread that holds the socket's handle.
  void request(ring_socket& from, std::uint32_t wants) noexcept;
  /// Any thread.
  void give_back(received_chunk& chunk) noexcept;
  /// After it returned, the ring thread does not touch `sink` any more. Its sockets are closed.
  void leave(event_sink& sink) noexcept;
  /// Tells of it when it is readable, writable, ended or failed. Errors as epoll_ctl's. Any thread.
  io_result<void> watch(ring_socket& watched) noexcept;
  void unwatch(ring_socket& watched) noexcept;

  [[nodiscard]] std::uint64_t sleeps_approx() const noexcept { return host_.sleeps_approx(); }
  [[nodiscard]] std::uint32_t buffers_free_approx() const noexcept { return pool_.free_approx(); }
  [[nodiscard]] std::uint32_t buffers() const noexcept { return pool_.count(); }

private:
  struct farewell {
    event_sink* sink;
    atomic<std::uint32_t> told{0};
    farewell* next = nullptr;
  };

  explicit socket_ring(const socket_ring_options& options) noexcept : options_(options) {}

  // ring_guest
  io_result<void> opened(ring& on) noexcept override;
  unsigned take(ring& on) noexcept override;
  bool has_more() const noexcept override { return !inbox_.empty_approx() || !farewells_.empty_approx(); }
  void completed(ring& on, const completion& what) noexcept override;
  void settled(ring& on) noexcept override;
  std::int64_t due_ns() const noexcept override;
  bool may_end(ring& on) noexcept override;

  void carry_out(ring& on, ring_socket& socket) noexcept;
  void begin(ring_socket& socket) noexcept;
  void end(ring& on, ring_socket& socket) noexcept;
  void cancel(ring& on, std::uint64_t data) noexcept;
  void post(ring_socket& socket, std::uint32_t events) noexcept;
  void fail(ring_socket& socket) noexcept;

  void arm_accept(ring& on, ring_socket& listener) noexcept;
  void arm_ready(ring& on, ring_socket& listener) noexcept;
  void seen_ready(ring& on, ring_socket& listener) noexcept;
  void accepted(ring& on, ring_socket& listener, const completion& what) noexcept;
  void arm_receive(ring& on, ring_socket& socket) noexcept;
  void received(ring& on, ring_socket& socket, const completion& what) noexcept;
  void append(ring_socket& socket, received_chunk& chunk) noexcept;
  received_chunk& chunk_of(const completion& what) noexcept;
  void arm_again_or_rest(ring& on, ring_socket& socket) noexcept;
  void end_of_stream(ring_socket& socket, int code) noexcept;
  void arm_connect(ring& on, ring_socket& socket) noexcept;
  void connected(ring& on, ring_socket& socket, const completion& what) noexcept;
  void arm_watch(ring& on) noexcept;
  void watched(ring& on, const completion& what) noexcept;
  void send(ring& on, ring_socket& socket, outgoing_bytes& bytes) noexcept;
  void sent(ring& on, outgoing_bytes& bytes, const completion& what) noexcept;
  void finish_send(ring_socket& socket, int code) noexcept;

  void linger(ring_socket& socket) noexcept;
  void end_lingering(ring& on, std::int64_t now_ns) noexcept;
  void stop_lingering(ring_socket& socket) noexcept;
  void advance_close(ring& on, ring_socket& socket) noexcept;
  void finish_close(ring_socket& socket) noexcept;

  const socket_ring_options options_;
  int watch_fd_ = -1;

  // -- ring thread
  buffer_ring pool_;
  std::unique_ptr<received_chunk[]> chunks_;
  std::uint64_t operations_ = 0;
  ring_socket* starving_ = nullptr;
  std::vector<ring_socket*> lingering_;
  std::int64_t linger_look_at_ns_ = 0;
  event_sink* touched_ = nullptr;
  bool ending_ = false;
  bool swept_ = false;

  // -- shared
  handoff<ring_socket, &ring_socket::next_wanting> inbox_;
  handoff<farewell, &farewell::next> farewells_;
  ring_host host_{*this};
};

/// Closes a descriptor of a connection; the peer hears of a reset.
void close_with_reset(int fd) noexcept;

}  // namespace levity::detail
