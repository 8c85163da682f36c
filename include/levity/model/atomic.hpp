#pragma once

// The words of code that is to be explored (levity/model/explore.hpp). In a build with LEVITY_MODEL levity::atomic is the same.

#include "levity/base/explored_atomic.hpp"

namespace levity::inline v0::model {

namespace detail {

[[noreturn]] void only_inside(const char* call, std::source_location where) noexcept;

}  // namespace detail

/// std::atomic<T>, for a T of up to 8 bytes, that an exploration watches; outside of one it is the std::atomic that it contains.
/// Members as there, but for operators, wait, notify, and fetch_add and fetch_sub of pointers and of floating point. An exchange
/// compares all bytes, padding too.
template <class T>
using atomic = levity::detail::explored_atomic<T>;

/// std::atomic_thread_fence, watched in the same way.
inline void fence(std::memory_order order,
                                std::source_location where = std::source_location::current()) noexcept {
  levity::detail::explored_fence(order, where);
}

/// Says that this thread looks again and again until another one has stored something. In an exploration it goes on when that
/// has happened: a loop that gives up after some rounds needs options::hints_max. Outside of one it does nothing.
inline void spin_hint() noexcept {
  if (levity::detail::this_explorer != nullptr) levity::detail::this_explorer->spins();
}

/// futex(2) on a word of 4 bytes. In an exploration a wait ends by a wake-up, or once in a row for no reason, as it may by a
/// signal: a wake-up that is lost is a deadlock. A wait beside a value that is another one by now returns at once. Neither orders
/// any memory. Only inside an exploration.
inline void futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
                       std::source_location where = std::source_location::current()) noexcept {
  if (levity::detail::this_explorer == nullptr) detail::only_inside("futex_wait", where);
  levity::detail::this_explorer->futex_wait(reinterpret_cast<const std::uint32_t*>(&word), expected, false, where);
}
/// Wakes one thread that waits on `word`, each of them in turn where there are several. Only inside an exploration.
inline void futex_wake_one(const atomic<std::uint32_t>& word,
                           std::source_location where = std::source_location::current()) noexcept {
  if (levity::detail::this_explorer == nullptr) detail::only_inside("futex_wake_one", where);
  levity::detail::this_explorer->futex_wake(reinterpret_cast<const std::uint32_t*>(&word), false, where);
}

}  // namespace levity::model
