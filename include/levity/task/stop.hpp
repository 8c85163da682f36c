#pragma once

#include <concepts>
#include <exception>
#include <expected>
#include <source_location>
#include <type_traits>
#include <utility>

#include "levity/task/cancel.hpp"
#include "levity/task/detail/call_site.hpp"
#include "levity/task/scope.hpp"
#include "levity/task/task.hpp"
#include "levity/task/yield.hpp"

// Whoever has a std::stop_token to give includes what it needs for that. libstdc++'s <stop_token> brings threads and semaphores,
// 4 % of what all of levity costs who includes it; its two names are enough here.
#ifdef __GLIBCXX__
namespace std {
_GLIBCXX_BEGIN_NAMESPACE_VERSION
class stop_token;
template <class Callback>
class stop_callback;
_GLIBCXX_END_NAMESPACE_VERSION
}  // namespace std
#else
#include <stop_token>
#endif

namespace levity::inline v0 {

/// A std::stop_token given to with_stop() was told to stop before the task inside had ended.
struct stopped {
  friend bool operator==(stopped, stopped) noexcept = default;
};

namespace detail {

template <class T>
task<> keep_outcome(task<T> inner, result_slot<T>& slot) {
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(inner);
      slot.set_value();
    } else {
      slot.set_value(co_await std::move(inner));
    }
  } catch (...) {
    slot.set_failure(std::current_exception());
  }
}

}  // namespace detail

/// Runs `inner`, and cancels it when `token` is told to stop: the bridge from programs that cancel with std::stop_token.
/// std::expected<T, stopped>: the value, or `stopped` if `inner` ended by being cancelled for that. What `inner` returns is
/// returned, late or not; its exceptions pass, as does cancellation from outside.
///
///     std::jthread owner([&](std::stop_token token) { runtime.block_on(lv::with_stop(token, serve())); });
///
/// request_stop() may be called by any thread; it marks the tasks inside and does not wait for them. `inner` runs as a task of its
/// own. Inside tasks.
template <std::same_as<std::stop_token> Token, class T>
task<std::expected<T, stopped>> with_stop(Token token, task<T> inner) {
  const std::source_location site = co_await detail::call_site{};
  detail::result_slot<T> slot;
  {
    scope inside{on_failure::keep_going, "with_stop"};
    inside.adopt_frame(detail::keep_outcome(std::move(inner), slot), "with_stop", site);
    // Called at once if it was told already; its destructor waits for a call that runs on another thread.
    auto cancels = [&inside]() noexcept { inside.cancel(); };
    const std::stop_callback<decltype(cancels)> when_told{token, cancels};
    co_await inside.join();
  }
  try {
    if constexpr (std::is_void_v<T>) {
      slot.take();
      co_return std::expected<T, stopped>{};
    } else {
      co_return slot.take();
    }
  } catch (const cancelled& why) {
    if (!token.stop_requested() || why.reason() != cancel_reason::requested) throw;
  }
  // Told to stop and cancelled at once: the cancellation counts.
  co_await detail::throw_if_cancelled();
  co_return std::unexpected(stopped{});
}

}  // namespace levity
