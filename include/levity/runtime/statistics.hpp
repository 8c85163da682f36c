#pragma once

#include <cstdint>

namespace levity::inline v0 {

/// Tasks of the current runtime that have not ended; 0 outside a task. Racy by nature. O(open scopes).
std::uint64_t live_tasks() noexcept;

/// What became of the threads of a runtime.
struct thread_counts {
  unsigned workers = 0;        ///< that run tasks at a time
  unsigned threads = 0;        ///< that exist for it: workers, those that tasks or calls keep, and spares
  std::uint64_t replaced = 0;  ///< times that a task computed or blocked without waiting, and its worker was replaced
  std::uint64_t unreplaced = 0;  ///< times that a look found such a task and no thread was to be had, or allowed
};

/// Of the current runtime; all 0 outside a task. Racy by nature. O(1).
thread_counts threads_of_runtime() noexcept;

}  // namespace levity
