#pragma once

#include <array>
#include <concepts>
#include <expected>
#include <memory>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "levity/base/clock.hpp"
#include "levity/sync/channel.hpp"
#include "levity/sync/detail/select_core.hpp"
#include "levity/sync/unbounded_channel.hpp"
#include "levity/task/detail/awaited_callable.hpp"
#include "levity/task/detail/call_site.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/when_all.hpp"

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

class otherwise_case : public select_case {
public:
  using result = std::monostate;

  otherwise_case() noexcept : select_case(kind::otherwise, nullptr) {}
  otherwise_case(otherwise_case&&) noexcept : otherwise_case() {}

  void pack() noexcept {}
  void unpack() noexcept {}
  result take() noexcept { return {}; }
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

/// A case of select: nothing else can be done at once. With it a select never waits. Result: std::monostate. One at most, and not
/// beside a call, which is never done at once.
[[nodiscard]] inline detail::otherwise_case otherwise() noexcept { return {}; }

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
    return suspend(frame, detail::running_task());
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

namespace detail {

template <class Case>
inline constexpr bool is_own_case = std::derived_from<Case, select_case>;

template <class Awaitable>
decltype(auto) call_awaiter(Awaitable&& awaitable) {
  if constexpr (requires { static_cast<Awaitable&&>(awaitable).operator co_await(); }) {
    return static_cast<Awaitable&&>(awaitable).operator co_await();
  } else {
    return static_cast<Awaitable&&>(awaitable);
  }
}

template <class Awaitable>
using call_value = std::remove_cvref_t<decltype(call_awaiter(std::declval<Awaitable>()).await_resume())>;

struct drop_it {
  template <class T>
  void operator()(T&&) const noexcept {}
};

// A case that is neither of a channel nor of the clock: a call, run as a task of its own.
template <class Awaitable, class PutBack>
struct call_case {
  using value = call_value<Awaitable>;
  using result = value_or_unit<value>;

  Awaitable awaitable;
  PutBack put_back;
};
template <class Case>
struct is_call_case : std::false_type {};
template <class Awaitable, class PutBack>
struct is_call_case<call_case<Awaitable, PutBack>> : std::true_type {};

template <class Case>
auto as_case(Case of) {
  if constexpr (is_own_case<Case> || is_call_case<Case>::value) {
    return of;
  } else {
    return call_case<Case, drop_it>{std::move(of), {}};
  }
}

template <class Case>
auto own_or_none(Case& of) {
  if constexpr (is_own_case<Case>) {
    return std::tuple<Case&>(of);
  } else {
    return std::tuple<>();
  }
}

template <class Case>
struct result_of_call {
  using type = std::monostate;
};
template <class Case>
  requires is_call_case<Case>::value
struct result_of_call<Case> {
  using type = result_slot<typename Case::value>;
};

// What a select over calls knows at compile time.
template <class... Case>
struct select_plan {
  static constexpr std::size_t own_count = (std::size_t{is_own_case<Case>} + ... + 0);
  static constexpr std::size_t call_count = sizeof...(Case) - own_count;
  static constexpr bool has_otherwise = (std::is_same_v<Case, otherwise_case> || ...);
  static constexpr bool has_channel = (std::size_t{is_own_case<Case> && !std::derived_from<Case, select_timer>} + ... + 0) > 0;
  // Which case each own one is.
  static constexpr std::array<std::size_t, own_count + 1> place_of_own = [] {
    std::array<std::size_t, own_count + 1> places{};
    constexpr bool own[] = {is_own_case<Case>...};
    for (std::size_t i = 0, at = 0; i < sizeof...(Case); i++) {
      if (own[i]) places[at++] = i;
    }
    return places;
  }();
};

// The own cases can be moved from again and again until one is awaited: they say what to do, they own nothing.
template <class... Own, class Last>
select_awaiter<Own..., Last> select_own(const std::tuple<Own&...>& own, Last last) {
  return std::apply([&](Own&... each) { return select_awaiter<Own..., Last>{Own(std::move(each))..., std::move(last)}; }, own);
}

template <class Value, class Awaitable>
task<> run_call(Awaitable awaitable, int number, channel<int>& ended, result_slot<Value>& slot) {
  try {
    if constexpr (std::is_void_v<Value>) {
      co_await std::move(awaitable);
      slot.set_value();
    } else {
      Value value = co_await std::move(awaitable);
      slot.set_value(std::move(value));
    }
  } catch (...) {
    slot.set_failure(std::current_exception());
  }
  // Claims the select, if that waits and is still open.
  (void)ended.try_send(number);
}

template <class... Case>
task<std::expected<std::variant<typename Case::result...>, channel_error>> select_calls(Case... cases) {
  using plan = select_plan<Case...>;
  using choice = std::variant<typename Case::result...>;
  static_assert(!plan::has_otherwise, "a call is never done at once, so beside otherwise() it would never be made");
  static_assert(plan::own_count < select_core::cases_max, "select takes 15 cases beside calls at most");
  const std::source_location site = co_await call_site{};
  auto own = std::tuple_cat(own_or_none(cases)...);
  std::optional<choice> done;
  auto take_own = [&done]<std::size_t... I>(auto& won, std::index_sequence<I...>) {
    ((won.index() == I ? (void)done.emplace(std::in_place_index<plan::place_of_own[I]>, std::move(std::get<I>(won))) : void()),
     ...);
  };
  constexpr auto each_own = std::make_index_sequence<plan::own_count>{};

  // No call is made when another case can be done at once.
  if constexpr (plan::has_channel) {
    auto at_once = co_await select_own(own, otherwise_case{});
    if (!at_once) co_return std::unexpected(at_once.error());
    if (at_once->index() < plan::own_count) {
      take_own(*at_once, each_own);
      co_return std::move(*done);
    }
  }

  channel<int> ended{plan::call_count};
  std::tuple<typename result_of_call<Case>::type...> results;
  scope calls{on_failure::keep_going, "select"};
  auto make_calls = [&]<std::size_t... I>(std::index_sequence<I...>) {
    auto make = [&]<std::size_t N>(std::integral_constant<std::size_t, N>, auto& each) {
      using kind = std::remove_reference_t<decltype(each)>;
      if constexpr (is_call_case<kind>::value) {
        calls.adopt_frame(run_call<typename kind::value>(std::move(each.awaitable), static_cast<int>(N), ended,
                                                         std::get<N>(results)),
                          "select", site);
      }
    };
    (make(std::integral_constant<std::size_t, I>{}, cases), ...);
  };
  std::exception_ptr not_made;
  try {
    make_calls(std::index_sequence_for<Case...>{});
  } catch (...) {
    // Out of memory. The calls that were made already use what lives in this frame: they end first.
    not_made = std::current_exception();
    calls.cancel();
  }
  if (not_made != nullptr) {
    co_await calls.join();
    std::rethrow_exception(not_made);
  }
  auto won = co_await select_own(own, receive_case<int>{ended.core()});
  calls.cancel(cancel_reason::lost_race);
  co_await calls.join();

  int winner = -1;
  if (won && won->index() == plan::own_count) winner = *std::get<plan::own_count>(*won);
  // Those that lost first: what the winner threw leaves from here.
  auto settle = [&]<std::size_t... I>(std::index_sequence<I...>) {
    auto look = [&]<std::size_t N>(std::integral_constant<std::size_t, N>, auto& each, bool at_winner) {
      using kind = std::remove_reference_t<decltype(each)>;
      if constexpr (is_call_case<kind>::value) {
        auto& slot = std::get<N>(results);
        if (at_winner != (winner == static_cast<int>(N))) return;
        if (at_winner) {
          done.emplace(std::in_place_index<N>, take_or_unit(slot));
        } else if (slot.has_value()) {
          each.put_back(take_or_unit(slot));
        }
      }
    };
    (look(std::integral_constant<std::size_t, I>{}, cases, false), ...);
    (look(std::integral_constant<std::size_t, I>{}, cases, true), ...);
  };
  settle(std::index_sequence_for<Case...>{});
  if (won && winner < 0) take_own(*won, each_own);
  if (!won) co_return std::unexpected(won.error());
  co_return std::move(*done);
}

}  // namespace detail

/// A case of select: a call, with somewhere to put its result when the call ends well although another case was first.
/// `put_back(value)` (std::monostate for void), which must not throw, is called by the selecting task before select returns:
///
///     lv::select(lv::receive_from(jobs), lv::call(permits.acquire(), [&](auto) { permits.release(); }))
///
/// Without it, an awaitable can be given to select as it is.
template <class Awaitable, class PutBack>
[[nodiscard]] detail::call_case<Awaitable, std::decay_t<PutBack>> call(Awaitable awaitable, PutBack&& put_back) {
  detail::check_callable<PutBack>();
  return {std::move(awaitable), std::forward<PutBack>(put_back)};
}

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
///
/// Any other awaitable can be a case, too: `lv::select(lv::receive_from(stop), fetch(order), lock.lock())`. It is a call: made when
/// no other case can be done at once, as a task of its own. If it ends first, its result (std::monostate for void) is the
/// select's, its exception is thrown; else it is cancelled with reason `lost_race`, and has ended when select returns. So is it
/// when the selecting task is cancelled. Then select is a task; a call costs about as much as a spawn and a join.
///
/// What a case that loses has done
///   receive_from, send_to, after, at   nothing: no value is taken or sent
///   a call                             whatever it did until it ended. One that waits in one place (a lock, an event, a receive)
///                                      and is cancelled there has taken nothing. One that ended in the same moment in which
///                                      another case won has a result: lv::call(awaitable, put_back) gives it back; else it
///                                      is destroyed, which unlocks a guard and closes a connection, but loses a permit or a value
/// Where there is a case of the first kind for it, use that one.
template <class... Case>
[[nodiscard("co_await the select and look at its result")]] auto select(Case... cases) noexcept(
    (detail::is_own_case<Case> && ...)) {
  if constexpr ((detail::is_own_case<Case> && ...)) {
    return select_awaiter<Case...>{std::move(cases)...};
  } else {
    return detail::select_calls(detail::as_case(std::move(cases))...);
  }
}

}  // namespace levity
