// For tests, the bench and the fuzzer, which are no tasks themselves.
#pragma once

#include <optional>
#include <utility>

#include <levity/levity.hpp>

namespace orders {

/// A runtime without threads, on the files of this machine.
inline levity::runtime_options without_threads() {
  levity::runtime_options options;
  options.backend = levity::runtime_options::sockets::sim;
  return options;
}

/// Runs a task to its end and gives what it came to. Not inside a task. By itself it starts no thread, so that it does in a process
/// that was forked, too.
template <class Value>
Value result_of(levity::task<Value> what, const levity::runtime_options& options = without_threads()) {
  std::optional<Value> result;
  levity::run_with(options, [](levity::task<Value>* runs, std::optional<Value>* into) -> levity::task<> {
    into->emplace(co_await std::move(*runs));
  }, &what, &result);
  return std::move(result.value());
}

}  // namespace orders
