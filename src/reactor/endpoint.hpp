#pragma once

// endpoint: one socket as the runtime knows it. Registered with its reactor once, for both directions.
//
// Each direction has one park word:
//   drained (0)   the last attempt took all there was; an event will come when there is more
//   ready (1)     an attempt may succeed
//   a record      a task is parked until the next event
//
//   drained -> record   wait        the task, after a failed attempt
//   record  -> drained  take back   a canceller
//   any     -> ready    event       whoever polls the reactor; a record found there is woken
//   ready   -> drained  clear       the task, before an attempt
//
// Edges
//   E8  event -> clear: what the kernel did before the event is visible to the attempt after the clear; wait -> event: the
//       parked task is visible to who wakes it.
//
// An endpoint's memory is type-stable: it is reused for endpoints only, never unmapped. A batch of events that names a
// descriptor closed meanwhile finds another generation, or at worst marks a new endpoint ready or hung up, which costs an
// attempt or a read more.

#include <cstdint>

#include "levity/base/assert.hpp"
#include "levity/base/atomic.hpp"
#include "levity/base/cache_line.hpp"
#include "levity/task/detail/record.hpp"

namespace levity::inline v0::detail {

struct reactor;

class direction {
public:
  static constexpr std::uintptr_t drained = 0;
  static constexpr std::uintptr_t ready = 1;

  [[nodiscard]] bool is_drained() const noexcept { return word_.load(std::memory_order_relaxed) == drained; }

  void clear() noexcept {
    const std::uintptr_t before = word_.exchange(drained, std::memory_order_acquire);  // E8 acquire.
    LEVITY_ASSERT(before <= ready, "one task at a time uses a direction of a socket (the one that waits would be lost)");
  }

  /// There may be more although no event will say so.
  void mark_ready() noexcept {
    std::uintptr_t expected = drained;
    word_.compare_exchange_strong(expected, ready, std::memory_order_relaxed, std::memory_order_relaxed);
  }

  /// Publishes the prepared record. False: an event came, try again.
  [[nodiscard]] bool wait(task_record& record) noexcept {
    std::uintptr_t expected = drained;
    // E8 release.
    return word_.compare_exchange_strong(expected, reinterpret_cast<std::uintptr_t>(&record), std::memory_order_release,
                                         std::memory_order_relaxed);
  }

  [[nodiscard]] bool take_back(task_record& record) noexcept {
    auto expected = reinterpret_cast<std::uintptr_t>(&record);
    return word_.compare_exchange_strong(expected, drained, std::memory_order_relaxed, std::memory_order_relaxed);
  }

  /// An event: the task to wake, if one was parked.
  task_record* event() noexcept {
    // E8 release, acquire.
    const std::uintptr_t before = word_.exchange(ready, std::memory_order_acq_rel);
    return before > ready ? reinterpret_cast<task_record*>(before) : nullptr;
  }

  /// A hint: the record that waits here, if one does, is wanted soon.
  void prefetch_waiter() const noexcept {
    const std::uintptr_t word = word_.load(std::memory_order_relaxed);
    if (word > ready) prefetch<sizeof(task_record)>(reinterpret_cast<const void*>(word));
  }

  void reset() noexcept { word_.store(ready, std::memory_order_relaxed); }

  [[nodiscard]] bool has_waiter_approx() const noexcept { return word_.load(std::memory_order_relaxed) > ready; }

private:
  atomic<std::uintptr_t> word_{ready};
};

/// Of a stream, whether we have ended it in order. `ending`: shutdown(2) is being called, and the kernel decides.
enum class own_side : std::uint8_t { open, ending, ended };

struct endpoint {
  direction reading;
  direction writing;
  atomic<bool> hung_up{false};          // an event said that the peer ended or the socket failed: no more edges may come
  atomic<bool> was_reset{false};        // epoll: an attempt was answered by a reset, or another failure that ends the connection
  atomic<bool> peer_ended{false};       // epoll: the kernel said that the peer had ended in order before the connection broke
  atomic<own_side> writes{own_side::open};  // epoll: moved by whoever ends our side
  atomic<std::uint16_t> generation{0};  // counts the uses of this memory
  bool adopted = false;                 // epoll: others may hold the same open file, so a close alone does not end the watch
  bool file_blocks = false;             // adopted: a socket whose attempts must say MSG_DONTWAIT
  int fd = -1;                          // epoll: the descriptor; sim: the number of the simulated socket
  bool filled = false;                  // reader; epoll: the last read got all that it asked for
  bool tells_rest = false;              // reader; epoll: the kernel says with a read how much it has left
  bool took_all = false;                // reader: the last read got all that it asked for, and nothing was left
  reactor* home = nullptr;              // the reactor that watches it
  endpoint* next_free = nullptr;
};

/// The type-stable store of endpoints. Any thread. O(1).
endpoint& allocate_endpoint();
void free_endpoint(endpoint& used) noexcept;

}  // namespace levity::detail
