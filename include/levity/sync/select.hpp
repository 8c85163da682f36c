#pragma once

#include <array>
#include <expected>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "levity/base/clock.hpp"
#include "levity/sync/channel.hpp"
#include "levity/sync/detail/select_core.hpp"
#include "levity/sync/unbounded_channel.hpp"

namespace levity::inline v0 {
namespace detail {

template <class T, class Packed = parcels<T>>
class receive_case : public select_case {
public:
  using result = std::expected<T, channel_error>;

  explicit receive_case(channel_core& from) noexcept : select_case(kind::receive, &from) {}
  receive_case(receive_case&& other) noexcept : select_case(kind::receive, other.core) {}

  void pack() noexcept {}
  void unpack() noexcept {}
  result take() noexcept {
    if (status == channel_status::done) return Packed::unpack(std::exchange(load, 0));
    return std::unexpected(to_channel_error(status, cancel_reason::none));
  }
};

template <class T>
class send_case : public select_case {
public:
  using result = std::expected<void, channel_error>;

  send_case(channel<T>& to, T& value) noexcept : select_case(kind::send, &to.core()), value_(&value) {}
  send_case(send_case&& other) noexcept : select_case(kind::send, other.core), value_(other.value_) {}
  ~send_case() { unpack(); }

  void pack() {
    load = parcels<T>::pack(std::move(*value_));
    packed_ = true;
  }
  // Moves the value back unless it was sent.
  void unpack() noexcept {
    if (!std::exchange(packed_, false) || status == channel_status::done) return;
    T kept = parcels<T>::unpack(std::exchange(load, 0));
    if constexpr (std::is_nothrow_move_assignable_v<T>) {
      *value_ = std::move(kept);
    } else {
      std::destroy_at(value_);
      std::construct_at(value_, std::move(kept));
    }
  }
  result take() noexcept {
    if (status == channel_status::done) return {};
    return std::unexpected(to_channel_error(status, cancel_reason::none));
  }

private:
  T* value_;
  bool packed_ = false;
};

class timer_case : public select_timer {
public:
  using result = std::monostate;
  using select_timer::select_timer;

  void pack() noexcept {}
  void unpack() noexcept {}
  result take() noexcept { return {}; }
};

}  // namespace detail

/// A case of select: receives from `from`. Result: std::expected<T, channel_error>; a closed, empty channel is ready, with
/// `closed`.
template <class T>
[[nodiscard]] detail::receive_case<T> receive_from(channel<T>& from) noexcept {
  return detail::receive_case<T>{from.core()};
}
template <class T>
[[nodiscard]] detail::receive_case<T, detail::linked_parcels<T>> receive_from(unbounded_channel<T>& from) noexcept {
  return detail::receive_case<T, detail::linked_parcels<T>>{from.core()};
}

/// A case of select: sends `value`, a variable, to `to`. It is moved from if and only if this case wins with success; else it
/// is as before when select returns, and must not be touched meanwhile. Result: std::expected<void, channel_error>; a closed
/// channel is ready, with `closed`.
template <class T>
[[nodiscard]] detail::send_case<T> send_to(channel<T>& to, std::type_identity_t<T>& value) noexcept {
  return {to, value};
}
/// A temporary would be lost when another case wins: keep the value in a variable.
template <class T>
detail::send_case<T> send_to(channel<T>& to, const std::type_identity_t<T>&& value) = delete;

/// A case of select: `span` has passed since the select began to wait. Never ready while another case is. Result:
/// std::monostate. Resolution about 66 us, never early.
[[nodiscard]] inline detail::timer_case after(duration span) noexcept { return {span.count(), false}; }

/// A case of select: the clock shows `time` or later. As after().
[[nodiscard]] inline detail::timer_case at(time_point time) noexcept { return {time.time_since_epoch().count(), true}; }

template <class... Case>
class select_awaiter : public detail::select_core {
  static_assert(sizeof...(Case) > 0 && sizeof...(Case) <= cases_max, "select takes 1 to 16 cases");

public:
  using choice = std::variant<typename Case::result...>;

  explicit select_awaiter(Case&&... cases) noexcept : cases_(std::move(cases)...) {}

  select_awaiter(select_awaiter&& other) noexcept : select_core(std::move(other)), cases_(std::move(other.cases_)) {}

  template <detail::levity_promise Promise>
  bool await_suspend(std::coroutine_handle<Promise> frame) {
    std::apply(
        [this](Case&... each) {
          (each.pack(), ...);
          order_ = {&each...};
        },
        cases_);
    begin(order_);
    return suspend(frame, *frame.promise().record);
  }

  std::expected<choice, channel_error> await_resume() noexcept {
    std::expected<choice, channel_error> won = outcome<0>(finish());
    std::apply([](Case&... each) { (each.unpack(), ...); }, cases_);
    return won;
  }

private:
  template <std::size_t I>
  std::expected<choice, channel_error> outcome(int winner) noexcept {
    if constexpr (I == sizeof...(Case)) {
      return std::unexpected(refusal());
    } else {
      if (winner != static_cast<int>(I)) return outcome<I + 1>(winner);
      return std::expected<choice, channel_error>(std::in_place, std::in_place_index<I>, std::get<I>(cases_).take());
    }
  }

  std::tuple<Case...> cases_;
  std::array<detail::select_case*, sizeof...(Case)> order_;
};

/// Waits until one of the cases can be done, does that one, and returns which and how it ended:
///
///     auto won = co_await lv::select(lv::receive_from(jobs), lv::send_to(results, result), lv::after(10ms));
///     if (!won) co_return;                  // cancelled, or timed_out by a deadline around it: no case was done
///     switch (won->index()) {
///       case 0: if (auto& job = std::get<0>(*won)) run(*job); else ...   // a value, or closed
///
/// Exactly one case happens, or none if the task is cancelled. Among several that are ready at the start one is picked at
/// random, each with the same chance; one that waits is in line in all its channels like any other task, first come, first served.
/// A channel may occur in several cases; a select never meets itself. O(cases) locks, one block for each value to send that does
/// not fit a word; no other allocation.
template <class... Case>
[[nodiscard("co_await the select and look at its result")]] select_awaiter<Case...> select(Case... cases) noexcept {
  return select_awaiter<Case...>{std::move(cases)...};
}

}  // namespace levity
