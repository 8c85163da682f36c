#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include "levity/base/invoke.hpp"
#include "levity/runtime/options.hpp"
#include "levity/task/detach.hpp"
#include "levity/task/detail/callable.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {
namespace detail {

/// What became of the main task.
struct main_outcome {
  int code = 0;
};

/// Runs `main` and all it spawned to the end on a new runtime; returns the exit code.
int run_main(const runtime_options& options, task<> main, const main_outcome& outcome);

// Detached tasks outlive the main task by no more than it takes to cancel them.
struct end_of_main {
  ~end_of_main() { cancel_detached(); }
};

template <class F, class... Args>
task<> main_task(main_outcome& outcome, F f, Args... args) {
  const end_of_main at_last;
  using result = typename std::invoke_result_t<F&, Args...>::value_type;
  if constexpr (std::is_convertible_v<result, int> && !std::is_void_v<result>) {
    outcome.code = static_cast<int>(co_await detail::invoke(f, std::move(args)...));
  } else {
    co_await detail::invoke(f, std::move(args)...);
  }
}

}  // namespace detail

/// Runs `f(args...)`, a task, as the main task of a new runtime, and returns when it and everything it spawned has ended.
///
///     int main() { return lv::run(serve, lv::tcp_listener::bind("127.0.0.1:7000").value()); }
///
/// The exit code is what the task returns, if that converts to int; else 0. An exception that leaves the main task is
/// reported on standard error and gives 1. SIGINT or SIGTERM cancels the main task; if it then ends by being cancelled the code
/// is 130 or 143, if it returns (a server that stops accepting and joins its connections) it is what it returned.
///
/// Where no runtime can be had (a thread or a descriptor is refused, an option or LEVITY_SOCKETS says what is none) one line on
/// standard error says why and what helps, and the code is 1; a program that wants to know uses lv::runtime, which throws. Throws
/// std::bad_alloc alone, before anything runs.
///
/// A task that wants the signal sent sends it to the process, `::kill(::getpid(), SIGTERM)`: raise() sends it to the worker,
/// which blocks it, and nothing happens. Without a signal: main joins a scope, and whoever may end the program cancels it.
template <class F, class... Args>
int run_with(const runtime_options& options, F f, Args... args) {
  if constexpr (detail::makes_task<F, Args...>()) {
    detail::main_outcome outcome;
    return detail::run_main(options, detail::main_task(outcome, std::move(f), std::move(args)...), outcome);
  }
  std::unreachable();  // was refused above
}

/// The same with default options.
template <class F, class... Args>
int run(F f, Args... args) {
  return run_with(runtime_options{}, std::move(f), std::move(args)...);
}

}  // namespace levity
