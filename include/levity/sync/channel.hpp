#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <expected>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "levity/memory/frame_pool.hpp"
#include "levity/sync/detail/channel_core.hpp"
#include "levity/task/detail/promise.hpp"

namespace levity::inline v0 {

/// A send that failed: why, and the value, which is whole.
template <class T>
struct unsent {
  /// Why it was not sent.
  channel_error error;
  /// What was to be sent.
  T value;

  /// Whether that is why, whatever the value.
  friend bool operator==(const unsent& failed, channel_error why) noexcept { return failed.error == why; }
};

namespace detail {

template <class T>
struct parcel {
  T value;

  explicit parcel(T&& moved) noexcept : value(std::move(moved)) {}

  static void* operator new(std::size_t bytes) {
    if constexpr (alignof(T) > alignof(std::max_align_t)) {
      return ::operator new(bytes, std::align_val_t{alignof(T)});
    } else {
      return frame_allocate(bytes);
    }
  }
  static void operator delete(void* block, std::size_t bytes) noexcept {
    if constexpr (alignof(T) > alignof(std::max_align_t)) {
      ::operator delete(block, bytes, std::align_val_t{alignof(T)});
    } else {
      frame_free(block, bytes);
    }
  }
};

/// How values of a type become loads and loads become values again.
template <class T>
struct parcels {
  static channel_load pack(T&& value) { return reinterpret_cast<channel_load>(new parcel<T>(std::move(value))); }
  // Out of the parcel, which goes.
  static T unpack(channel_load load) noexcept {
    const std::unique_ptr<parcel<T>> whole{reinterpret_cast<parcel<T>*>(load)};
    return std::move(whole->value);
  }
  static void drop(channel_load load) noexcept { delete reinterpret_cast<parcel<T>*>(load); }
};

template <class T>
  requires(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(channel_load))
struct parcels<T> {
  using bytes = std::array<std::byte, sizeof(T)>;

  static channel_load pack(const T& value) noexcept {
    channel_load load = 0;
    std::memcpy(&load, std::addressof(value), sizeof(T));
    return load;
  }
  static T unpack(channel_load load) noexcept {
    bytes of;
    std::memcpy(of.data(), &load, sizeof(T));
    return std::bit_cast<T>(of);
  }
  static void drop(channel_load) noexcept {}
};

/// A receive from any channel of values T.
template <class T, class Packed>
class receive_operation : public channel_operation {
public:
  explicit receive_operation(channel_core& core) noexcept : channel_operation(receive_reason, core) {}
  // Before it is awaited: GCC moves what await_transform passes through.
  receive_operation(receive_operation&& other) noexcept : receive_operation(other.core_) {}
  ~receive_operation() { Packed::drop(load); }

  bool await_ready() noexcept {
    if (!core_.receive_at_once(load)) return false;
    status = channel_status::done;
    return true;
  }

  std::expected<T, channel_error> await_resume() noexcept {
    if (status == channel_status::done) [[likely]] return Packed::unpack(std::exchange(load, 0));
    return std::unexpected(to_channel_error(status, why));
  }
};

}  // namespace detail

/// A queue of values between tasks, or, with capacity 0, a meeting point where a send ends when a receive took its value.
///
///     lv::channel<job> jobs{64};
///     co_await jobs.send(std::move(one));                       // waits while 64 are in it
///     while (auto next = co_await jobs.receive()) run(*next);   // ends when it is closed and empty
///
/// Name the result in a loop's condition, as above: g++ 12 miscompiles `while (co_await jobs.receive())`. Name a value that braces
/// make, too: it destroys that of `co_await jobs.send({1, "one"})` twice.
///
/// Any number of senders and receivers. First come, first served, on both sides; values arrive in the order in which their sends
/// succeeded. close() ends it: sends fail from then on, also those that wait, and receivers get what is left, then `closed`.
/// A value is delivered exactly once or stays with its sender: a send that fails, whatever for, gives it back.
/// A cancelled task gets `cancelled` (`timed_out` by a deadline) from every send and receive, and nothing changes hands.
///
/// T: movable without exceptions. Its moves and destructor run in the sender's and receiver's tasks, never under a lock.
/// All functions from any thread; send and receive inside tasks. A value of up to eight bytes that is trivially copied is kept in
/// the channel, which has room for `capacity` of them from the start; any other one in flight has a block of its own from the
/// frame pool. About 10 ns for a send or a receive that does not wait.
template <class T>
class channel {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "a channel carries values");
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "a value that throws while it moves could get lost; send a std::unique_ptr to it");
  using packed = detail::parcels<T>;

public:
  using value_type = T;

  class send_awaiter;
  using receive_awaiter = detail::receive_operation<T, packed>;

  /// Room for `capacity` values; without any, senders and receivers meet. Throws std::bad_alloc.
  explicit channel(std::size_t capacity = 0) : core_(capacity) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;
  /// Nobody waits in it. Destroys what is left in it.
  ~channel() {
    for (detail::channel_load left = 0; core_.take_left(left);) packed::drop(left);
  }

  /// Sends `value`: std::expected<void, unsent<T>>. Waits for room, or, with capacity 0, for a receiver.
  [[nodiscard("co_await the send and look at its result")]] send_awaiter send(T value) {
    return send_awaiter{core_, packed::pack(std::move(value))};
  }

  /// Receives the oldest value: std::expected<T, channel_error>. Waits while there is none.
  [[nodiscard("co_await the receive")]] receive_awaiter receive() noexcept { return receive_awaiter{core_}; }

  /// Sends if that needs no wait; else gives the value back with `would_block` or `closed`.
  [[nodiscard("a value that was not sent is in the result")]] std::expected<void, unsent<T>> try_send(T value) {
    const detail::channel_load load = packed::pack(std::move(value));
    const detail::channel_status status = core_.try_send(load);
    if (status == detail::channel_status::done) return {};
    return std::unexpected(
        unsent<T>{detail::to_channel_error(status, cancel_reason::none), packed::unpack(load)});
  }

  /// Receives if that needs no wait; else `would_block` or `closed`.
  [[nodiscard]] std::expected<T, channel_error> try_receive() noexcept {
    detail::channel_load load = 0;
    const detail::channel_status status = core_.try_receive(load);
    if (status == detail::channel_status::done) return packed::unpack(load);
    return std::unexpected(detail::to_channel_error(status, cancel_reason::none));
  }

  /// No more values. Idempotent. O(waiting tasks).
  void close() noexcept { core_.close(); }

  /// Whether close() was called; values may be left in it. Any thread.
  [[nodiscard]] bool is_closed() noexcept { return core_.closed(); }
  /// As it was made.
  [[nodiscard]] std::size_t capacity() const noexcept { return core_.capacity(); }
  /// Values in it that no task has taken; racy by nature.
  [[nodiscard]] std::size_t size_approx() noexcept { return core_.size(); }

  /// The part that does not depend on T. Not for users.
  [[nodiscard]] detail::channel_core& core() noexcept { return core_; }

private:
  detail::channel_core core_;
};

template <class T>
class channel<T>::send_awaiter : public detail::channel_operation {
public:
  send_awaiter(detail::channel_core& core, detail::channel_load value) noexcept : channel_operation(send_reason, core) {
    load = value;
  }
  // Before it is awaited: GCC moves what await_transform passes through.
  send_awaiter(send_awaiter&& other) noexcept : send_awaiter(other.core_, std::exchange(other.load, 0)) {}
  ~send_awaiter() { packed::drop(load); }

  bool await_ready() noexcept {
    if (!core_.send_at_once(load)) return false;
    load = 0;
    status = detail::channel_status::done;
    return true;
  }

  std::expected<void, unsent<T>> await_resume() noexcept {
    if (status == detail::channel_status::done) [[likely]] return {};
    return std::unexpected(
        unsent<T>{detail::to_channel_error(status, why), packed::unpack(std::exchange(load, 0))});
  }
};

}  // namespace levity
