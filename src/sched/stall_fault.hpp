#pragma once

// stall_fault: workers that stand still, for tests: where a task has just waited or ended, and between two tasks.
//
// At which awaits: one of `period` runs of tasks on average, drawn from a seed, each thread for itself. For how long: 10 us to 1
// ms, evenly over the magnitudes, as long as there is time left for that; every other one computes, every other one sleeps.
// Three of four happen inside the run of a task, after its last frame has given control back: by then it may run elsewhere, and
// this thread still counts as kept by it.
//
// It costs nothing where nobody asks for it. A worker leaves its quick path at a count of tasks of its own choice
// (worker::next_ready); with stalls it chooses the count at which the next one is due. One inside a task is a coroutine of its own,
// which the worker's loop resumes like a resumption that found the stack too deep (transfer()). Should the task leave one of
// those, it stands in its place, and that stall is left out.
//
// Seeded runs have none: theirs is not the time of this clock.

#include <cstdint>

#include "levity/base/atomic.hpp"
#include "levity/task/detail/executor.hpp"

namespace levity::inline v0::detail {

class stall_fault {
public:
  static constexpr std::int64_t shortest_ns = 10'000;
  static constexpr std::int64_t longest_ns = 1'000'000;

  static constexpr std::int64_t endless_ns = std::int64_t{1} << 62;
  static constexpr std::uint64_t looks_for_time_each = 61;  // runs of tasks, when no time is left

  /// From now on, in all runtimes. `period` 0: no more. `time_ns`: how long they may take, all together.
  static void install(unsigned period, std::uint64_t seed, std::int64_t time_ns = endless_ns) noexcept;
  [[nodiscard]] static bool is_installed() noexcept { return period_.load(std::memory_order_relaxed) != 0; }

  /// Stands still now, or has the loop of this thread's worker do so after the next run of a task. After how many runs of tasks
  /// the next stall is due, at least 1. The worker's thread.
  [[nodiscard]] static std::uint64_t strike(run_state& run) noexcept;

  /// How often, in all.
  [[nodiscard]] static std::uint64_t struck() noexcept { return struck_.load(std::memory_order_relaxed); }

private:
  class victim;

  static inline atomic<unsigned> period_{0};
  static inline atomic<std::uint64_t> seed_{0};
  static inline atomic<std::int64_t> time_left_ns_{0};
  static inline atomic<std::uint64_t> struck_{0};
};

}  // namespace levity::detail
