#pragma once

#include <expected>
#include <utility>

#include "levity/sync/channel.hpp"

namespace levity::inline v0 {
namespace detail {

template <class T>
struct linked_parcels {
  struct linked : channel_link, parcel<T> {
    explicit linked(T&& moved) noexcept : parcel<T>(std::move(moved)) {}
  };

  static linked* at(channel_load load) noexcept { return static_cast<linked*>(reinterpret_cast<channel_link*>(load)); }
  static channel_load pack(T&& value) {
    return reinterpret_cast<channel_load>(static_cast<channel_link*>(new linked(std::move(value))));
  }
  // Out of the parcel, which goes.
  static T unpack(channel_load load) noexcept {
    const std::unique_ptr<linked> whole{at(load)};
    return std::move(whole->value);
  }
  static void drop(channel_load load) noexcept { delete at(load); }
};

}  // namespace detail

/// A channel with room for everything: send() never waits, so it needs no task and no co_await.
///
///     lv::unbounded_channel<event> events;
///     (void)events.send(one);                                    // from any thread, a callback, a destructor
///     while (auto next = co_await events.receive()) note(*next);
///
/// Nothing holds its senders back: where they may be faster than the receivers for long, it takes all the memory there is, and a
/// lv::channel with a capacity is the right one. Else as lv::channel: any number of senders and receivers, values arrive in the
/// order in which they were sent, receivers are served first come, first served; after close() sends fail and receivers get what
/// is left, then `closed`. A cancelled receive takes nothing. Every value has a block of its own from the frame pool.
/// About 20 ns for a send, or a receive that does not wait. T: as for lv::channel.
template <class T>
class unbounded_channel {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "a channel carries values");
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "a value that throws while it moves could get lost; send a std::unique_ptr to it");
  using packed = detail::linked_parcels<T>;

public:
  using value_type = T;
  using receive_awaiter = detail::receive_operation<T, packed>;

  unbounded_channel() noexcept : core_(detail::unbounded_tag{}) {}
  unbounded_channel(const unbounded_channel&) = delete;
  unbounded_channel& operator=(const unbounded_channel&) = delete;
  /// Nobody waits in it. Destroys what is left in it.
  ~unbounded_channel() {
    for (detail::channel_load left = 0; core_.take_left(left);) packed::drop(left);
  }

  /// Sends; the value comes back only if the channel is closed. Never waits. Any thread. Throws std::bad_alloc.
  std::expected<void, unsent<T>> send(T value) {
    const detail::channel_load load = packed::pack(std::move(value));
    const detail::channel_status status = core_.try_send(load);
    if (status == detail::channel_status::done) [[likely]] return {};
    return std::unexpected(unsent<T>{detail::to_channel_error(status, cancel_reason::none), packed::unpack(load)});
  }

  /// Receives the oldest value: std::expected<T, channel_error>. Waits while there is none. Inside a task.
  [[nodiscard("co_await the receive")]] receive_awaiter receive() noexcept { return receive_awaiter{core_}; }

  /// Receives if that needs no wait; else `would_block` or `closed`. Any thread.
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
  /// Values in it that no task has taken; racy by nature.
  [[nodiscard]] std::size_t size_approx() noexcept { return core_.size(); }

  /// The part that does not depend on T. Not for users.
  [[nodiscard]] detail::channel_core& core() noexcept { return core_; }

private:
  detail::channel_core core_;
};

}  // namespace levity
