#pragma once

#include <cstdint>

#include "levity/io/file_means.hpp"

namespace levity::inline v0 {

/// How a runtime is set up. The defaults serve a network service; nothing needs to be configured.
struct runtime_options {
  /// Threads that run tasks. 0: as many as this process may use CPUs, by affinity, cpuset and quota of its cgroups, and when these
  /// change while it runs, the number follows; up to 256. Any other number, of 256 at most, stays. More: no runtime.
  unsigned workers = 0;

  /// Which CPUs a worker's thread may run on. Threads that a task starts itself inherit that; those of the runtime do not.
  enum class worker_affinity : std::uint8_t {
    automatic,  ///< the CPUs of its NUMA node where there are several workers and those that the process may use lie on several
                ///< nodes; otherwise as `none`
    none,       ///< those of the thread that started the runtime
    node,       ///< the CPUs of its NUMA node: memory that it has used stays near
    cpu,        ///< one: for a process that is alone on its CPUs; what else runs there holds this worker up
  };
  /// Where workers' threads run. Not for an embedded or simulated runtime, whose thread is the caller's.
  worker_affinity affinity = worker_affinity::automatic;

  /// Threads beside one a worker that may be kept at a time by blocking calls that last and by tasks that compute or block without
  /// waiting. Each of them is replaced, so that nobody else waits; what is over this stays where it is, holds up what its worker
  /// has to do, and is told on standard error. A kept thread costs its stack as far as it was touched. At most 16,384; more: no
  /// runtime. 0: no task is replaced; with `workers` = 1 no two tasks ever run at the same time then.
  unsigned stuck_threads_max = 512;

  /// A task that has kept its worker for so long, by computing or blocking without waiting, is told of on standard error: which
  /// one it is, why (it computes, waits for a lock, for a system call, for memory; or got no processor), and where it stands. Told
  /// again when it has lasted ten times as long; of others of its cause and spawn site at most one a second. 0: never. A thread
  /// that computes is asked where it does so by SIGSTKFLT, unless the program has a handler for that; no system call of it
  /// notices.
  std::uint32_t stalls_told_after_ms = 100;

  /// No threads: for a lv::runtime inside a loop of the caller's own. See runtime::run_ready().
  bool embedded = false;

  /// SIGINT and SIGTERM cancel the main task (a second one ends the process at once), SIGQUIT prints all tasks; one that
  /// a signal_set names goes to the set instead. Off: the signals stay as they are. In a simulated run these are signals of its
  /// world; those of the process stay as they are.
  bool handle_signals = true;

  /// Where sockets live.
  enum class sockets : std::uint8_t {
    automatic,      ///< what the environment's LEVITY_SOCKETS says, `epoll`, `ring` or `ring_or_epoll`; epoll where it says
                    ///< nothing
    epoll,          ///< the kernel's sockets, by epoll
    ring,           ///< the kernel's sockets, by io_uring on a thread of its own (Linux 6.0 or later); refused: no runtime. At its
                    ///< end a runtime waits for up to 2 s until what closed sockets still had to send is out
    ring_or_epoll,  ///< by io_uring; where the kernel refuses it, by epoll, and one line on standard error names the cause
    sim,            ///< an in-memory network in virtual time, in an order drawn from `seed`
  };
  /// Which world the program lives in.
  sockets backend = sockets::automatic;

  /// Sockets by io_uring: what a full socket leaves over of a write goes out without a copy by the kernel if it is at least so many
  /// bytes. 0, or more than 64 KiB, of which there are never more: it is copied. Over loopback the kernel copies all the same.
  std::uint32_t zero_copy_from = 0;

  /// Who carries file operations out.
  file_means files = file_means::automatic;

  /// The seed of a simulated run.
  std::uint64_t seed = 1;
};

}  // namespace levity
