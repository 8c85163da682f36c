#pragma once

// ring_socket: an endpoint of the ring backend, and who touches which part of it.
//
//   worker          whoever calls the functions of the reactor: one task a direction, at a time
//   ring thread     submits, and meets every completion
//   poller          whoever holds the lease of the socket's reactor
//
// Two words carry what they tell each other, both sets of bits, so that what is said twice is heard once:
//
//   wants    worker -> ring thread   the first bit queues the socket in the inbox of the ring thread
//   events   ring thread -> poller   the first bit queues the socket in the inbox of its reactor
//
// Received bytes are a list of chunks: the ring thread appends to `arrived` under the lock, the reader takes the whole list under
// the lock and empties it without. A chunk lies in a buffer of the ring, or, when those run short, in memory of its own.
//
//   receiving   moved by
//   no -> yes   the reader, who asks for it when it finds too little; the ring thread, when a multishot ends early
//   yes -> no   the ring thread: a multishot ended and the reader has enough to do (rest), or for good (ended)
//
// `references` keeps the memory: the low half counts the open handle, the request that is queued and each operation in flight
// (all that needs the descriptor), the high half the event that is queued. A socket whose low half is 1 has nothing in flight,
// and only the owner of the handle can change that: close() then closes the descriptor itself. Otherwise the ring thread closes it,
// after the last completion. The memory is reused, for sockets of this kind only, when both halves are 0: so a completion never
// meets another socket, nor a buffer another owner. Watched descriptors have no operations: their events name address and
// generation, as epoll_reactor's do, and one that comes late finds out (try_hold).
//
// Edges
//   E200  wants: what the worker wrote before it asked. Back: who finds no bits may use the link, the taker is done with it.
//   E201  events: what the ring thread did before the poller hears of it. Back: as E200.
//   E202  the last reference: what the others did with the socket before its memory is reused or its descriptor closed; publish()
//         -> try_hold(): the constants.
//   E203  sending: the end of a send -> the next write: how it ended.

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "levity/base/atomic.hpp"
#include "levity/base/spin_lock.hpp"
#include "platform/handoff.hpp"
#include "reactor/endpoint.hpp"

namespace levity::inline v0::detail {

struct ring_socket;
struct event_sink;

/// Bytes that arrived together, in a buffer of the ring, or behind this header when `pooled` is false.
struct received_chunk {
  received_chunk* next = nullptr;
  const std::byte* bytes = nullptr;
  std::uint32_t size = 0;
  std::uint16_t buffer = 0;
  bool pooled = true;
};

/// Bytes on their way out, which follow this header. Belongs to the kernel until its last completion.
struct outgoing_bytes {
  outgoing_bytes(ring_socket& to, std::uint32_t bytes) noexcept : socket(&to), size(bytes) {}

  ring_socket* socket;
  std::uint32_t size;
  std::uint32_t sent = 0;
  std::uint32_t in_flight = 0;  // sends that have not had their last completion: one, or more when the last ones were zero-copy
  bool done = false;            // nothing more will be sent from it
  bool copies = false;          // the kernel would not send without a copy

  [[nodiscard]] std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
};

struct ring_socket : endpoint {
  enum class kind : std::uint8_t { stream, listener, shared_listener, watched };

  // What a worker wants of the ring thread.
  static constexpr std::uint32_t want_receive = 1;
  static constexpr std::uint32_t want_accept = 2;
  static constexpr std::uint32_t want_connect = 4;
  static constexpr std::uint32_t want_send = 8;
  static constexpr std::uint32_t want_end = 16;
  static constexpr std::uint32_t want_close = 32;
  static constexpr std::uint32_t want_abort = 64;

  static constexpr std::uint32_t event_read = 1;
  static constexpr std::uint32_t event_write = 2;

  static constexpr std::uint32_t one_use = 1;
  static constexpr std::uint32_t one_event = 1U << 16;
  static constexpr std::uint32_t uses_mask = one_event - 1;

  // -- constant while open
  kind what = kind::stream;
  event_sink* sink = nullptr;

  // -- all
  atomic<std::uint32_t> references{0};
  atomic<std::uint32_t> wants{0};
  atomic<std::uint32_t> events{0};
  ring_socket* next_wanting = nullptr;
  ring_socket* next_event = nullptr;

  // -- under the lock
  spin_lock lock;
  bool blocks = false;     // a listener whose own accept would wait
  bool receiving = false;  // or accepting: a multishot is armed or asked for
  bool ended = false;      // nothing more will arrive
  int end_code = 0;        // why, 0: in order; listener: what the last accept failed by
  std::uint32_t held = 0;  // chunks or connections that were not taken
  received_chunk* arrived = nullptr;
  received_chunk* arrived_last = nullptr;
  std::vector<int> accepted;  // newest last

  // -- reader
  received_chunk* front = nullptr;
  std::uint32_t front_used = 0;

  // -- writer; while `sending`, the ring thread
  atomic<bool> sending{false};
  int send_code = 0;  // why the socket takes no more
  outgoing_bytes* out = nullptr;
  static constexpr int connect_pending = 1;
  atomic<int> connecting{0};  // pending, 0 or a negative errno
  sockaddr_storage* connect_to = nullptr;
  socklen_t connect_to_size = 0;

  // -- ring thread
  std::uint32_t in_flight = 0;
  std::uint32_t sends = 0;  // of those; one without a copy lasts until the kernel has let go of the bytes
  bool receive_armed = false;  // or accept
  bool receive_cancelled = false;
  bool connect_armed = false;
  bool end_wanted = false;    // our side ends behind what is being sent
  bool starving = false;      // waits for a buffer or memory; counts as in flight
  bool awaits_ready = false;  // what is armed is a look whether an accept would find something
  bool lingering = false;     // closed, and what was written is still on its way
  bool closing = false;
  bool aborting = false;
  bool cancelled = false;     // everything that can be was
  bool send_cancelled = false;
  bool closed = false;        // the descriptor is
  bool unread = false;        // bytes came after the close: the peer hears of a reset
  std::uint32_t linger_index = 0;
  std::int64_t linger_due_ns = 0;
  std::int64_t starves_until_ns = 0;  // at least
  ring_socket* next_starving = nullptr;
};

/// Where the events of sockets go: the part of a reactor that the ring thread knows.
struct event_sink {
  handoff<ring_socket, &ring_socket::next_event> inbox;
  /// Something was pushed there; wakes who sleeps. The ring thread.
  virtual void wake() noexcept = 0;

  // -- ring thread
  bool touched = false;
  event_sink* next_touched = nullptr;

protected:
  ~event_sink() = default;
};

/// The type-stable store. Throws std::bad_alloc. Any thread. O(1). Whoever takes one fills in its constants, then publishes it.
ring_socket& allocate_ring_socket();
/// From here on it has one use: the handle.
void publish(ring_socket& fresh) noexcept;
/// One use more, of a socket that may be gone. False: it is gone. The caller looks at its generation.
[[nodiscard]] bool try_hold(ring_socket& perhaps) noexcept;
/// Drops references; frees the socket with the last one. Any thread.
void drop_references(ring_socket& used, std::uint32_t count) noexcept;

}  // namespace levity::detail
