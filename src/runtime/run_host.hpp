#pragma once

// run_host: who runs what a thread gives to lv::run, where that is not a runtime made for it: a simulated host, on which an
// unmodified main() lives.
//
// main() runs on a thread of its own until it calls lv::run, which hands its task over and sleeps until that has ended. The host's
// tasks are run by whoever turns its runtime. Either thread is the host's for the time of a `host_presence`: what the program takes
// from its surroundings outside a task is then the host's too.
//
//   lv::clock, lv::wall_clock, lv::random_seed   home(), as time_source
//   bind() outside a task, of a tcp_listener,    home(), as host_network
//   a udp_socket or a unix_listener
//   files outside a task, as a call asks         files(), as host_files
//   lv::run, lv::run_with                        run()
//   lv::runtime, lv::run within a task           refused: they would bring threads, or a second life
//
// Which thread may touch the host is its own business: main() never runs while a task does, so one handing over at the beginning of
// run() and one at its end order everything else. Code that knows of no host finds null in a thread-local and goes on as ever.
//
// Rejected: an option of lv::run that says who runs (main() would have to pass it on); one context that every room looks up (base
// would have to name what only runtime knows).

#include "levity/runtime/options.hpp"
#include "levity/runtime/run.hpp"
#include "levity/task/task.hpp"
#include "reactor/reactor.hpp"
#include "sched/scheduler.hpp"

namespace levity::inline v0::detail {

struct run_host {
  /// Runs `main` and all it spawns to the end, and returns the exit code of the process as exit_code() has it. Throws
  /// std::runtime_error if the host cannot run it, or runs something already; lv::run tells that and returns 1. Of the options the
  /// host heeds what it can: its sockets, files and workers are what they are. On the thread that called lv::run, which waits.
  virtual int run(const runtime_options& options, task<> main, const main_outcome& outcome) = 0;

  /// The reactor of the host's only worker: its network, its clocks and its chance. It outlives each host_presence, and listeners
  /// that main() has bound and not given away.
  virtual reactor& home() noexcept = 0;

  /// Who carries out operations on the host's files, also for who asks outside of a task; null: the kernel.
  virtual file_backend* files() noexcept { return nullptr; }

protected:
  ~run_host() = default;
};

/// The host of this thread; null: there is none.
[[nodiscard]] run_host* this_run_host() noexcept;

/// While it lives this thread is the host's.
class host_presence {
public:
  explicit host_presence(run_host& host) noexcept;
  host_presence(const host_presence&) = delete;
  host_presence& operator=(const host_presence&) = delete;
  ~host_presence();

private:
  run_host* const outer_host_;
  reactor* const outer_network_;
  file_backend* const outer_files_;
  time_source* const outer_time_;
};

/// What a program's end means, for whoever has run it: 1 where its main task has failed; `code`, 128 + n or 0, where that signal
/// has cancelled it and it ended by that; else what it returned. When everything has ended.
[[nodiscard]] int exit_code(scheduler& runs, int code, const main_outcome& outcome);

}  // namespace levity::detail
