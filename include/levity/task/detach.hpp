#pragma once

#include <source_location>
#include <type_traits>
#include <utility>

#include "levity/task/detail/callable.hpp"
#include "levity/task/detail/scope_state.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {
namespace detail {

/// Makes `root` a task of the runtime itself.
void adopt_detached(task<> root, const char* name, const std::source_location& site);

/// Says what a detached task threw, unless it was told to end and did.
void detached_failed(const char* name, const std::source_location& site) noexcept;

/// Cancels every detached task, now and to come. For the main task, when it has ended.
void cancel_detached() noexcept;

template <class T>
task<> detached_root(task<T> work, const char* name, std::source_location site) {
  try {
    (void)co_await std::move(work);
  } catch (...) {
    detached_failed(name, site);
  }
}

template <>
inline task<> detached_root(task<void> work, const char* name, std::source_location site) {
  try {
    co_await std::move(work);
  } catch (...) {
    detached_failed(name, site);
  }
}

template <class F, class... Args>
void detach_named(const std::source_location& site, const char* name, F f, Args&&... args) {
  if constexpr (makes_task<F, std::decay_t<Args>...>()) {
    adopt_detached(detached_root(as_root(std::move(f), std::forward<Args>(args)...), name, site), name, site);
  }
}

template <class First, class... Rest>
void detach_at(const std::source_location& site, First first, Rest&&... rest) {
  if constexpr (std::is_convertible_v<First, const char*> && !std::is_invocable_v<First&, Rest...>) {
    detach_named(site, first, std::forward<Rest>(rest)...);
  } else {
    detach_named(site, nullptr, std::move(first), std::forward<Rest>(rest)...);
  }
}

}  // namespace detail

/// Starts `f(args...)` as a task that nobody joins: of the runtime, not of a scope. With a string literal in front of `f` the task
/// bears that name in dumps. For what is wanted but not waited for, such as telling another service; where anything depends on its
/// end, open a scope.
///
///     lv::detach("audit", write_audit, std::move(entry));
///
/// It is no thread set free: it is cancelled (`shutdown`) when the main task ends, or the lv::runtime goes, and the runtime ends
/// after it. What it returns is dropped; an exception that leaves it is reported on standard error with its name and spawn site.
/// Arguments are moved into the task; it inherits task-local values. At most four arguments. Inside tasks. About 80 ns.
template <class F>
void detach(F f, std::source_location site = std::source_location::current()) {
  detail::detach_at(site, std::move(f));
}
template <class F, class A1>
void detach(F f, A1&& a1, std::source_location site = std::source_location::current()) {
  detail::detach_at(site, std::move(f), std::forward<A1>(a1));
}
template <class F, class A1, class A2>
void detach(F f, A1&& a1, A2&& a2, std::source_location site = std::source_location::current()) {
  detail::detach_at(site, std::move(f), std::forward<A1>(a1), std::forward<A2>(a2));
}
template <class F, class A1, class A2, class A3>
void detach(F f, A1&& a1, A2&& a2, A3&& a3, std::source_location site = std::source_location::current()) {
  detail::detach_at(site, std::move(f), std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3));
}
template <class F, class A1, class A2, class A3, class A4>
void detach(F f, A1&& a1, A2&& a2, A3&& a3, A4&& a4, std::source_location site = std::source_location::current()) {
  detail::detach_at(site, std::move(f), std::forward<A1>(a1), std::forward<A2>(a2), std::forward<A3>(a3),
                    std::forward<A4>(a4));
}

}  // namespace levity
