#pragma once

// broadcast: a ring of the newest values, followed by any number of receivers, each at its own pace.
//
// A value has a number, the count of those before it, and stands in the place `number modulo capacity` until the one a capacity
// later takes that place. A receiver is the number of the value that it wants next; the ring knows no receivers. One that wants a
// number that is gone has lagged: it is told how many it missed and goes on with the oldest that is there.
//
// Rejected: holding the sender back until the slowest receiver has come along (one stuck receiver stops all the others; where
// every value counts, a lv::channel for each receiver says who may hold whom back).

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string_view>
#include <utility>

#include "levity/base/assert.hpp"
#include "levity/sync/watch.hpp"

namespace levity::inline v0 {

/// How a receive from a broadcast can end other than well.
enum class broadcast_failure : std::uint8_t {
  closed,       ///< no further value will come, and this receiver has had all that there were
  lagged,       ///< values went by before the receiver took them; the next receive has the oldest that is left
  cancelled,    ///< the task was cancelled; nothing was taken
  timed_out,    ///< the same, by a deadline around it
  would_block,  ///< only from try_receive(): nothing new now
};

/// The failure in words. Never null.
std::string_view to_string(broadcast_failure why) noexcept;

/// Why a receive from a broadcast brought no value.
struct broadcast_error {
  /// What happened.
  broadcast_failure why;
  std::uint64_t missed = 0;  ///< with `lagged`: how many values, at least one

  /// Whether it is that failure, whatever was missed.
  friend bool operator==(const broadcast_error& failed, broadcast_failure reason) noexcept { return failed.why == reason; }
};

namespace detail {

class broadcast_wait : public watch_core::change_awaiter {
protected:
  broadcast_wait(watch_core& on, std::uint64_t received) noexcept : change_awaiter(on, received, reason_) {}

  [[nodiscard]] bool was_refused() const noexcept { return stage_ == stage::cancelled; }
  [[nodiscard]] broadcast_failure refusal() const noexcept {
    return why_ == cancel_reason::deadline ? broadcast_failure::timed_out : broadcast_failure::cancelled;
  }

private:
  static void describe(const waiter& self, char* text, std::size_t size) noexcept;
  static const wait_reason reason_;
};

}  // namespace detail

/// A channel of which every receiver gets every value: events for all connections, invalidations for all caches.
///
///     lv::broadcast<event> events{256};
///     auto feed = events.subscribe();                 // from the next value on
///     for (;;) {
///       auto next = co_await feed.receive();          // std::shared_ptr<const event>
///       if (next) { show(**next); continue; }
///       if (next.error() == lv::broadcast_failure::lagged) { resynchronise(next.error().missed); continue; }
///       break;                                        // closed, or the task was cancelled
///     }
///
/// send() never waits. The newest `capacity` values are kept; a receiver that is slower than that is told once, with `lagged` and
/// the number of values it missed, and goes on with the oldest that is left. Values are shared, never copied, and destroyed by
/// whoever drops them last, never under a lock.
///
/// send, close, subscribe: any thread. A receiver is used by one task at a time and ends before its broadcast. A cancelled receive
/// has taken nothing. A send is O(waiting tasks) and one allocation. Order: each receiver sees the values in the order in which
/// they were sent; all that wait are let go together, and which of them runs first is not promised.
template <class T>
class broadcast {
public:
  class receiver;
  class receive_awaiter;
  using value_type = std::shared_ptr<const T>;

  /// Keeps the newest `capacity` values; at least one.
  explicit broadcast(std::size_t capacity) : capacity_(capacity), ring_(std::make_unique<value_type[]>(capacity)) {
    LEVITY_ASSERT(capacity > 0, "a broadcast keeps one value at least");
  }
  broadcast(const broadcast&) = delete;
  broadcast& operator=(const broadcast&) = delete;
  /// Nobody waits for it.
  ~broadcast() = default;

  /// False: it is closed.
  bool send(T value) {
    value_type fresh = std::make_shared<const T>(std::move(value));
    core_.begin();
    if (core_.closed()) {
      core_.end();
      return false;
    }
    ring_[core_.version() % capacity_].swap(fresh);  // the old one goes when the lock is free
    core_.publish(false);
    return true;
  }

  /// No further value: who waits is let go, and receivers get what is left, then `closed`. Idempotent. O(waiting tasks).
  void close() noexcept {
    core_.begin();
    core_.publish(true);
  }

  /// A receiver of all values that are sent from now on.
  [[nodiscard]] receiver subscribe() noexcept {
    core_.begin();
    const std::uint64_t next = core_.version();
    core_.end();
    return receiver{*this, next};
  }

private:
  const std::size_t capacity_;
  detail::watch_core core_;  // its version: how many values were sent
  std::unique_ptr<value_type[]> ring_;  // guarded by the core's lock
};

/// One who follows a broadcast. Copies go on independently, from the same value.
template <class T>
class broadcast<T>::receiver {
public:
  /// The next value: std::expected<std::shared_ptr<const T>, broadcast_error>. Waits while there is none.
  [[nodiscard("co_await the receive")]] receive_awaiter receive() noexcept { return receive_awaiter{*this}; }

  /// The next value if it is there; else `would_block`, `closed` or `lagged`.
  [[nodiscard]] std::expected<value_type, broadcast_error> try_receive() noexcept {
    detail::watch_core& core = from_->core_;
    std::expected<value_type, broadcast_error> taken{std::unexpect, broadcast_failure::would_block};
    core.begin();
    const std::uint64_t sent = core.version();
    const std::uint64_t oldest = sent > from_->capacity_ ? sent - from_->capacity_ : 0;
    if (next_ < oldest) {
      taken = std::unexpected(broadcast_error{broadcast_failure::lagged, oldest - next_});
      next_ = oldest;
    } else if (next_ < sent) {
      taken = from_->ring_[next_ % from_->capacity_];
      next_++;
    } else if (core.closed()) {
      taken = std::unexpected(broadcast_error{broadcast_failure::closed});
    }
    core.end();
    return taken;
  }

private:
  friend class broadcast;
  friend class receive_awaiter;
  receiver(broadcast& from, std::uint64_t next) noexcept : from_(&from), next_(next) {}

  broadcast* from_;
  std::uint64_t next_;  // the number of the value that comes next
};

template <class T>
class broadcast<T>::receive_awaiter : public detail::broadcast_wait {
public:
  explicit receive_awaiter(receiver& by) noexcept : broadcast_wait(by.from_->core_, by.next_), by_(by) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  receive_awaiter(receive_awaiter&& other) noexcept : receive_awaiter(other.by_) {}

  std::expected<value_type, broadcast_error> await_resume() noexcept {
    if (was_refused()) return std::unexpected(broadcast_error{refusal()});
    return by_.try_receive();
  }

private:
  receiver& by_;
};

}  // namespace levity
