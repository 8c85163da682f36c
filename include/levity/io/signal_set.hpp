#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "levity/base/error.hpp"
#include "levity/task/task.hpp"

namespace levity::inline v0 {

namespace detail {
struct endpoint;
class simulated_signals;
}  // namespace detail

/// Signals of this process, as values for a task:
///
///     auto signals = lv::signal_set::open({SIGHUP, SIGUSR1});
///     while (auto signal = co_await signals->next()) reload(*signal);
///
/// While a set that names a signal lives, that signal does nothing else: not what it does by default, not what the program had
/// installed, and not what the runtime does with SIGINT, SIGTERM and SIGQUIT (runtime_options::handle_signals): a program that
/// takes SIGTERM ends by its own hand. The last set of a signal restores what was. Several sets may name one signal; each sees
/// it. As the kernel's own, signals that come faster than they are taken become one.
///
/// A signal that the program has blocked in all its threads does not arrive. In a simulated run signals are those of its world:
/// none comes that the world does not send. Move-only; next() by one task at a time.
class signal_set {
public:
  signal_set() = default;
  signal_set(signal_set&& other) noexcept;
  signal_set& operator=(signal_set&& other) noexcept;
  ~signal_set() { close(); }

  /// Inside a task. `invalid` for what cannot be caught (SIGKILL, SIGSTOP) or tells of a fault (SIGSEGV and its like).
  static io_result<signal_set> open(std::initializer_list<int> signals);

  /// The number of the next signal. Cancelled or out of time it has taken none.
  [[nodiscard]] task<io_result<int>> next();

  /// Ends it. Idempotent. No task may wait on it.
  void close() noexcept;

private:
  struct wanted {
    int signal;
    std::uint64_t seen;
  };

  [[nodiscard]] io_result<void> subscribe(int signal) noexcept;
  [[nodiscard]] std::uint64_t count_of(int signal) const noexcept;
  [[nodiscard]] io_result<void> open_bell();

  detail::simulated_signals* simulated_ = nullptr;  // whose signals these are; null: the process's
  detail::endpoint* bell_ = nullptr;
  std::vector<wanted> wanted_;  // those that were subscribed to
  std::size_t turn_ = 0;        // where the next look begins: none of them keeps the others back
};

}  // namespace levity
