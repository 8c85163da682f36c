#pragma once

// simulated_signals: what a simulated program has in place of the kernel's signals. Whoever plays its world raises them; what
// becomes of one is decided as in a real run:
//
//   raised                            and then
//   a set names it                    the sets that do have it, whatever it is; several that nobody took are one
//   SIGKILL                           the process ends
//   SIGINT, SIGTERM: the first        the main task is cancelled; the exit code is 128 + n if it ends by that
//                    the second       the process ends
//   SIGQUIT                           on_quit: all tasks are printed
//   without handle_signals, others    what the kernel does by default: the process ends, or nothing happens
//
// A program that ends itself at once (end_program) is ended as by a signal.
//
// "The process ends" is the world's to carry out (on_end); here it is written down, and nothing is heard any more. Nothing stops:
// SIGSTOP and its like do nothing.
//
// A set waits on an endpoint that no reactor watches: a raise is its event. So a set is the same code in both worlds, but for where
// its counts and its bell come from. Nothing here is shared: a simulated world has one thread.
//
// Rejected: a real signal to this very process (no seed orders it, and one process plays many); a bell that the simulated reactor
// watches (whether a signal arrives would hang on the network, and a network that is cut off would have no SIGTERM).

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "levity/base/error.hpp"
#include "platform/signal_counts.hpp"
#include "reactor/endpoint.hpp"

namespace levity::inline v0::detail {

struct executor;

class simulated_signals {
public:
  /// Of the program that `runs` runs. `handles`: runtime_options::handle_signals.
  simulated_signals(executor& runs, bool handles) noexcept : runs_(runs), handles_(handles) {}
  simulated_signals(const simulated_signals&) = delete;
  simulated_signals& operator=(const simulated_signals&) = delete;

  /// What became of a signal.
  enum class fate : std::uint8_t { taken, cancels, printed, ignored, ends };
  /// Raises it, in a task or between two turns of the worker. `signal` is one.
  fate raise(int signal) noexcept;
  /// Raises it before the program has come to lv::run: nobody takes it, so it is the kernel's default.
  fate raise_before_run(int signal) noexcept;
  /// Of lv::run's options, which come after it was made.
  void set_handles(bool handles) noexcept { handles_ = handles; }

  /// 128 + n if a signal has cancelled the main task, else 0.
  [[nodiscard]] int code() const noexcept { return asked_ == 0 ? 0 : 128 + asked_; }
  /// The signal that has ended the process; 0: none.
  [[nodiscard]] int ended_by() const noexcept { return ended_by_; }
  /// Called once, when the process ends by a signal, with 128 + n, or by its own hand, with its code.
  std::function<void(int code)> on_end;
  /// The program ends itself, as by _exit, in a task of its own; nobody sees what it does from then on. False: nobody plays a
  /// world for it, so that it is a process like any other.
  [[nodiscard]] bool end_program(int code) noexcept;
  /// The process has ended, for others; what it still does is only to give back what it holds.
  void cut_off() noexcept { is_over_ = true; }
  [[nodiscard]] bool is_over() const noexcept { return is_over_; }
  /// Called for SIGQUIT.
  std::function<void()> on_quit;

  // For sets: as the functions of signal_counts.hpp.
  io_result<void> subscribe(int signal) noexcept;
  void unsubscribe(int signal) noexcept;
  [[nodiscard]] std::uint64_t count(int signal) const noexcept { return counts_[static_cast<std::size_t>(signal)]; }
  /// An endpoint whose `reading` has an event for each signal that a set takes. Throws std::bad_alloc.
  endpoint& open_bell();
  void close_bell(endpoint& bell) noexcept;

private:
  fate handled(int signal) noexcept;
  fate by_default(int signal) noexcept;
  fate end(int signal) noexcept;

  executor& runs_;
  bool handles_;
  int asked_ = 0;
  int ended_by_ = 0;
  bool is_over_ = false;
  std::array<std::uint64_t, signals_max> counts_{};
  std::array<unsigned, signals_max> subscribers_{};
  std::vector<endpoint*> bells_;  // in the order in which they were opened, which is that of the wake-ups
};

/// Whether somebody may know what the running task does: not in a simulated process that has ended.
[[nodiscard]] bool is_seen_by_others() noexcept;

}  // namespace levity::detail
