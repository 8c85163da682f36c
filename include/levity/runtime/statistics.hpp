#pragma once

#include <cstdint>

namespace levity::inline v0 {

/// Tasks of the current runtime that have not ended; 0 outside a task. Racy by nature. O(open scopes).
std::uint64_t live_tasks() noexcept;

/// What became of the threads of a runtime.
struct thread_counts {
  unsigned workers = 0;        ///< that run tasks at a time, now
  unsigned threads = 0;        ///< that exist for it: workers, those that tasks or calls keep, and spares
  std::uint64_t replaced = 0;  ///< times that a task computed or blocked without waiting, and its worker was replaced
  std::uint64_t unreplaced = 0;  ///< times that a look found such a task and no thread was to be had, or allowed
};

/// Of the current runtime; all 0 outside a task. Racy by nature. O(1).
thread_counts threads_of_runtime() noexcept;

/// Tasks that have kept their worker for 20 ms or more, by what kept them: each counts once, when it is over or has been told of
/// (runtime_options::stalls_told_after_ms).
struct stall_counts {
  std::uint64_t computed = 0;  ///< on a processor, in its own code or in the kernel
  std::uint64_t in_calls = 0;  ///< asleep in a system call
  std::uint64_t in_locks = 0;  ///< waiting for a futex or a file lock
  std::uint64_t in_faults = 0;  ///< waiting for memory that was not there
  std::uint64_t off_cpu = 0;   ///< ready to run: others had the processor, a quota was used up, process or machine were stopped
  std::uint64_t unknown = 0;   ///< asleep, and the kernel hides in what
};

/// Of the current runtime; all 0 outside a task, and where nobody watches: embedded and simulated ones. Racy by nature. O(1).
stall_counts stalls_of_runtime() noexcept;

/// How far tasks stay on the NUMA node where they ran last. One that a task of another node wakes runs where it was woken, and is
/// not counted.
struct node_counts {
  unsigned nodes = 0;             ///< on which workers are kept (runtime_options::affinity); 1: nobody is kept on any
  std::uint64_t taken = 0;        ///< ready tasks that a worker took from another node, so that they are resumed on its own
  std::uint64_t taken_early = 0;  ///< of these, while a task was ready on its own node, too: to be fair to who waited long, or by a
                                  ///< race with who made it ready
};

/// Of the current runtime; all 0 outside a task. Racy by nature. Never blocks. O(threads).
node_counts nodes_of_runtime() noexcept;

}  // namespace levity
