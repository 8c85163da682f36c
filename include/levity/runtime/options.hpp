#pragma once

#include <cstdint>

#include "levity/io/file_means.hpp"

namespace levity::inline v0 {

/// How a runtime is set up. The defaults serve a network service; nothing needs to be configured.
struct runtime_options {
  /// Threads that run tasks. 0: as many as this process may use CPUs (affinity and cgroup quota).
  unsigned workers = 0;

  /// No threads: for a lv::runtime inside a loop of the caller's own. See runtime::run_ready().
  bool embedded = false;

  /// SIGINT and SIGTERM cancel the main task (a second one ends the process at once), SIGQUIT prints all tasks; one that
  /// a signal_set names goes to the set instead. Off: the signals stay as they are.
  bool handle_signals = true;

  /// Where sockets live.
  enum class sockets : std::uint8_t {
    epoll,  ///< the kernel's sockets, by epoll
    sim,    ///< an in-memory network in virtual time, in an order drawn from `seed`
  };
  /// Which world the program lives in.
  sockets backend = sockets::epoll;

  /// Who carries file operations out.
  file_means files = file_means::automatic;

  /// The seed of a simulated run.
  std::uint64_t seed = 1;
};

}  // namespace levity
